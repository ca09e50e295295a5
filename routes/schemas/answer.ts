import { Type } from 'typebox'
import { DEVICE_PATTERN } from '../../services/users.ts'

export const ActionNameSchema = Type.String({
  pattern: '^[a-z0-9_-]{1,32}$',
  description: 'The name of one of its actions',
  examples: ['approve']
})

/** The first answer to a notification. */
export const AnswerSchema = Type.Object(
  {
    action: Type.String({ description: 'The name of the action' }),
    answeredAt: Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'When the store took the answer, Unix milliseconds',
      examples: [1_754_000_000_000]
    }),
    deviceId: Type.String({ description: 'The device that answered first' })
  },
  { description: 'The first answer' }
)

/** The answer of a route that answers. */
export const GivenAnswerSchema = Type.Object(
  { id: Type.String({ description: 'The notification' }), ...AnswerSchema.properties },
  {
    examples: [{ id: 'qk3mTnHc0Vd5Yx1LbR2w', action: 'approve', answeredAt: 1_754_000_000_000, deviceId: 'laptop-firefox' }]
  }
)

/** The body of an answer with the token of the user. A request without a body answers as the shared device. */
export const AnswerBodySchema = Type.Unsafe<{ deviceId?: string } | null>({
  type: ['object', 'null'],
  properties: {
    deviceId: { type: 'string', pattern: DEVICE_PATTERN, description: 'The device that answers; default: the shared device, default' }
  },
  additionalProperties: false,
  examples: [{ deviceId: 'laptop-firefox' }]
})

export const LinkAnswerSchema = Type.Object(
  {
    link: Type.String({ minLength: 1, maxLength: 1024, description: 'The answerLink of the notification' }),
    action: ActionNameSchema
  },
  { additionalProperties: false, examples: [{ link: 'vbW5w0mV7sXoPq1RkT3uYzA9cEfGhIjKlMnOpQrStU8AAZhl', action: 'approve' }] }
)
