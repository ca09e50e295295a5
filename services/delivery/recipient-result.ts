import { type BelfryError, errors } from '../errors.ts'
import { retryAfterOf } from '../problem.ts'
import { formatEventId } from '../protocol/index.ts'
import type { PublishResult } from '../store/store.ts'

/** The result of a publish for one recipient. */
export type RecipientResult =
  | { user: string; status: 'accepted'; eventId?: string; nodes: number }
  | { user: string; status: 'parked'; releaseAt: number; nodes: number }
  | { user: string; status: 'scheduled'; deliverAt: number; nodes: number }
  | { user: string; status: 'rejected'; code: string; retryAfterMs?: number; nodes: number }

/** `failed`: the store refused the publish, or its answer was lost. */
export type Outcome = PublishResult | { status: 'failed'; error: BelfryError }

/** Returns the outcome of a publish to a user in the form of the answer. */
export function recipientResult(user: string, outcome: Outcome): RecipientResult {
  switch (outcome.status) {
    case 'accepted':
      return { user, status: 'accepted', eventId: formatEventId(outcome), nodes: outcome.nodes }
    case 'recalled':
      return { user, status: 'accepted', nodes: 0 }
    case 'parked':
      return { user, status: 'parked', releaseAt: outcome.releaseAt, nodes: 0 }
    case 'scheduled':
      return { user, status: 'scheduled', deliverAt: outcome.deliverAt, nodes: 0 }
    case 'full':
    case 'scheduledFull':
      return { user, status: 'rejected', code: fullError(outcome).code, retryAfterMs: outcome.retryAfterMs, nodes: 0 }
    case 'expired':
      return { user, status: 'rejected', code: expiredError().code, nodes: 0 }
    case 'erased':
      return { user, status: 'rejected', code: 'BELFRY_ERR_NOT_FOUND', nodes: 0 }
    case 'conflict':
      return { user, status: 'rejected', code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT', nodes: 0 }
    case 'failed':
      return { user, status: 'rejected', code: outcome.error.code, retryAfterMs: retryAfterOf(outcome.error) as number, nodes: 0 }
  }
}

/** Returns the error of a publish to a user with `PARKED_MAX` parked or `SCHEDULED_MAX` scheduled notifications. */
export function fullError({ status, retryAfterMs }: { status: 'full' | 'scheduledFull'; retryAfterMs: number }): BelfryError {
  const error = status === 'full' ? new errors.ParkedFull() : new errors.ScheduledFull()
  return Object.assign(error, { retryAfterMs })
}

/** Returns the error of a publish whose `expiresAt` has passed, or comes before the delivery. */
export function expiredError(): BelfryError {
  return new errors.InvalidRequest('expiresAt must be in the future, and after deliverAt; it is Unix milliseconds')
}
