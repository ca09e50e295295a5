import webPush from 'web-push'
import type { Notification, Urgency } from '../protocol/index.ts'
import type { PushSubscription } from '../store/store.ts'
import type { OutgoingRequest } from './http-sender.ts'
import { topicOf } from './push-topic.ts'
import type { VapidIdentity } from './vapid.ts'

/** Longest time for which a push service keeps a message, seconds: four weeks. */
const MAX_TTL_SECONDS = 2_419_200

interface PushTimes {
  /** The time from which the notification can no longer be read, Unix milliseconds. */
  endsAt: number
  now: number
}

/**
 * Returns the request that pushes a payload to a subscription: encrypted for the browser (RFC 8291), signed with the keys of this service
 * (RFC 8292), with `TTL`, `Urgency` and `Topic` (RFC 8030 §5).
 */
export function pushRequest(
  { endpoint, p256dh, auth }: Pick<PushSubscription, 'endpoint' | 'p256dh' | 'auth'>,
  { collapseKey, urgency = 'normal' }: Pick<Notification, 'collapseKey' | 'urgency'>,
  payload: string,
  vapidDetails: VapidIdentity,
  { endsAt, now }: PushTimes
): OutgoingRequest {
  const details = webPush.generateRequestDetails({ endpoint, keys: { p256dh, auth } }, payload, {
    vapidDetails,
    TTL: Math.min(MAX_TTL_SECONDS, Math.max(0, Math.floor((endsAt - now) / 1000))),
    urgency: urgency satisfies Urgency,
    contentEncoding: 'aes128gcm',
    ...(collapseKey !== undefined && { topic: topicOf(collapseKey) })
  })
  const headers = Object.entries(details.headers).map(([name, value]) => [name.toLowerCase(), String(value)])
  return { url: endpoint, headers: Object.fromEntries(headers), body: details.body as Buffer }
}
