import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BroadcastIdSchema, BroadcastSchema } from './schemas/audience.ts'
import { described, problems, serviceErrors, serviceSecurity } from './schemas/common.ts'

const BroadcastParams = Type.Object({ id: BroadcastIdSchema })

/** Lets a service look at, and cancel, a broadcast that was published. */
const broadcasts: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.service)
  app.addHook('onRequest', app.limits.publish)
  const guarded = { security: serviceSecurity }

  app.get(
    '/v1/broadcasts/:id',
    {
      schema: {
        operationId: 'getBroadcast',
        summary: 'Get the progress of a broadcast',
        description: 'Until a day after its end. The counts grow by whole batches, and no member is counted twice.',
        tags: ['topics'],
        ...guarded,
        params: BroadcastParams,
        response: { 200: described(BroadcastSchema, 'The broadcast'), ...problems(...serviceErrors, 404) }
      }
    },
    (request) => app.broadcaster.get(request.params.id)
  )

  app.delete(
    '/v1/broadcasts/:id',
    {
      schema: {
        operationId: 'cancelBroadcast',
        summary: 'Cancel a broadcast',
        description:
          'No further member gets it. It is recalled from those who got it, which goes on after the answer; also if it was done.',
        tags: ['topics'],
        ...guarded,
        params: BroadcastParams,
        response: {
          204: described(Type.Null(), 'Cancelled; the header belfry-durability says how safely'),
          ...problems(...serviceErrors, 404, 507)
        }
      }
    },
    async (request, reply) => {
      const durability = await app.broadcaster.cancel(request.params.id)
      return reply.code(204).header('belfry-durability', durability).send(null)
    }
  )
}

export default broadcasts
