import type { LeaseResult } from './outbox.ts'

/** Users whose calls are leased at once. */
const CONCURRENCY = 16

/**
 * Leases up to `limit` calls of users, in the order of the list. A user of whom nothing could be leased, because the store failed for them, is
 * passed over: their calls stay due. Rejects if the store failed for all.
 *
 * @param users takes users from the front; those that are left at the end were not needed
 */
export async function leaseFrom(
  users: string[],
  limit: number,
  leaseOf: (user: string, limit: number) => Promise<LeaseResult>
): Promise<LeaseResult> {
  const total: LeaseResult = { calls: [], dropped: 0 }
  let failure: unknown
  let hasSucceeded = false
  while (users.length > 0 && total.calls.length < limit) {
    const left = limit - total.calls.length
    const batch = users.splice(0, Math.min(left, CONCURRENCY))
    const share = Math.floor(left / batch.length)
    for (const result of await Promise.allSettled(batch.map((user) => leaseOf(user, share)))) {
      if (result.status === 'rejected') failure = result.reason
      else {
        hasSucceeded = true
        total.calls.push(...result.value.calls)
        total.dropped += result.value.dropped
      }
    }
  }
  if (!hasSucceeded && failure !== undefined) throw failure
  return total
}
