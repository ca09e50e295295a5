import type { Attempt, Outcome } from './outcome.ts'

/** Time in which failures of one kind are reported once, milliseconds. */
const REPORT_INTERVAL_MS = 600_000

/** A failed attempt. */
export interface Failure {
  lane: string
  kind: 'push' | 'webhook'
  attempt: Attempt
  result: Outcome['result']
}

/**
 * Chooses the failures that the log gets: the first of each lane and status, and one in ten minutes after it, so that a receiver that fails for hours
 * does not fill the log. The metrics count all of them.
 */
export class FailureReports {
  /** The time of the last report by lane and status, Unix milliseconds. Both come from short lists. */
  readonly #reportedAt = new Map<string, number>()

  /** Returns true if the failure is to be reported, and notes that it is. @param now Unix milliseconds */
  take({ lane, attempt }: Failure, now: number): boolean {
    const key = `${lane} ${attempt.status}`
    const isDue = now - (this.#reportedAt.get(key) ?? Number.NEGATIVE_INFINITY) >= REPORT_INTERVAL_MS
    if (isDue) this.#reportedAt.set(key, now)
    return isDue
  }
}

/** Returns what a failure means, what follows, and what the operator can do. */
export function describeFailure({ kind, attempt: { status }, result }: Failure): string {
  const [what, advice] = kind === 'webhook' ? webhookFailure(status) : pushFailure(status)
  const next = result === 'retry' ? `the ${kind} is sent again` : `the ${kind} is given up`
  return [`${what}: ${next}`, advice].filter(Boolean).join('. ')
}

type Description = [what: string, advice: string]

function webhookFailure(status: Attempt['status']): Description {
  if (status === 'unreachable') return ['the receiver of webhooks did not answer', 'Check that it runs, and WEBHOOK_URL']
  const what = `the receiver of webhooks answered ${status}`
  if (status === 401 || status === 403) return [what, 'Check that it verifies with the WEBHOOK_SECRET of this service']
  if (status >= 300 && status < 400) return [what, 'Redirects are not followed: set WEBHOOK_URL to the final address']
  return [what, status === 404 || status === 405 ? 'Check the path in WEBHOOK_URL' : '']
}

function pushFailure(status: Attempt['status']): Description {
  if (status === 'unreachable') return ['the push service did not answer', 'Check that this machine can reach it']
  const isRefused = status === 400 || status === 401 || status === 403
  const advice =
    'Check VAPID_SUBJECT and the clock of this machine. If the VAPID keys were changed, a browser subscribes again when its user opens the app'
  return [`the push service answered ${status}`, isRefused ? advice : '']
}
