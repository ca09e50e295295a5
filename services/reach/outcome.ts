/** Longest `Retry-After` that is obeyed, milliseconds. */
const MAX_RETRY_AFTER_MS = 24 * 3600 * 1000

/** A date of HTTP (RFC 9110 §5.6.7), in its form and in the obsolete one of RFC 850. `Date.parse` finds dates in other texts, too. */
const HTTP_DATE = /^[A-Z][a-z]+, \d\d[ -][A-Z][a-z]{2}[ -](?:\d\d){1,2} \d\d:\d\d:\d\d GMT$/

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

/** Delays before the attempts after the first of a webhook, milliseconds. After the last one the call is given up. */
const WEBHOOK_DELAYS_MS = [
  5 * SECOND_MS,
  30 * SECOND_MS,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  HOUR_MS,
  3 * HOUR_MS,
  6 * HOUR_MS,
  12 * HOUR_MS,
  24 * HOUR_MS
]

/** Delay after the first attempt of a push, milliseconds. It doubles with each further attempt. */
const PUSH_FIRST_DELAY_MS = 5 * SECOND_MS
const PUSH_MAX_DELAY_MS = HOUR_MS

/** Age at which a push is given up, milliseconds. */
export const PUSH_MAX_AGE_MS = 24 * HOUR_MS

/** Largest part by which a delay is longer than the schedule, so that calls that failed together do not return together. */
const JITTER = 0.2

/** The answer of a receiver. */
export interface Reply {
  status: number
  /** The header `Retry-After`; undefined: the answer has none. */
  retryAfter?: string | undefined
}

/** The end of an attempt: the reply, or `unreachable` if there was none (no connection, no answer in time), with the reason for people. */
export type Attempt = Reply | { status: 'unreachable'; reason?: string }

/**
 * - `delivered`: the receiver accepted the call
 * - `retry`: the call is repeated after `delayMs`
 * - `gone`: the receiver will accept no further call
 * - `refused`: the receiver will never accept this call
 * - `exhausted`: the last attempt failed
 */
export type Outcome =
  | { result: 'delivered' }
  | { result: 'retry'; delayMs: number }
  | { result: 'gone' }
  | { result: 'refused' }
  | { result: 'exhausted' }

/** The times of a call. Unix milliseconds. */
export interface CallTimes {
  /** Attempts so far, this one included. */
  attempts: number
  createdAt: number
  now: number
}

/**
 * Returns what an attempt to push comes to (RFC 8030 §5, §7.3): 404 and 410 end the subscription; 429, 5xx and no answer are retried until the
 * notification expires, for at most 24 h; anything else is refused.
 *
 * @param expiresAt when the notification expires, Unix milliseconds; 0: never
 * @param random from 0 to 1
 */
export function pushOutcome(attempt: Attempt, { attempts, createdAt, now }: CallTimes, expiresAt: number, random = Math.random()): Outcome {
  const { status } = attempt
  if (isSuccess(status)) return { result: 'delivered' }
  if (status === 404 || status === 410) return { result: 'gone' }
  if (status !== 'unreachable' && status !== 429 && status < 500) return { result: 'refused' }
  const backOffMs = Math.min(PUSH_MAX_DELAY_MS, PUSH_FIRST_DELAY_MS * 2 ** (attempts - 1))
  const delayMs = delayOf(attempt, backOffMs, now, random)
  const endsAt = Math.min(createdAt + PUSH_MAX_AGE_MS, expiresAt === 0 ? Number.POSITIVE_INFINITY : expiresAt)
  return now + delayMs < endsAt ? { result: 'retry', delayMs } : { result: 'exhausted' }
}

/**
 * Returns what an attempt to call the webhook comes to (Standard Webhooks): 410 ends the endpoint, any other failure is retried on the schedule.
 *
 * @param random from 0 to 1
 */
export function webhookOutcome(attempt: Attempt, { attempts, now }: Omit<CallTimes, 'createdAt'>, random = Math.random()): Outcome {
  if (isSuccess(attempt.status)) return { result: 'delivered' }
  if (attempt.status === 410) return { result: 'gone' }
  const scheduledMs = WEBHOOK_DELAYS_MS[attempts - 1]
  return scheduledMs === undefined ? { result: 'exhausted' } : { result: 'retry', delayMs: delayOf(attempt, scheduledMs, now, random) }
}

function isSuccess(status: number | 'unreachable'): boolean {
  return status !== 'unreachable' && status >= 200 && status < 300
}

/** Returns the delay of the schedule with its jitter, or the time that the receiver asks for, whichever is longer. */
function delayOf(attempt: Attempt, scheduledMs: number, now: number, random: number): number {
  const askedMs = attempt.status === 'unreachable' ? 0 : retryAfterMs(attempt.retryAfter, now)
  return Math.round(Math.max(scheduledMs, askedMs) * (1 + JITTER * random))
}

/** Parses `Retry-After` (RFC 9110 §10.2.3): seconds or a date. Anything else is 0. */
export function retryAfterMs(header: string | undefined, now: number): number {
  const text = (header ?? '').trim()
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, MAX_RETRY_AFTER_MS)
  const ms = HTTP_DATE.test(text) ? Date.parse(text) - now : 0
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS) : 0
}
