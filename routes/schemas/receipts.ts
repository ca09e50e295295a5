import { Type } from 'typebox'
import { AnswerSchema } from './answer.ts'
import { MillisecondsSchema, NotificationIdSchema } from './common.ts'
import { FoundSchema } from './notification.ts'

/** The latest outcome of a push or a fallback. */
const outcome = {
  status: Type.Enum(['waiting', 'sent', 'failed', 'gone', 'dropped'], {
    type: 'string',
    description: 'sent: the receiver took it; gone: the subscription ended; dropped: somebody looked before it was sent'
  }),
  at: MillisecondsSchema('When it came; of one that is waiting, when it was made')
}

export const ReceiptsSchema = Type.Object(
  {
    id: NotificationIdSchema,
    state: FoundSchema.properties.state,
    answer: Type.Union([AnswerSchema, Type.Null()], { description: 'The first answer; null while there is none' }),
    devices: Type.Array(
      Type.Object({
        deviceId: Type.String(),
        received: Type.Boolean({ description: 'Its cursor has passed the notification' }),
        lastAckAt: MillisecondsSchema('When its cursor last moved')
      })
    ),
    push: Type.Array(Type.Object({ deviceId: Type.String(), ...outcome }), { description: 'The pushes to its devices' }),
    fallback: Type.Union([Type.Object(outcome), Type.Null()], { description: 'The fallback webhook; null while none was due' })
  },
  {
    examples: [
      {
        id: 'qk3mTnHc0Vd5Yx1LbR2w',
        state: 'read',
        answer: { action: 'approve', answeredAt: 1_754_000_000_000, deviceId: 'phone' },
        devices: [{ deviceId: 'phone', received: true, lastAckAt: 1_754_000_000_000 }],
        push: [{ deviceId: 'laptop', status: 'sent', at: 1_753_999_999_000 }],
        fallback: null
      }
    ]
  }
)
