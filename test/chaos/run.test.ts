import { join } from 'node:path'
import t from 'tap'
import { chaos } from './chaos.ts'
import { runMutant } from './mutants.ts'
import { mutations } from './mutations.ts'
import { countsText, verdict } from './report.ts'
import { storeKinds } from './schedule.ts'

const BUILD = join(import.meta.dirname, '..', '..')
// For the whole file, on a loaded machine.
t.setTimeout(1_800_000)

/** One defect in Lua and one in TypeScript. */
const QUICK = ['a recall does not lower the unread count', 'a replay is sent newest first']

for (const store of storeKinds) {
  t.test(`chaos on ${store} is clean`, { timeout: 400_000 }, async (t) => {
    const options = {
      store,
      seed: 42,
      seconds: 30,
      only: undefined,
      intensity: 1,
      users: 40,
      rate: 130,
      maxEntries: 100_000,
      retentionSeconds: 604_800,
      build: BUILD,
      nodes: 3,
      restMs: 60_000
    }
    const { summary, breaches } = await chaos(options)
    t.comment(countsText(summary))
    t.same(breaches.slice(0, 10), [], verdict(summary))
    t.ok(summary.accepted > 100 && summary.delivered > 100, 'notifications were published and delivered')
    t.ok(Object.keys(summary.faults).length >= 6, 'at least six kinds of faults happened')
  })
}

for (const quick of QUICK) {
  t.test(`the run catches a defect: ${quick}`, { timeout: 200_000 }, async (t) => {
    const mutation = mutations.find(({ name }) => name === quick)
    if (mutation === undefined) throw new Error(`no mutant has the name ${quick}`)
    const { caughtBy, failure } = await runMutant({ ...mutation, seconds: 6 })
    t.equal(failure, '')
    t.ok(caughtBy.length > 0, `caught by ${caughtBy.join(', ')}`)
  })
}
