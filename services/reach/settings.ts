import type { PresenceTimes, ReachRule, Unless, WebhookEvent } from '../store/store.ts'
import { isPushOrigin } from './push-endpoint.ts'
import { isWebhookEvent, WEBHOOK_EVENTS, webhookKey } from './standard-webhooks.ts'
import { areVapidKeys, isVapidSubject } from './vapid.ts'

/** Secrets of webhooks that may be in use at one time. */
const MAX_WEBHOOK_SECRETS = 2

/**
 * Period at which the connections of an online user are checked, milliseconds. A node counts as dead after 15 s: 32 s after its death, its users are
 * known to be offline.
 */
const PRESENCE_CHECK_MS = 15_000

interface PushSettings {
  VAPID_PUBLIC_KEY: string
  VAPID_PRIVATE_KEY: string
  VAPID_SUBJECT: string
  PUSH_ENDPOINTS: string[]
}

interface WebhookSettings {
  WEBHOOK_URL: string
  WEBHOOK_SECRET: string[]
  WEBHOOK_EVENTS: string[]
}

/** Returns the rule for pushes of notifications that say nothing about it. */
export function pushRuleOf({ PUSH_AFTER_SECONDS, PUSH_UNLESS }: { PUSH_AFTER_SECONDS: number; PUSH_UNLESS: Unless }): ReachRule {
  return { afterMs: PUSH_AFTER_SECONDS * 1000, unless: PUSH_UNLESS }
}

/** Returns the events that are sent as webhooks: those of `WEBHOOK_EVENTS`, all if it is empty, none without `WEBHOOK_URL`. */
export function webhookEventsOf({ WEBHOOK_URL, WEBHOOK_EVENTS: events }: Omit<WebhookSettings, 'WEBHOOK_SECRET'>): WebhookEvent[] {
  if (WEBHOOK_URL === '') return []
  return WEBHOOK_EVENTS.filter((event) => events.length === 0 || events.includes(event))
}

/** Returns the times of presence; undefined if no webhook tells of it, so that presence costs nothing. */
export function presenceTimesOf(
  config: Omit<WebhookSettings, 'WEBHOOK_SECRET'> & { PRESENCE_GRACE_SECONDS: number }
): PresenceTimes | undefined {
  const isTold = webhookEventsOf(config).some((event) => event === 'user.online' || event === 'user.offline')
  return isTold ? { graceMs: config.PRESENCE_GRACE_SECONDS * 1000, checkMs: PRESENCE_CHECK_MS } : undefined
}

/** Returns one line for each problem of the settings of Web Push. No line shows a key. */
export function problemsOfPush({ VAPID_PUBLIC_KEY, VAPID_PRIVATE_KEY, VAPID_SUBJECT, PUSH_ENDPOINTS }: PushSettings): string[] {
  const problems: string[] = []
  const keys = { publicKey: VAPID_PUBLIC_KEY, privateKey: VAPID_PRIVATE_KEY }
  if ((keys.publicKey === '') !== (keys.privateKey === ''))
    problems.push('VAPID_PUBLIC_KEY and VAPID_PRIVATE_KEY go together; `belfry vapid` makes a pair')
  else if (keys.publicKey !== '') {
    if (!areVapidKeys(keys)) problems.push('VAPID_PRIVATE_KEY must be the private key of VAPID_PUBLIC_KEY; `belfry vapid` makes a pair')
    if (VAPID_SUBJECT === '') problems.push('VAPID_PUBLIC_KEY needs VAPID_SUBJECT, a contact such as mailto:ops@your-domain')
  }
  if (VAPID_SUBJECT !== '' && !isVapidSubject(VAPID_SUBJECT)) problems.push('VAPID_SUBJECT must be a mailto: or https: address')
  for (const origin of PUSH_ENDPOINTS) {
    if (!isPushOrigin(origin)) problems.push(`PUSH_ENDPOINTS: ${origin} must be https://host[:port], or http:// on loopback`)
  }
  return problems
}

/** Returns one line for each problem of the settings of webhooks. No line shows a secret. */
export function problemsOfWebhooks({ WEBHOOK_URL, WEBHOOK_SECRET, WEBHOOK_EVENTS: events }: WebhookSettings): string[] {
  const problems: string[] = []
  if (WEBHOOK_URL !== '' && !isWebhookUrl(WEBHOOK_URL))
    problems.push('WEBHOOK_URL must be an http:// or https:// URL without user and fragment')
  if (WEBHOOK_URL !== '' && WEBHOOK_SECRET.length === 0)
    problems.push('WEBHOOK_URL needs WEBHOOK_SECRET; `echo whsec_$(openssl rand -base64 32)` makes one')
  if (WEBHOOK_SECRET.length > MAX_WEBHOOK_SECRETS) problems.push(`WEBHOOK_SECRET may have ${MAX_WEBHOOK_SECRETS} secrets`)
  if (!WEBHOOK_SECRET.every((secret) => webhookKey(secret) !== undefined))
    problems.push('WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64; `echo whsec_$(openssl rand -base64 32)` makes one')
  for (const event of events) {
    if (!isWebhookEvent(event)) problems.push(`WEBHOOK_EVENTS: ${event} must be one of ${WEBHOOK_EVENTS.join(', ')}`)
  }
  return problems
}

function isWebhookUrl(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, username, password, hash } = new URL(value)
  return ['http:', 'https:'].includes(protocol) && username + password + hash === '' && !/\s/.test(value)
}
