import { type TSchema, Type } from 'typebox'
import { STATES } from '../../services/protocol/index.ts'
import { DEVICE_PATTERN, TOPIC_PATTERN, USER_PATTERN } from '../../services/users.ts'
import { ProblemSchema } from './problem.ts'

export const UserSchema = Type.String({
  pattern: USER_PATTERN,
  description: 'The recipient: 1 to 128 printable characters, but for . and ..',
  examples: ['alice']
})

export const TopicSchema = Type.String({
  pattern: TOPIC_PATTERN,
  description: 'The topic: 1 to 128 printable characters, but for . and ..',
  examples: ['project-42']
})

export const DeviceSchema = Type.String({
  pattern: DEVICE_PATTERN,
  description: 'Chosen by the client, and stable',
  examples: ['laptop-firefox']
})

export const NotificationIdSchema = Type.String({ minLength: 1, maxLength: 64, examples: ['Zm9vYmFyYmF6cXV4MTIz'] })

export const EventIdSchema = Type.String({
  maxLength: 64,
  description: '`<epoch>.<offset>.<8 characters unique to the append>`, opaque to clients',
  examples: ['k3f9q2.41.a81c22e0']
})

export const DurabilitySchema = Type.Enum(['fsync', 'replicated', 'os', 'none'], {
  type: 'string',
  description: 'How safe it was when this was answered: on disk, on a replica, in the hands of the operating system, in memory only'
})

export const StateSchema = Type.Enum(STATES, { type: 'string', description: 'seen is not read: it still counts as unread' })

/** Counts of all notifications of a user, not only of those in the same answer. */
export const unreadCounts = {
  unread: Type.Integer({ description: 'All notifications that are unread or seen' }),
  unseen: Type.Integer({ description: 'All notifications that are unread, and were not seen' })
}

export const MillisecondsSchema = (description: string) =>
  Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: `${description}, Unix milliseconds`,
    examples: [1_754_000_000_000]
  })

/** Times of the years 1973 to 5138 in seconds. Read as milliseconds, they are days from 1970 to 1973. */
const SECONDS = { minimum: 1e8, exclusiveMaximum: 1e11 }

/** A time from a publisher: one that `Date` can hold, and not in seconds. */
export const TimestampSchema = Type.Integer({
  minimum: 0,
  maximum: 8.64e15,
  not: SECONDS,
  description: 'When it happened, Unix milliseconds; default: now. A value from 1e8 to 1e11 is refused: it is in seconds',
  examples: [1_754_000_000_000]
})

/** Query of the WebSocket's URL. */
export const SocketQuery = Type.Object({
  token: Type.Optional(Type.String({ description: "The user's JWT, where neither a header nor a subprotocol can carry it" })),
  device_id: Type.Optional(DeviceSchema),
  last_event_id: Type.Optional(
    Type.String({ description: 'Where to go on: an event id, earliest or latest; default: where the device stopped' })
  )
})

export const UserParams = Type.Object({ user: UserSchema })

/** A notification of a user. */
export const IdParams = Type.Object({ ...UserParams.properties, id: NotificationIdSchema })

const RETRY_AFTER = { 'retry-after': { type: 'integer', description: 'Seconds after which the same request may work' } }

/** The meaning of each error status of the API. `docs/reference/errors.md` lists the codes. */
const PROBLEMS: Record<number, { description: string; headers?: Record<string, unknown> }> = {
  400: { description: 'The request is not valid' },
  401: { description: 'The token or API key is missing, not valid, expired or revoked' },
  403: { description: 'The token or API key does not have the scope that the route needs, or the page is of a forbidden origin' },
  404: { description: 'There is no such thing' },
  409: { description: 'The cursor or upTo is of an earlier log: the log was started afresh since' },
  413: { description: 'The body, data, or a list in it is too large' },
  415: { description: 'The body is not application/json' },
  422: { description: 'The Idempotency-Key was used with another body' },
  426: { description: 'The request was no upgrade to a WebSocket' },
  429: {
    description: 'Too many requests of one caller, or too many notifications wait for the user, or broadcasts for the topic',
    headers: RETRY_AFTER
  },
  500: { description: 'Something went wrong here' },
  503: { description: 'The store is away (the outcome is not known), or the node is overloaded or shutting down', headers: RETRY_AFTER },
  507: { description: 'The store has no room left: nothing was written', headers: RETRY_AFTER }
}

/** Returns the error answers of a route's `response` by status. All are problems. */
export function problems(...statuses: number[]): Record<number, TSchema> {
  return Object.fromEntries(
    statuses.map((status) => [status, { ...PROBLEMS[status], content: { 'application/problem+json': { schema: Type.Ref('Problem') } } }])
  ) as unknown as Record<number, TSchema>
}

/** The error answer of a route that answers a notification which has an answer. */
export const answeredBefore = {
  ...problems(409)[409],
  description: 'Another answer was first; it is in answer'
} as unknown as TSchema

/** Returns the schema with another description, for one of several answers of the same shape. */
export function described<Schema extends TSchema>(schema: Schema, description: string, headers?: Record<string, unknown>): Schema {
  return { ...schema, description, ...(headers === undefined ? {} : { headers }) }
}

export const serviceErrors = [400, 401, 403, 429, 500, 503]
export const userErrors = [400, 401, 500, 503]
/** Statuses that a route with a body adds. */
export const bodyErrors = [413, 415]

/** Authentication of a route, for OpenAPI. */
export const serviceSecurity = [{ service: ['publish'] }]
export const adminSecurity = [{ service: ['admin'] }]
export const userSecurity = [{ user: [] as string[] }]

export const shared = [ProblemSchema]
