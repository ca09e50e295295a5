import type { ReleaseResult, SweepResult } from './store.ts'

/** How long one sweep releases, milliseconds. Sweeps start each second, so that the larger part of it is left to publishes. */
const BUDGET_MS = 300

/**
 * Releases the users of one sweep, some at once, until the budget is used up. Those who are left stay due for the next sweep; the order
 * starts at a random user, so that none is always among them. A user whose release failed stays due as well. If nothing was released for a user, another node did it and schedules the rest.
 */
export async function releaseInTurns(
  users: string[],
  atOnce: number,
  release: (user: string) => Promise<ReleaseResult>
): Promise<SweepResult> {
  const total: SweepResult = { released: 0, folded: 0, waiting: [] }
  const start = Math.floor(Math.random() * users.length)
  const turns = [...users.slice(start), ...users.slice(0, start)]
  const end = performance.now() + BUDGET_MS
  for (let from = 0; from < turns.length && performance.now() < end; from += atOnce) {
    const some = turns.slice(from, from + atOnce)
    const results = await Promise.allSettled(some.map(release))
    results.forEach((result, index) => {
      if (result.status === 'rejected') return
      const { released, folded, nextAt } = result.value
      total.released += released
      total.folded += folded
      if (released > 0 && nextAt > 0) total.waiting.push({ user: some[index] as string, nextAt })
    })
  }
  return total
}
