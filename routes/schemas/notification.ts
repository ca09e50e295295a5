import { Type } from 'typebox'
import { STATES } from '../../services/protocol/index.ts'
import { ActionNameSchema, AnswerSchema } from './answer.ts'
import {
  DurabilitySchema,
  described,
  EventIdSchema,
  MillisecondsSchema,
  NotificationIdSchema,
  StateSchema,
  unreadCounts
} from './common.ts'

/** Largest number of recipients of a notification, of items of a batch, and of ids to mark. */
export const MAX_ITEMS = 1000

/** Any object. The pattern of a record, `^.*$`, does not match names with line breaks, and the serializer would drop them. */
const DataSchema = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: 'At most 4 KB of JSON',
  examples: [{ files: 12 }]
})

export const content = {
  type: Type.String({ minLength: 1, maxLength: 128, description: 'What happened, for the app to switch on', examples: ['sync.done'] }),
  title: Type.String({ minLength: 1, maxLength: 1024, description: 'One line for a person', examples: ['Sync finished'] }),
  ref: Type.Optional(Type.String({ maxLength: 2048, description: 'Where the details are', examples: ['/syncs/77'] })),
  data: Type.Optional(DataSchema)
}

const ActionSchema = Type.Object(
  {
    action: described(ActionNameSchema, 'Its name'),
    title: Type.String({ minLength: 1, maxLength: 64, description: 'Its label', examples: ['Approve'] }),
    url: Type.Optional(
      Type.String({
        maxLength: 2048,
        pattern: '^(?:[hH][tT]{2}[pP][sS]?://[^\\\\\\s]+|/(?![/\\\\])[^\\\\\\s]*)$',
        description: 'An http(s) address or a path to open when it is chosen'
      })
    )
  },
  { additionalProperties: false }
)

/** Options of a notification that devices get, too. */
export const options = {
  collapseKey: Type.Optional(
    Type.String({
      pattern: '^[^\\p{C}]{1,64}$',
      description: 'At most one notification of a key is in the log: a new one takes the place of the old',
      examples: ['sync-77']
    })
  ),
  urgency: Type.Optional(
    Type.Enum(['very-low', 'low', 'normal', 'high'], {
      type: 'string',
      description: 'RFC 8030; default: normal. Among the parked, higher goes first; very-low and low raise no toast'
    })
  ),
  actions: Type.Optional(
    Type.Array(ActionSchema, { minItems: 1, maxItems: 3, description: 'Buttons with different names: the first answer of any device wins' })
  )
}

const ExpiresAtSchema = Type.Optional(MillisecondsSchema('When it expires, unless it was answered'))

/** A notification as devices get it. */
export const shown = {
  id: NotificationIdSchema,
  type: content.type,
  title: content.title,
  timestamp: MillisecondsSchema('When it happened'),
  ref: content.ref,
  expiresAt: ExpiresAtSchema,
  replaces: Type.Optional(described(NotificationIdSchema, 'The notification whose place it took')),
  ...options,
  data: content.data
}

const InboxItemSchema = Type.Object({
  ...shown,
  state: StateSchema,
  answer: Type.Optional(AnswerSchema),
  eventId: EventIdSchema
})

export const InboxQuerySchema = Type.Object(
  {
    state: Type.Optional(
      Type.String({
        description: `Only these states, separated by commas: ${STATES.join(', ')}. unread includes seen, as the count does`,
        examples: ['read,archived']
      })
    ),
    type: Type.Optional(
      Type.String({
        description: 'Only these types, separated by commas, at most 10: each is a type, or a prefix of types with * at its end',
        examples: ['sync.*,deploy']
      })
    ),
    count: Type.Boolean({ default: false, description: 'Also counts the notifications in all pages' }),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Items of a page' }),
    cursor: Type.Optional(Type.String({ pattern: '^[0-9a-z]{1,16}\\.[1-9][0-9]{0,14}$', description: 'The nextCursor of the page before' }))
  },
  { additionalProperties: false }
)

export const InboxSchema = Type.Object({
  items: Type.Array(InboxItemSchema, { description: 'Newest first' }),
  nextCursor: Type.Union([Type.String(), Type.Null()], { description: 'null on the last page' }),
  ...unreadCounts,
  count: Type.Optional(Type.Integer({ description: 'The notifications in all pages, with count=true' }))
})

export const FoundSchema = Type.Object({
  ...shown,
  type: Type.Optional(content.type),
  title: Type.Optional(content.title),
  timestamp: Type.Optional(MillisecondsSchema('When it happened')),
  answer: Type.Optional(AnswerSchema),
  state: Type.Enum([...STATES, 'parked', 'scheduled', 'folded'], {
    type: 'string',
    description: 'folded: the digest at eventId took its place'
  }),
  eventId: Type.Optional(EventIdSchema),
  releaseAt: Type.Optional(MillisecondsSchema('When a parked one will be released')),
  deliverAt: Type.Optional(MillisecondsSchema('When a scheduled one will be published'))
})

export const PublishedSchema = Type.Object(
  {
    ...FoundSchema.properties,
    answerLink: Type.Optional(
      Type.String({
        description: 'If it has actions: answers it without a token, see POST /v1/answers. Valid until it expires, for at most 30 days'
      })
    )
  },
  {
    examples: [
      {
        id: 'qk3mTnHc0Vd5Yx1LbR2w',
        type: 'expense',
        title: 'Bob asks for 40 €',
        timestamp: 1_754_000_000_000,
        actions: [
          { action: 'approve', title: 'Approve' },
          { action: 'reject', title: 'Reject' }
        ],
        state: 'read',
        answer: { action: 'approve', answeredAt: 1_754_000_060_000, deviceId: 'phone' },
        eventId: 'k3f9q2.41.a81c22e0',
        answerLink: 'vbW5w0mV7sXoPq1RkT3uYzA9cEfGhIjKlMnOpQrStU8AAZhl'
      }
    ]
  }
)

export const ScheduledQuerySchema = Type.Object(
  {
    limit: InboxQuerySchema.properties.limit,
    cursor: Type.Optional(
      Type.String({ pattern: '^[1-9][0-9]{0,15}\\.[1-9][0-9]{0,15}$', description: 'The nextCursor of the page before' })
    )
  },
  { additionalProperties: false }
)

export const ScheduledSchema = Type.Object(
  {
    items: Type.Array(Type.Object({ ...shown, deliverAt: MillisecondsSchema('When it will be published') }), {
      description: 'In the order of their delivery'
    }),
    nextCursor: Type.Union([Type.String(), Type.Null()], { description: 'null on the last page' })
  },
  {
    examples: [
      {
        items: [
          { id: 'qk3mTnHc0Vd5Yx1LbR2w', type: 'reminder', title: 'Standup', timestamp: 1_754_000_600_000, deliverAt: 1_754_000_600_000 }
        ],
        nextCursor: null
      }
    ]
  }
)

export const MarkAgeSchema = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'Milliseconds since the user made the mark: what was marked later stays. For marks that are sent late, or again'
})

export const MarkSchema = Type.Object(
  {
    ids: Type.Optional(Type.Array(NotificationIdSchema, { minItems: 1, maxItems: MAX_ITEMS })),
    upTo: Type.Optional(EventIdSchema),
    state: StateSchema,
    only: Type.Optional(described(StateSchema, 'Marks only those that have this state')),
    ageMs: Type.Optional(MarkAgeSchema)
  },
  {
    additionalProperties: false,
    description:
      'ids, or upTo: everything up to and with that event. Without only, upTo raises states (as unread: lowers them) and leaves archived ones alone',
    examples: [
      { ids: ['qk3mTnHc0Vd5Yx1LbR2w'], state: 'read' },
      { ids: ['qk3mTnHc0Vd5Yx1LbR2w'], state: 'archived', only: 'read' }
    ]
  }
)

export const MarkAnswerSchema = Type.Object({
  ids: Type.Array(NotificationIdSchema, { description: 'Those whose state changed' }),
  ...unreadCounts,
  durability: DurabilitySchema
})
