import { isOfStore } from '../errors.ts'
import type { AdvanceCounts, AdvanceResult, SweepResult } from './store.ts'

/** Time budget of one sweep, milliseconds. Publishes have the time between two sweeps. */
const BUDGET_MS = 300

const NO_COUNTS: AdvanceCounts = { released: 0, folded: 0, delivered: 0, expired: 0, checked: 0, called: 0, dropped: 0 }

/**
 * Advances the users of one sweep, `concurrency` at a time, until the budget is used up. The order starts at a random user, so that every user
 * is reached by some sweep. The other users (`isPartial`), and those whose step failed, stay due for the next sweep. If a step changed nothing, another node
 * advanced the user and schedules the rest.
 */
export async function advanceUsers(
  users: string[],
  concurrency: number,
  advance: (user: string) => Promise<AdvanceResult>
): Promise<SweepResult> {
  const total: SweepResult = { ...NO_COUNTS, due: [], lanes: [] }
  const lanes = new Set<string>()
  const start = Math.floor(Math.random() * users.length)
  const rotated = [...users.slice(start), ...users.slice(0, start)]
  const end = performance.now() + BUDGET_MS
  for (let from = 0; from < rotated.length; from += concurrency) {
    if (performance.now() >= end) return { ...total, isPartial: true }
    const batch = rotated.slice(from, from + concurrency)
    const results = await Promise.allSettled(batch.map(advance))
    results.forEach((result, index) => {
      if (result.status === 'rejected') {
        if (!isOfStore(result.reason)) total.fault = result.reason
        return
      }
      const { nextAt } = result.value
      addAdvanced(total, result.value)
      for (const lane of result.value.lanes) lanes.add(lane)
      if (hasAdvanced(result.value) && nextAt > 0) total.due.push({ user: batch[index] as string, nextAt })
    })
  }
  return { ...total, lanes: [...lanes].sort() }
}

/** Adds the counts of a step to a total. */
function addAdvanced(total: AdvanceCounts, added: AdvanceCounts): void {
  for (const name of Object.keys(NO_COUNTS) as (keyof AdvanceCounts)[]) total[name] += added[name]
}

/** Returns whether the step changed anything. */
export function hasAdvanced({ released, delivered, expired, checked }: AdvanceCounts): boolean {
  return released + delivered + expired + checked > 0
}

/** Advances a user until nothing more is due by `now`. Returns the sum of the steps. */
export async function drainUser(user: string, now: number, advance: (user: string) => Promise<AdvanceResult>): Promise<AdvanceResult> {
  const result = await advance(user)
  const lanes = new Set(result.lanes)
  let last = result
  while (hasAdvanced(last) && last.nextAt > 0 && last.nextAt <= now) {
    last = await advance(user)
    addAdvanced(result, last)
    for (const lane of last.lanes) lanes.add(lane)
  }
  return { ...result, waiting: last.waiting, nextAt: last.nextAt, lanes: [...lanes] }
}
