import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  adminSecurity,
  bodyErrors,
  described,
  MillisecondsSchema,
  problems,
  serviceErrors,
  UserParams,
  UserSchema
} from './schemas/common.ts'

/** Largest number of users of one request. */
const MAX_USERS = 1000

const presence = {
  user: Type.String(),
  online: Type.Boolean({ description: 'It has a connection on a live node' }),
  lastSeenAt: Type.Union([MillisecondsSchema('Now if online, else when a device last acknowledged'), Type.Null()], {
    description: 'null: no device ever connected'
  })
}

const PresenceSchema = Type.Object(
  {
    ...presence,
    devices: Type.Array(
      Type.Object({ deviceId: Type.String(), node: Type.String(), connectedAt: MillisecondsSchema('When it connected') }),
      { description: 'Its connected devices, and the node of each' }
    )
  },
  { description: 'Whether the user is online' }
)

const PresenceListSchema = Type.Object(
  { items: Type.Array(Type.Object(presence), { description: 'In the order of the request' }) },
  { description: 'Whether each user is online' }
)

const PresenceQuerySchema = Type.Object(
  { users: Type.Array(UserSchema, { minItems: 1, maxItems: MAX_USERS }) },
  { additionalProperties: false, examples: [{ users: ['alice', 'bob'] }] }
)

/** Tells services which users are online. */
const presenceRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.users)
  app.addHook('onRequest', app.limits.publish)
  const guarded = { security: adminSecurity }

  app.get(
    '/v1/users/:user/presence',
    {
      schema: {
        operationId: 'getPresence',
        summary: 'Get whether a user is online, and on which devices',
        tags: ['connections'],
        ...guarded,
        params: UserParams,
        response: { 200: PresenceSchema, ...problems(...serviceErrors) }
      }
    },
    (request) => app.presence.of(request.params.user)
  )

  app.post(
    '/v1/presence',
    {
      schema: {
        operationId: 'listPresence',
        summary: 'Get which of up to 1,000 users are online',
        tags: ['connections'],
        ...guarded,
        body: PresenceQuerySchema,
        response: { 200: described(PresenceListSchema, 'Whether each is online'), ...problems(...serviceErrors, ...bodyErrors) }
      }
    },
    (request) => app.presence.ofAll(request.body.users)
  )
}

export default presenceRoutes
