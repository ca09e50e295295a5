import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { DEFAULT_DEVICE } from '../services/protocol/index.ts'
import { ActionNameSchema, AnswerBodySchema, GivenAnswerSchema } from './schemas/answer.ts'
import { answeredBefore, bodyErrors, described, NotificationIdSchema, problems, userErrors, userSecurity } from './schemas/common.ts'
import { FoundSchema, InboxQuerySchema, InboxSchema, MarkAnswerSchema, MarkSchema } from './schemas/notification.ts'

/** Serves the inbox of the user whose token the request carries, and takes their answers. */
const me: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.user)
  const guarded = { security: userSecurity }

  app.get(
    '/v1/me/notifications',
    {
      schema: {
        operationId: 'listMyInbox',
        summary: 'List my inbox',
        tags: ['me'],
        ...guarded,
        querystring: InboxQuerySchema,
        response: { 200: described(InboxSchema, 'One page'), ...problems(...userErrors, 409) }
      }
    },
    (request) => app.inbox.list(request.user.sub, request.query)
  )

  app.get(
    '/v1/me/notifications/:id',
    {
      schema: {
        operationId: 'getMyNotification',
        summary: 'Get one of my notifications',
        tags: ['me'],
        ...guarded,
        params: Type.Object({ id: NotificationIdSchema }),
        response: { 200: described(FoundSchema, 'The notification'), ...problems(...userErrors, 404) }
      }
    },
    (request) => app.inbox.get(request.user.sub, request.params.id)
  )

  app.post(
    '/v1/me/notifications/mark',
    {
      schema: {
        operationId: 'markMyNotifications',
        summary: 'Set the state of my notifications',
        tags: ['me'],
        ...guarded,
        body: MarkSchema,
        response: { 200: described(MarkAnswerSchema, 'What changed'), ...problems(...userErrors, ...bodyErrors, 409, 507) }
      }
    },
    (request) => app.inbox.mark(request.user.sub, request.body)
  )

  app.post(
    '/v1/me/notifications/:id/actions/:action',
    {
      schema: {
        operationId: 'answerMyNotification',
        summary: 'Answer one of my notifications by one of its actions',
        description: 'The first answer of any device wins. The same device may repeat its answer.',
        tags: ['me'],
        ...guarded,
        params: Type.Object({ id: NotificationIdSchema, action: ActionNameSchema }),
        body: AnswerBodySchema,
        response: {
          200: described(GivenAnswerSchema, 'It was the first answer, or the same one again'),
          409: answeredBefore,
          ...problems(...userErrors, ...bodyErrors, 404, 507)
        }
      }
    },
    ({ body, params: { id, action }, user }) => app.answers.answer(user.sub, id, action, body?.deviceId ?? DEFAULT_DEVICE)
  )
}

export default me
