import type { ReleaseResult, SweepResult } from './store.ts'

/** What the releases of one sweep came to. A user for whom nothing was released is somebody else's: whoever did it goes on. */
export function summarizeSweep(users: string[], results: ReleaseResult[]): SweepResult {
  const total: SweepResult = { released: 0, folded: 0, waiting: [] }
  for (const [index, { released, folded, nextAt }] of results.entries()) {
    total.released += released
    total.folded += folded
    if (released > 0 && nextAt > 0) total.waiting.push({ user: users[index] as string, nextAt })
  }
  return total
}
