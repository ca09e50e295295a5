import webPush from 'web-push'
import type { Notification, Urgency } from '../protocol/index.ts'
import type { PushSubscription } from '../store/store.ts'
import type { OutgoingRequest } from './http-sender.ts'
import { topicOf } from './push-topic.ts'
import type { VapidIdentity } from './vapid.ts'

/** Longest time for which a push service keeps a message, seconds: four weeks. */
const MAX_TTL_SECONDS = 2_419_200

/** Time for which a signature is used again, milliseconds. It is valid for 12 h. */
const SIGNATURE_MS = 3_600_000

/** Signatures that are kept: the hosts of a push service are many, and a client names one of them. */
const MAX_SIGNATURES = 100

/**
 * Signs the header that identifies this service to a push service (RFC 8292), and keeps it by origin. A signature takes more CPU time than the
 * encryption of a push, and one is valid for many pushes (RFC 8292 §2.1).
 */
export class VapidSignatures {
  readonly #identity: VapidIdentity
  readonly #byOrigin = new Map<string, { header: string; madeAt: number }>()

  constructor(identity: VapidIdentity) {
    this.#identity = identity
  }

  /** @param now Unix milliseconds */
  headerFor(endpoint: string, now: number): string {
    const { origin } = new URL(endpoint)
    const kept = this.#byOrigin.get(origin)
    if (kept !== undefined && Math.abs(now - kept.madeAt) < SIGNATURE_MS) return kept.header
    const { subject, publicKey, privateKey } = this.#identity
    const { Authorization: header } = webPush.getVapidHeaders(origin, subject, publicKey, privateKey, 'aes128gcm')
    if (this.#byOrigin.size >= MAX_SIGNATURES) this.#byOrigin.clear()
    this.#byOrigin.set(origin, { header, madeAt: now })
    return header
  }
}

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
  signatures: VapidSignatures,
  { endsAt, now }: PushTimes
): OutgoingRequest {
  const details = webPush.generateRequestDetails({ endpoint, keys: { p256dh, auth } }, payload, {
    headers: { Authorization: signatures.headerFor(endpoint, now) },
    TTL: Math.min(MAX_TTL_SECONDS, Math.max(0, Math.floor((endsAt - now) / 1000))),
    urgency: urgency satisfies Urgency,
    contentEncoding: 'aes128gcm',
    ...(collapseKey !== undefined && { topic: topicOf(collapseKey) })
  })
  const headers = Object.entries(details.headers).map(([name, value]) => [name.toLowerCase(), String(value)])
  return { url: endpoint, headers: Object.fromEntries(headers), body: details.body as Buffer }
}
