import { join } from 'node:path'
import t from 'tap'
import { chaos } from './chaos.ts'
import { countsText, verdict } from './report.ts'
import type { BusKind, StoreKind } from './schedule.ts'

const BUILD = join(import.meta.dirname, '..', '..')
/** Duration of the faults, seconds. `npm run chaos` runs for longer. */
const SECONDS = 18

/**
 * Declares the test of a short run with all faults of the store. Each store has a file of its own, so that the runs, which mostly wait, go on
 * side by side.
 */
export function testCleanRun(store: StoreKind, bus: BusKind = 'redis', seconds = SECONDS): void {
  // For the whole file, on a loaded machine.
  t.setTimeout(600_000)
  t.test(`chaos on ${store}${bus === 'nats' ? ' with NATS' : ''} is clean`, { timeout: 400_000 }, async (t) => {
    const options = {
      store,
      bus,
      seed: 42,
      seconds,
      only: undefined,
      intensity: 1,
      users: 40,
      rate: 130,
      maxEntries: 100_000,
      retentionSeconds: 604_800,
      build: BUILD,
      nodes: 3,
      topics: 3,
      restMs: 60_000,
      callRestMs: 6000
    }
    const { summary, breaches } = await chaos(options)
    t.comment(countsText(summary))
    t.same(breaches.slice(0, 10), [], verdict(summary))
    t.ok(summary.accepted > 100 && summary.delivered > 100, 'notifications were published and delivered')
    t.ok(Object.keys(summary.faults).length >= 6, 'at least six kinds of faults happened')
  })
}
