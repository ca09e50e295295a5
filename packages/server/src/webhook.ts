import { BelfryError } from './errors.ts'
import type { WebhookEvent } from './types.ts'

/** Largest age of a webhook, and the time by which it may be ahead, seconds (Standard Webhooks). */
const TOLERANCE_SECONDS = 300
const SECRET_PREFIX = 'whsec_'
const SIGNATURE_PREFIX = 'v1,'

/** The headers of a request: those of Node, Express and Fastify, or `Headers` of the fetch standard. */
export type WebhookHeaders = Record<string, string | string[] | undefined> | { get(name: string): string | null }

export interface WebhookOptions {
  /** Default 300. */
  toleranceSeconds?: number
}

/**
 * Verifies a webhook of the service (Standard Webhooks) and returns its event. Compares signatures in constant time. Rejects with a BelfryError with
 * the code BELFRY_SDK_WEBHOOK and status 400 if the webhook must not be trusted. A webhook can arrive more than once: its `id` is then the same.
 *
 * @param body the body as it was received: parsed JSON has not the same bytes
 * @param secret `WEBHOOK_SECRET` of the service, `whsec_…`; while it rotates two, as a list or separated by a comma
 * @throws TypeError if a secret is not one, or the body was parsed
 */
export async function verifyWebhook(
  headers: WebhookHeaders,
  body: string | Uint8Array,
  secret: string | readonly string[],
  { toleranceSeconds = TOLERANCE_SECONDS }: WebhookOptions = {}
): Promise<WebhookEvent> {
  const keys = await Promise.all(secretsOf(secret).map(keyOf))
  const [id, timestamp, signature] = ['id', 'timestamp', 'signature'].map((name) => headerOf(headers, `webhook-${name}`))
  if (!id || !timestamp || !signature) throw refusal('a header is missing')
  const ageSeconds = Math.abs(Date.now() / 1000 - Number(timestamp))
  if (!(ageSeconds <= toleranceSeconds)) throw refusal(`its timestamp is not within ${toleranceSeconds} s`)
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body)
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${text}`)
  const signatures = signature.split(' ').filter((part) => part.startsWith(SIGNATURE_PREFIX))
  let isGenuine = false
  for (const key of keys) {
    for (const given of signatures) {
      const bytes = bytesOf(given.slice(SIGNATURE_PREFIX.length))
      if (bytes !== undefined && (await crypto.subtle.verify('HMAC', key, bytes, signed))) isGenuine = true
    }
  }
  if (!isGenuine) throw refusal('no signature is of this secret')
  return { id, ...(JSON.parse(text) as Omit<WebhookEvent, 'id'>) } as WebhookEvent
}

function refusal(reason: string): BelfryError {
  return new BelfryError('BELFRY_SDK_WEBHOOK', `The webhook is not genuine: ${reason}`, { status: 400 })
}

function headerOf(headers: WebhookHeaders, name: string): string | undefined {
  if (typeof headers.get === 'function') return headers.get(name) ?? undefined
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? []
  return Array.isArray(value) ? value[0] : (value as string | undefined)
}

function secretsOf(secret: string | readonly string[]): string[] {
  return [secret]
    .flat()
    .join()
    .split(',')
    .map((part) => part.trim())
}

async function keyOf(secret: string) {
  const bytes = secret.startsWith(SECRET_PREFIX) ? bytesOf(secret.slice(SECRET_PREFIX.length)) : undefined
  if (!bytes?.length) throw new TypeError('a webhook secret is whsec_ and Base64')
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
}

/** Decodes Base64; returns undefined if the text is not Base64. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}
