import { createPublicKey } from 'node:crypto'
import { errors } from '../errors.ts'
import type { PushSubscription } from '../store/store.ts'
import type { PushEndpoints } from './push-endpoint.ts'

/** Bytes of an uncompressed point of P-256: 4, x and y. */
const POINT_BYTES = 65
const COORDINATE_BYTES = 32
const UNCOMPRESSED = 4
/** Bytes of the authentication secret (RFC 8291 §3.2). */
const AUTH_BYTES = 16

/** A `PushSubscription` of a browser, as its `toJSON` returns it. */
export interface PushSubscriptionJson {
  endpoint: string
  /** The time at which the push service forgets the subscription, Unix milliseconds; null or undefined: unknown. */
  expirationTime?: number | null
  /** base64url. */
  keys: { p256dh: string; auth: string }
}

/**
 * Checks a subscription that a client sent: the endpoint is of a push service, `p256dh` is a point on P-256, and `auth` has 16 bytes.
 *
 * @param now Unix milliseconds
 * @throws InvalidRequest
 */
export function checkSubscription(
  { endpoint, expirationTime, keys }: PushSubscriptionJson,
  endpoints: PushEndpoints,
  now: number
): Omit<PushSubscription, 'deviceId'> {
  const accepted = endpoints.accept(endpoint)
  if (accepted === undefined) throw new errors.InvalidRequest('endpoint is not of a known push service, nor of an origin in PUSH_ENDPOINTS')
  if (typeof expirationTime === 'number' && expirationTime <= now) throw new errors.InvalidRequest('the subscription has expired')
  if (!isPoint(bytesOf(keys.p256dh))) throw new errors.InvalidRequest('keys.p256dh must be a point on P-256, uncompressed, as base64url')
  if (bytesOf(keys.auth)?.length !== AUTH_BYTES) throw new errors.InvalidRequest('keys.auth must be 16 bytes as base64url')
  const { p256dh, auth } = keys
  return { endpoint: accepted.url, lane: accepted.lane, p256dh, auth, expirationTime: Math.floor(expirationTime ?? 0) }
}

/** Returns the bytes of base64url without padding; undefined if the text is anything else. */
function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

function isPoint(bytes: Buffer | undefined): boolean {
  if (bytes?.length !== POINT_BYTES || bytes[0] !== UNCOMPRESSED) return false
  const x = bytes.subarray(1, 1 + COORDINATE_BYTES).toString('base64url')
  const y = bytes.subarray(1 + COORDINATE_BYTES).toString('base64url')
  try {
    createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' })
    return true
  } catch {
    return false
  }
}
