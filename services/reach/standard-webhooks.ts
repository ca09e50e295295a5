import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { WebhookEvent } from '../store/store.ts'

/** Prefix of a secret (Standard Webhooks). */
const SECRET_PREFIX = 'whsec_'
/** Bytes that a secret may have. */
const SECRET_BYTES = { min: 24, max: 64, made: 32 }

/** The events of webhooks, as `WEBHOOK_EVENTS` names them. */
export const WEBHOOK_EVENTS = [
  'notification.fallback',
  'notification.answered',
  'notification.expired',
  'user.online',
  'user.offline'
] as const satisfies WebhookEvent[]

export function isWebhookEvent(text: string): text is WebhookEvent {
  return (WEBHOOK_EVENTS as readonly string[]).includes(text)
}

/** Returns a new secret. */
export function makeWebhookSecret(): string {
  return `${SECRET_PREFIX}${randomBytes(SECRET_BYTES.made).toString('base64')}`
}

/** Returns the key in a secret `whsec_<base64>`; undefined if the secret is not one. */
export function webhookKey(secret: string): Buffer | undefined {
  if (!secret.startsWith(SECRET_PREFIX)) return undefined
  const text = secret.slice(SECRET_PREFIX.length)
  const key = Buffer.from(text, 'base64')
  const isCanonical = key.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')
  return isCanonical && key.length >= SECRET_BYTES.min && key.length <= SECRET_BYTES.max ? key : undefined
}

/**
 * Returns the signature of a webhook (Standard Webhooks): one entry for each key, so that a receiver accepts it while secrets rotate.
 *
 * @param id `webhook-id`
 * @param timestamp `webhook-timestamp`, seconds
 */
export function signWebhook(keys: readonly Buffer[], id: string, timestamp: number, body: string): string {
  return keys.map((key) => `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`).join(' ')
}

/**
 * Returns the body of a webhook.
 *
 * @param at time of the event, Unix milliseconds
 */
export function webhookBody(type: WebhookEvent, at: number, data: unknown): string {
  return JSON.stringify({ type, timestamp: new Date(at).toISOString(), data })
}

/**
 * Returns the headers of one attempt. `webhook-id` is the same in each attempt of a call.
 *
 * @param now Unix milliseconds
 */
export function webhookHeaders(keys: readonly Buffer[], id: string, body: string, now: number): Record<string, string> {
  const timestamp = Math.floor(now / 1000)
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signWebhook(keys, id, timestamp, body)
  }
}

/** Largest age of a webhook that a receiver accepts, and the time by which it may be ahead, seconds (Standard Webhooks). */
const TOLERANCE_SECONDS = 300

/** The refusal of a webhook that is signed with another secret. */
export const WRONG_SECRET = 'the signature is not of this secret'

/** Headers of a webhook, in lower case. */
type WebhookHeaders = Record<string, string | string[] | undefined>

/**
 * Checks a webhook as a receiver does. Returns why it must not be trusted; undefined if it may be.
 *
 * @param keys those of the secrets in use
 * @param now Unix milliseconds
 */
export function webhookRefusal(keys: readonly Buffer[], headers: WebhookHeaders, body: string, now: number): string | undefined {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signatures !== 'string') return 'a webhook header is missing'
  const seconds = Number(timestamp)
  if (!Number.isSafeInteger(seconds) || Math.abs(now / 1000 - seconds) > TOLERANCE_SECONDS)
    return 'the timestamp is not within five minutes'
  const expected = signWebhook(keys, id, seconds, body).split(' ')
  const isSigned = signatures.split(' ').some((given) => expected.some((wanted) => isEqual(given, wanted)))
  return isSigned ? undefined : WRONG_SECRET
}

/** Compares two texts in a time that does not depend on how much of them is equal. */
function isEqual(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)]
  return first.length === second.length && timingSafeEqual(first, second)
}
