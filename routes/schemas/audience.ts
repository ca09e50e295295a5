import { Type } from 'typebox'
import { MEMBERS_MAX } from '../../services/store/audiences.ts'
import { MillisecondsSchema, TopicSchema, UserSchema } from './common.ts'

/** Largest number of users that a broadcast leaves out. */
const EXCEPT_MAX = 1000

const except = Type.Optional(
  Type.Array(UserSchema, { maxItems: EXCEPT_MAX, description: 'Those who do not get it, at most 1,000', examples: [['alice']] })
)

const everyone = Type.Literal(true, { description: 'Every user who has a log' })

/** The recipients of a broadcast. */
export const audiences = [
  Type.Object({ topic: TopicSchema, except }, { additionalProperties: false, description: 'The members of a topic at this time' }),
  Type.Object({ everyone, except }, { additionalProperties: false, description: 'Every user who has a log at this time' })
] as const

export const BroadcastStatusSchema = Type.Enum(['running', 'done', 'cancelled'], {
  type: 'string',
  description: 'cancelled: no further member gets it, and it is recalled from those who got it'
})

export const BroadcastIdSchema = Type.String({ minLength: 1, maxLength: 64, examples: ['7fqk3mTnHc0Vd5Yx1LbR2w'] })

export const BroadcastSchema = Type.Object(
  {
    id: BroadcastIdSchema,
    to: Type.Union([...audiences], { description: 'As it was published' }),
    status: BroadcastStatusSchema,
    members: Type.Union([Type.Integer({ description: 'Users in the audience' }), Type.Null()], {
      description: 'null while the audience is being collected'
    }),
    accepted: Type.Integer({ description: 'Members who have it, or for whom it is scheduled' }),
    parked: Type.Integer({ description: 'Members for whom it was parked' }),
    rejected: Type.Integer({
      description: 'Members for whom it was refused: too many notifications were parked or scheduled, or it had expired'
    }),
    startedAt: MillisecondsSchema('When it was published'),
    finishedAt: Type.Union([MillisecondsSchema('When the last member had it, or it was cancelled'), Type.Null()], {
      description: 'null while it runs'
    })
  },
  {
    examples: [
      {
        id: '7fqk3mTnHc0Vd5Yx1LbR2w',
        to: { topic: 'project-42', except: ['alice'] },
        status: 'running',
        members: 100_000,
        accepted: 41_500,
        parked: 0,
        rejected: 0,
        startedAt: 1_754_000_000_000,
        finishedAt: null
      }
    ]
  }
)

const NamesSchema = Type.Array(UserSchema, { maxItems: MEMBERS_MAX })

export const MembersChangeSchema = Type.Object(
  { add: Type.Optional(NamesSchema), remove: Type.Optional(NamesSchema) },
  {
    additionalProperties: false,
    description: 'At least one name, and at most 10,000 together. No name may be in both',
    examples: [{ add: ['alice', 'bob'], remove: ['carol'] }]
  }
)

export const MembersChangedSchema = Type.Object(
  {
    added: Type.Integer({ description: 'Users who were not members before' }),
    removed: Type.Integer({ description: 'Users who were members before' })
  },
  { examples: [{ added: 2, removed: 1 }] }
)

export const MembersQuerySchema = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'Names of a page at most' }),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512, description: 'The nextCursor of the page before' }))
  },
  { additionalProperties: false }
)

export const MembersSchema = Type.Object(
  {
    items: Type.Array(Type.String(), { description: 'In no certain order' }),
    nextCursor: Type.Union([Type.String(), Type.Null()], { description: 'null on the last page' })
  },
  { examples: [{ items: ['alice', 'bob'], nextCursor: null }] }
)

export const TopicsSchema = Type.Object(
  { items: Type.Array(Type.String(), { description: 'In alphabetical order' }) },
  { examples: [{ items: ['project-42', 'team-7'] }] }
)
