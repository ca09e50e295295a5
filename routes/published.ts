import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { described, IdParams, problems, serviceErrors, serviceSecurity } from './schemas/common.ts'
import { PublishedSchema } from './schemas/notification.ts'
import { ReceiptsSchema } from './schemas/receipts.ts'

const RecallQuery = Type.Object(
  {
    only: Type.Optional(
      Type.Enum(['scheduled'], {
        type: 'string',
        description: '404 unless it is still scheduled: one that was delivered is not taken back'
      })
    )
  },
  { additionalProperties: false }
)

/** Lets a service look at, and recall, a notification that was published. */
const published: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.service)
  app.addHook('onRequest', app.limits.publish)
  const guarded = { security: serviceSecurity }

  app.get(
    '/v1/users/:user/notifications/:id',
    {
      schema: {
        operationId: 'getNotification',
        summary: 'Get one notification, wherever it is',
        tags: ['inbox'],
        ...guarded,
        params: IdParams,
        response: { 200: described(PublishedSchema, 'The notification'), ...problems(...serviceErrors, 404) }
      }
    },
    async ({ params: { user, id } }) => app.answers.withLink(user, await app.inbox.get(user, id))
  )

  app.get(
    '/v1/users/:user/notifications/:id/receipts',
    {
      schema: {
        operationId: 'getReceipts',
        summary: 'Get which devices received a notification, its state, its answer, its pushes and its fallback',
        tags: ['inbox'],
        ...guarded,
        params: IdParams,
        response: { 200: described(ReceiptsSchema, 'What became of it'), ...problems(...serviceErrors, 404) }
      }
    },
    (request) => app.inbox.receipts(request.params.user, request.params.id)
  )

  app.delete(
    '/v1/users/:user/notifications/:id',
    {
      schema: {
        operationId: 'recallNotification',
        summary: 'Recall a notification',
        description: 'Scheduled, parked or pending, it never appears; shown, it is retracted on every device.',
        tags: ['inbox'],
        ...guarded,
        params: IdParams,
        querystring: RecallQuery,
        response: {
          204: described(Type.Null(), 'Recalled; the header belfry-durability says how safely'),
          ...problems(...serviceErrors, 404, 507)
        }
      }
    },
    async (request, reply) => {
      const durability = await app.inbox.recall(request.params.user, request.params.id, request.query.only)
      return reply.code(204).header('belfry-durability', durability).send(null)
    }
  )
}

export default published
