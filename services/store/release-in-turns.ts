import type { ReleaseResult, SweepResult } from './store.ts'

/** Time budget of one sweep, milliseconds. A sweep starts each second, so that publishes have the larger part of it. */
const BUDGET_MS = 300

/**
 * Releases the users of one sweep, `concurrency` at a time, until the budget is used up. The order starts at a random user, so that no user is
 * always left over. Users who are left over, and those whose release failed, stay due for the next sweep. If nothing was released for a
 * user, another node did it and schedules the rest.
 */
export async function releaseInTurns(
  users: string[],
  concurrency: number,
  release: (user: string) => Promise<ReleaseResult>
): Promise<SweepResult> {
  const total: SweepResult = { released: 0, folded: 0, waiting: [] }
  const start = Math.floor(Math.random() * users.length)
  const rotated = [...users.slice(start), ...users.slice(0, start)]
  const end = performance.now() + BUDGET_MS
  for (let from = 0; from < rotated.length && performance.now() < end; from += concurrency) {
    const batch = rotated.slice(from, from + concurrency)
    const results = await Promise.allSettled(batch.map(release))
    results.forEach((result, index) => {
      if (result.status === 'rejected') return
      const { released, folded, nextAt } = result.value
      total.released += released
      total.folded += folded
      if (released > 0 && nextAt > 0) total.waiting.push({ user: batch[index] as string, nextAt })
    })
  }
  return total
}
