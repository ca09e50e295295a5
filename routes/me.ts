import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { bodyErrors, described, NotificationIdSchema, problems, userErrors, userSecurity } from './schemas/common.ts'
import { FoundSchema, InboxQuerySchema, InboxSchema, MarkAnswerSchema, MarkSchema } from './schemas/notification.ts'

/** Serves the inbox of the user whose token the request carries. */
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
}

export default me
