import { Type } from 'typebox'
import { DeviceSchema } from './common.ts'

export const PushKeySchema = Type.Object(
  { publicKey: Type.String({ description: 'The applicationServerKey of PushManager.subscribe(), base64url' }) },
  {
    description: 'The key',
    examples: [{ publicKey: 'BOtEqxvPHvUKaPKVxNfm_P4i9tuBLtx3KNOQHZqxuuc6bYeu1Ln4aZlik4qw0x1-xW1akwI_yt3WBPXvFWaaNDg' }]
  }
)

export const PushParams = Type.Object({ deviceId: DeviceSchema })

/** A `PushSubscription` of a browser. `services/reach/push-subscription.ts` checks what a schema cannot. */
export const PushSubscriptionSchema = Type.Object(
  {
    endpoint: Type.String({ maxLength: 2048, description: 'Of a known push service, or of an origin in PUSH_ENDPOINTS' }),
    expirationTime: Type.Optional(
      Type.Union([Type.Number({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Null()], {
        description: 'When the push service forgets it, Unix milliseconds'
      })
    ),
    keys: Type.Object(
      {
        p256dh: Type.String({ maxLength: 128, description: 'A point on P-256, uncompressed, base64url' }),
        auth: Type.String({ maxLength: 64, description: '16 bytes, base64url' })
      },
      { additionalProperties: false }
    )
  },
  {
    additionalProperties: false,
    description: 'The JSON of the PushSubscription that the browser returned',
    examples: [
      {
        endpoint: 'https://fcm.googleapis.com/fcm/send/dGhlIGVuZHBvaW50OmlzIGxvbmdlcg',
        expirationTime: null,
        keys: {
          p256dh: 'BOtEqxvPHvUKaPKVxNfm_P4i9tuBLtx3KNOQHZqxuuc6bYeu1Ln4aZlik4qw0x1-xW1akwI_yt3WBPXvFWaaNDg',
          auth: 'm19wm5xrwoqcbTEaGk8clQ'
        }
      }
    ]
  }
)
