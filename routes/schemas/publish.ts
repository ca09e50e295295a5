import { type Static, Type } from 'typebox'
import { audiences, BroadcastIdSchema, BroadcastStatusSchema } from './audience.ts'
import {
  DurabilitySchema,
  described,
  EventIdSchema,
  MillisecondsSchema,
  NotificationIdSchema,
  TimestampSchema,
  UserSchema
} from './common.ts'
import { content, MAX_ITEMS, options } from './notification.ts'
import { ProblemSchema } from './problem.ts'
import { reach } from './reach.ts'

export const PublishSchema = Type.Object(
  {
    to: Type.Union([UserSchema, Type.Array(UserSchema, { minItems: 1, maxItems: MAX_ITEMS }), ...audiences], {
      description: 'One user, up to 1,000 users, a topic, or everyone',
      examples: ['alice']
    }),
    ...content,
    timestamp: Type.Optional(TimestampSchema),
    halfLife: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 31_536_000,
        description: 'Seconds in which it loses half its worth while parked; default: never'
      })
    ),
    expiresAt: Type.Optional(
      described(
        TimestampSchema,
        'When it expires, Unix milliseconds in the future, and after deliverAt. After it the notification is nowhere'
      )
    ),
    ttl: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2_592_000,
        description: 'In place of expiresAt: seconds from the acceptance, or from deliverAt'
      })
    ),
    deliverAt: Type.Optional(
      described(TimestampSchema, 'When to publish it, Unix milliseconds, up to 30 days ahead. A time in the past means now')
    ),
    ...options,
    ...reach
  },
  {
    additionalProperties: false,
    examples: [
      { to: 'alice', type: 'sync.done', title: 'Sync finished', ref: '/syncs/77', data: { files: 12 } },
      { to: ['alice', 'bob'], type: 'deploy', title: 'Version 7 is out', timestamp: 1_754_000_000_000, halfLife: 3600 },
      { to: { topic: 'project-42', except: ['alice'] }, type: 'comment', title: 'Alice commented', ref: '/projects/42' },
      { to: 'bob', type: 'reminder', title: 'Standup', deliverAt: 1_754_000_600_000, ttl: 900 },
      { to: 'alice', type: 'sync.progress', title: 'Synced 40 of 77', collapseKey: 'sync-77', urgency: 'low', ttl: 3600 },
      { to: 'alice', type: 'invoice', title: 'Invoice 7 is due', push: { after: 10 }, fallback: { after: 900, unless: 'read' } },
      {
        to: 'alice',
        type: 'expense',
        title: 'Bob asks for 40 €',
        actions: [
          { action: 'approve', title: 'Approve' },
          { action: 'reject', title: 'Reject' }
        ]
      }
    ]
  }
)

const IdempotencyKeySchema = Type.String({
  pattern: '^(?:"[\\x20-\\x21\\x23-\\x7e]{1,255}"|[\\x21\\x23-\\x7e][\\x20-\\x7e]{0,254})$',
  description: 'Up to 255 printable ASCII characters, quoted or not. The same key never makes a second notification',
  examples: ['sync-77-done']
})

export const PublishHeaders = Type.Object({ 'idempotency-key': Type.Optional(IdempotencyKeySchema) })

const RecipientSchema = Type.Object(
  {
    user: Type.String(),
    status: Type.Enum(['accepted', 'parked', 'scheduled', 'rejected'], { type: 'string' }),
    eventId: Type.Optional(EventIdSchema),
    releaseAt: Type.Optional(MillisecondsSchema('When a parked one will be released')),
    deliverAt: Type.Optional(MillisecondsSchema('When a scheduled one will be published')),
    code: Type.Optional(Type.String({ description: 'Why it was rejected' })),
    retryAfterMs: Type.Optional(Type.Integer({ description: 'When a rejected one may be sent again' })),
    nodes: Type.Integer({ description: 'Nodes woken; 0: none of them has a connection of the user' })
  },
  { $id: 'RecipientResult' }
)

export const PublishAnswerSchema = Type.Object(
  {
    id: NotificationIdSchema,
    durability: DurabilitySchema,
    results: Type.Array(RecipientSchema, { description: 'By recipient; empty for an audience' }),
    broadcast: Type.Optional(
      Type.Object(
        { id: BroadcastIdSchema, status: BroadcastStatusSchema },
        { description: 'For an audience: the job that publishes to each member, see GET /v1/broadcasts/{id}' }
      )
    )
  },
  {
    examples: [
      {
        id: 'qk3mTnHc0Vd5Yx1LbR2w',
        durability: 'fsync',
        results: [{ user: 'alice', status: 'accepted', eventId: 'k3f9q2.41.a81c22e0', nodes: 1 }]
      },
      {
        id: 'qk3mTnHc0Vd5Yx1LbR2w',
        durability: 'fsync',
        results: [
          { user: 'alice', status: 'parked', releaseAt: 1_754_000_000_400, nodes: 0 },
          { user: 'bob', status: 'rejected', code: 'BELFRY_ERR_PARKED_FULL', retryAfterMs: 90_000, nodes: 0 }
        ]
      },
      {
        id: 'qk3mTnHc0Vd5Yx1LbR2w',
        durability: 'fsync',
        results: [{ user: 'alice', status: 'scheduled', deliverAt: 1_754_000_600_000, nodes: 0 }]
      },
      {
        id: 'qk3mTnHc0Vd5Yx1LbR2w',
        durability: 'fsync',
        results: [],
        broadcast: { id: '7fqk3mTnHc0Vd5Yx1LbR2w', status: 'running' }
      }
    ]
  }
)

/** One item of a batch. Items are validated one by one, so that an invalid item does not fail the others. */
export const BatchItemSchema = Type.Object(
  { ...PublishSchema.properties, idempotencyKey: Type.Optional(IdempotencyKeySchema) },
  { additionalProperties: false }
)

export type BatchItemBody = Static<typeof BatchItemSchema>

export const BatchSchema = Type.Object(
  {
    notifications: Type.Array(
      Type.Unknown({
        description: 'An object as the body of POST /v1/notifications, with an idempotencyKey. Other values are refused alone'
      }),
      {
        minItems: 1,
        maxItems: MAX_ITEMS
      }
    )
  },
  {
    additionalProperties: false,
    examples: [
      {
        notifications: [
          { to: 'alice', type: 'sync.done', title: 'Sync finished', idempotencyKey: 'sync-77' },
          { to: 'bob', type: 'sync.progress', title: 'Synced 40 of 77', collapseKey: 'sync-77', urgency: 'low', ttl: 3600 }
        ]
      }
    ]
  }
)

export const BatchAnswerSchema = Type.Object({
  results: Type.Array(Type.Union([PublishAnswerSchema, Type.Object({ problem: ProblemSchema })]), {
    description: 'In the order of the request'
  })
})
