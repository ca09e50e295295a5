import t from 'tap'
import { runMutant } from './mutants.ts'
import { mutations } from './mutations.ts'

/** One defect in Lua and one in TypeScript. */
const QUICK = ['a recall does not lower the unread count', 'a replay is sent newest first']

// For the whole file, on a loaded machine.
t.setTimeout(600_000)

for (const quick of QUICK) {
  t.test(`the run catches a defect: ${quick}`, { timeout: 200_000 }, async (t) => {
    const mutation = mutations.find(({ name }) => name === quick)
    if (mutation === undefined) throw new Error(`no mutant has the name ${quick}`)
    const { caughtBy, failure } = await runMutant({ ...mutation, seconds: 6 })
    t.equal(failure, '')
    t.ok(caughtBy.length > 0, `caught by ${caughtBy.join(', ')}`)
  })
}
