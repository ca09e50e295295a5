import { type Static, type TSchema, Type } from 'typebox'
import type * as protocol from '../../services/protocol/index.ts'
import { AnswerSchema } from './answer.ts'
import {
  DeviceSchema,
  DurabilitySchema,
  described,
  EventIdSchema,
  MillisecondsSchema,
  NotificationIdSchema,
  StateSchema,
  UserSchema
} from './common.ts'
import { type Equal, proven } from './equal.ts'
import { MarkAgeSchema, shown } from './notification.ts'

const count = (description: string) => Type.Integer({ minimum: 0, description })
const UnreadSchema = count('Notifications that are unread or seen, after this')
const UnseenSchema = Type.Optional(count('Notifications that are unread, and were not seen, after this'))
const ReplaySchema = Type.Optional(Type.Literal(true, { description: 'Read from the log, not live' }))
const RefSchema = Type.Optional(
  Type.Number({
    minimum: Number.MIN_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Chosen by the client; the answer carries the same'
  })
)
/** An event id, also without its last part, or '' if there is no log yet. */
const PlaceSchema = Type.String({ maxLength: 4096 })

const frame = <Name extends string, Properties extends Record<string, TSchema>>(type: Name, description: string, properties: Properties) =>
  Type.Object({ type: Type.Literal(type), ...properties }, { description, additionalProperties: false })

export const serverFrames = {
  hello: frame('hello', 'The first frame of a connection', {
    connectionId: Type.String(),
    deviceId: DeviceSchema,
    user: UserSchema,
    node: Type.String({ description: 'The incarnation of the node' }),
    serverTime: MillisecondsSchema('The clock of the node'),
    heartbeat: Type.Object({
      intervalMs: count('Time between two pings'),
      timeoutMs: count('Silence after a ping that ends the connection')
    }),
    resume: Type.Object({
      status: Type.Enum(['fresh', 'resumed', 'gap'], {
        type: 'string',
        description: 'fresh: no position was known; resumed: all after from follows; gap: a gap frame follows'
      }),
      from: PlaceSchema,
      to: PlaceSchema,
      pending: count('Rows between from and to'),
      parked: count('Notifications that wait for their release')
    }),
    unread: UnreadSchema,
    unseen: UnseenSchema,
    tokenExpiresAt: MillisecondsSchema('When the token in use expires'),
    limits: Type.Object({ maxFrameBytes: count('Largest client frame'), maxUnacked: count('Rows in flight before an ack is needed') })
  }),
  notification: frame('notification', 'A notification', {
    eventId: EventIdSchema,
    replay: ReplaySchema,
    state: Type.Optional(StateSchema),
    answer: Type.Optional(AnswerSchema),
    notification: Type.Object(shown)
  }),
  state: frame('state', 'The state of notifications changed, here or on another device', {
    eventId: EventIdSchema,
    replay: ReplaySchema,
    ids: Type.Array(NotificationIdSchema),
    state: StateSchema,
    unread: UnreadSchema,
    unseen: UnseenSchema
  }),
  retract: frame('retract', 'A notification that may have been shown is taken back', {
    eventId: EventIdSchema,
    replay: ReplaySchema,
    id: NotificationIdSchema,
    reason: Type.String(),
    unread: UnreadSchema,
    unseen: UnseenSchema,
    collapseKey: Type.Optional(Type.String({ description: 'Its key: older notifications of the key are taken back too' }))
  }),
  answered: frame('answered', 'A notification was answered, here or on another device; it is read now', {
    eventId: EventIdSchema,
    replay: ReplaySchema,
    id: NotificationIdSchema,
    ...AnswerSchema.properties,
    unread: UnreadSchema,
    unseen: UnseenSchema
  }),
  digest: frame('digest', 'Parked notifications lost their worth; this takes their place', {
    eventId: EventIdSchema,
    replay: ReplaySchema,
    count: count('How many'),
    ids: Type.Array(NotificationIdSchema),
    unread: UnreadSchema,
    unseen: UnseenSchema
  }),
  caughtUp: frame('caughtUp', 'The replay is over: what follows is live and contiguous', {
    eventId: PlaceSchema,
    unread: UnreadSchema,
    unseen: UnseenSchema
  }),
  gap: frame('gap', 'Rows that cannot be delivered', {
    reason: Type.Enum(['trimmed', 'epoch', 'ahead', 'fork', 'lost', 'unknown_id'], { type: 'string' }),
    from: PlaceSchema,
    to: PlaceSchema,
    count: count('Rows known to be gone; 0 when that cannot be known')
  }),
  ping: frame('ping', 'A sign of life; it asks for a pong', { time: MillisecondsSchema('The clock of the node') }),
  ok: frame('ok', 'The frame with the same ref was carried out', {
    ref: RefSchema,
    unread: Type.Optional(UnreadSchema),
    unseen: UnseenSchema,
    ids: Type.Optional(Type.Array(NotificationIdSchema, { description: 'Those whose state changed: after a mark with only' })),
    durability: Type.Optional(DurabilitySchema),
    tokenExpiresAt: Type.Optional(MillisecondsSchema('When the new token expires')),
    id: Type.Optional(NotificationIdSchema),
    ...Type.Partial(AnswerSchema).properties
  }),
  error: frame('error', 'The frame with the same ref was not carried out', {
    ref: RefSchema,
    code: Type.String({ description: 'A code as in REST answers' }),
    message: Type.String(),
    temporary: Type.Boolean({ description: 'The same frame may work later' }),
    retryAfterMs: Type.Optional(count('When')),
    answer: Type.Optional(AnswerSchema)
  }),
  bye: frame('bye', 'The server closes next', {
    code: Type.Integer({ description: 'The close code that follows' }),
    reason: Type.String(),
    reconnectInMs: count('Wait this long before coming back, when the code lets you')
  })
}

export const clientFrames = {
  ack: frame('ack', 'Everything up to and with this was received by the device', { eventId: EventIdSchema }),
  mark: frame('mark', 'Sets the state of ids, or of everything up to and with upTo', {
    ref: RefSchema,
    ids: Type.Optional(Type.Array(NotificationIdSchema, { minItems: 1 })),
    upTo: Type.Optional(EventIdSchema),
    state: StateSchema,
    only: Type.Optional(described(StateSchema, 'Marks only those that have this state')),
    ageMs: Type.Optional(MarkAgeSchema)
  }),
  answer: frame('answer', 'Answers a notification by one of its actions: the first answer of any device wins', {
    ref: RefSchema,
    id: NotificationIdSchema,
    action: Type.String()
  }),
  refresh: frame('refresh', 'A new token for the same user, before the old one expires', { ref: RefSchema, token: Type.String() }),
  pong: frame('pong', 'The answer to a ping', { time: Type.Optional(Type.Number()) })
}

type Frames<Schemas extends Record<string, TSchema>> = { [Name in keyof Schemas]: Static<Schemas[Name]> }
type ByType<Frame extends { type: string }> = { [Name in Frame['type']]: Extract<Frame, { type: Name }> }

proven<Equal<Flat<Frames<typeof serverFrames>>, Flat<ByType<protocol.ServerFrame>>>>()
proven<Equal<Flat<Frames<typeof clientFrames>>, Flat<ByType<protocol.ClientFrame>>>>()

/** The type with its intersections and interfaces written out. */
type Flat<T> = T extends object ? { [Key in keyof T]: Flat<T[Key]> } : T
