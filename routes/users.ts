import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  adminSecurity,
  bodyErrors,
  DurabilitySchema,
  described,
  EventIdSchema,
  IdParams,
  MillisecondsSchema,
  problems,
  serviceErrors,
  UserParams,
  unreadCounts
} from './schemas/common.ts'
import {
  InboxQuerySchema,
  InboxSchema,
  MarkAnswerSchema,
  MarkSchema,
  ScheduledQuerySchema,
  ScheduledSchema
} from './schemas/notification.ts'

const ConnectionSchema = Type.Object({
  connectionId: Type.String(),
  deviceId: Type.String(),
  node: Type.String(),
  connectedAt: MillisecondsSchema('When it connected'),
  address: Type.String()
})

const ConnectionsSchema = Type.Object({ items: Type.Array(ConnectionSchema) }, { description: 'Those of live nodes' })

const DisconnectQuery = Type.Object(
  {
    reason: Type.String({ minLength: 1, maxLength: 100, default: 'disconnected by an operator', description: 'Sent with close code 4003' }),
    revoke: Type.Boolean({ default: false, description: 'Refuse every token issued to the user up to now, too (4001, token_revoked)' })
  },
  { additionalProperties: false }
)

const DisconnectedSchema = Type.Object(
  { disconnected: Type.Integer({ description: 'Connections that were told to close' }), durability: DurabilitySchema },
  { description: 'The nodes were told' }
)

const QueueSchema = Type.Object(
  {
    head: described(EventIdSchema, 'The newest row; empty while there is no log'),
    first: described(EventIdSchema, 'The oldest retained row'),
    parked: Type.Integer({ description: 'Notifications that wait for their release' }),
    scheduled: Type.Integer({ description: 'Notifications that wait for their time' }),
    ...unreadCounts,
    devices: Type.Array(
      Type.Object({
        deviceId: Type.String(),
        eventId: EventIdSchema,
        lag: Type.Integer({ description: 'Rows after its cursor' }),
        acknowledgedAt: MillisecondsSchema('When its cursor last moved')
      })
    )
  },
  { description: 'The state of the queue' }
)

/** Serves everything of a user to services that administer. `published.ts` has the routes of the scope `publish`. */
const users: FastifyPluginAsyncTypebox = async (app) => {
  app.addHook('onRequest', app.auth.users)
  app.addHook('onRequest', app.limits.publish)
  const guarded = { security: adminSecurity }

  app.get(
    '/v1/users/:user/notifications',
    {
      schema: {
        operationId: 'listInbox',
        summary: "List a user's inbox",
        tags: ['inbox'],
        ...guarded,
        params: UserParams,
        querystring: InboxQuerySchema,
        response: { 200: described(InboxSchema, 'One page'), ...problems(...serviceErrors, 409) }
      }
    },
    (request) => app.inbox.list(request.params.user, request.query)
  )

  app.post(
    '/v1/users/:user/notifications/mark',
    {
      schema: {
        operationId: 'markNotifications',
        summary: 'Set the state of notifications',
        tags: ['inbox'],
        ...guarded,
        params: UserParams,
        body: MarkSchema,
        response: { 200: described(MarkAnswerSchema, 'What changed'), ...problems(...serviceErrors, ...bodyErrors, 409, 507) }
      }
    },
    (request) => app.inbox.mark(request.params.user, request.body)
  )

  app.get(
    '/v1/users/:user/connections',
    {
      schema: {
        operationId: 'listConnections',
        summary: "List a user's connections on all nodes",
        tags: ['connections'],
        ...guarded,
        params: UserParams,
        response: { 200: ConnectionsSchema, ...problems(...serviceErrors) }
      }
    },
    (request) => app.connectionDirectory.list(request.params.user)
  )

  app.delete(
    '/v1/users/:user/connections',
    {
      schema: {
        operationId: 'closeConnections',
        summary: "Close all of a user's connections",
        tags: ['connections'],
        ...guarded,
        params: UserParams,
        querystring: DisconnectQuery,
        response: { 200: DisconnectedSchema, ...problems(...serviceErrors) }
      }
    },
    (request) => app.connectionDirectory.closeAll(request.params.user, request.query)
  )

  app.delete(
    '/v1/users/:user/connections/:id',
    {
      schema: {
        operationId: 'closeConnection',
        summary: 'Close one connection',
        tags: ['connections'],
        ...guarded,
        params: IdParams,
        querystring: Type.Pick(DisconnectQuery, ['reason'], { additionalProperties: false }),
        response: { 200: DisconnectedSchema, ...problems(...serviceErrors, 404) }
      }
    },
    (request) => app.connectionDirectory.close(request.params.user, request.params.id, request.query.reason)
  )

  app.get(
    '/v1/users/:user/queue',
    {
      schema: {
        operationId: 'getQueue',
        summary: 'What waits for a user: the log, what is parked, and how far each device is',
        tags: ['inbox'],
        ...guarded,
        params: UserParams,
        response: { 200: QueueSchema, ...problems(...serviceErrors) }
      }
    },
    (request) => app.inbox.queue(request.params.user)
  )

  app.get(
    '/v1/users/:user/scheduled',
    {
      schema: {
        operationId: 'listScheduled',
        summary: 'List the scheduled notifications of a user',
        description: 'A recall cancels one of them.',
        tags: ['inbox'],
        ...guarded,
        params: UserParams,
        querystring: ScheduledQuerySchema,
        response: { 200: described(ScheduledSchema, 'One page'), ...problems(...serviceErrors) }
      }
    },
    (request) => app.inbox.scheduled(request.params.user, request.query)
  )

  app.delete(
    '/v1/users/:user',
    {
      onRequest: app.auth.admin,
      schema: {
        operationId: 'eraseUser',
        summary: 'Erase a user',
        description:
          'Removes everything of the user from the store, and closes the connections with 4003 and the reason erased. Tokens issued before are refused; the time of that refusal is the only thing that is kept. A later publish starts a new log.',
        tags: ['inbox'],
        ...guarded,
        params: UserParams,
        response: { 204: described(Type.Null(), 'The user is erased'), ...problems(...serviceErrors) }
      }
    },
    async (request, reply) => {
      await app.inbox.erase(request.params.user)
      return reply.code(204).send(null)
    }
  )
}

export default users
