import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { bodyErrors, described, problems, userErrors, userSecurity } from './schemas/common.ts'
import { PushKeySchema, PushParams, PushSubscriptionSchema } from './schemas/push.ts'

/** Keeps the push subscriptions of the user's devices. Without VAPID keys, every route is 404. */
const push: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/v1/push/key',
    {
      onRequest: app.limits.connect,
      schema: {
        operationId: 'getPushKey',
        summary: 'Get the key that browsers subscribe with',
        description: 'The public key of this service (RFC 8292). 404: Web Push is off, as the service has no VAPID keys.',
        tags: ['me'],
        security: [],
        response: { 200: PushKeySchema, ...problems(404, 429, 500, 503) }
      }
    },
    async () => ({ publicKey: app.reach.pushSubscriptions.publicKey })
  )

  app.put(
    '/v1/me/devices/:deviceId/push',
    {
      onRequest: app.auth.user,
      schema: {
        operationId: 'putMyPushSubscription',
        summary: 'Push my notifications to a browser',
        description: 'Keeps the subscription of a device, in place of the one that it had. A user has up to 20.',
        tags: ['me'],
        security: userSecurity,
        params: PushParams,
        body: PushSubscriptionSchema,
        response: {
          204: described(Type.Null(), 'The subscription is kept'),
          ...problems(...userErrors, ...bodyErrors, 404, 507),
          409: described(problems(409)[409] as never, 'Twenty other devices of the user have a subscription')
        }
      }
    },
    async (request, reply) => {
      await app.reach.pushSubscriptions.put(request.user.sub, request.params.deviceId, request.body)
      return reply.code(204).send(null)
    }
  )

  app.delete(
    '/v1/me/devices/:deviceId/push',
    {
      onRequest: app.auth.user,
      schema: {
        operationId: 'deleteMyPushSubscription',
        summary: 'Push my notifications to a browser no more',
        tags: ['me'],
        security: userSecurity,
        params: PushParams,
        response: { 204: described(Type.Null(), 'The device has no subscription'), ...problems(...userErrors, 404, 507) }
      }
    },
    async (request, reply) => {
      await app.reach.pushSubscriptions.delete(request.user.sub, request.params.deviceId)
      return reply.code(204).send(null)
    }
  )
}

export default push
