import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { chaos } from './chaos.ts'
import { mutate, runMutant } from './mutants.ts'
import { type Mutation, mutations } from './mutations.ts'
import { countsText, verdict } from './report.ts'
import { storeKinds } from './schedule.ts'

const BUILD = join(import.meta.dirname, '..', '..')
/** For the whole file, on a machine with little to spare, milliseconds. */
t.setTimeout(1_800_000)

const QUICK = ['the limit is eleven', 'parked ones go to the front', 'a replay goes from the newest to the oldest']

for (const store of storeKinds) {
  t.test(`chaos on ${store} is clean`, { timeout: 400_000 }, async (t) => {
    const options = {
      store,
      seed: 42,
      seconds: 60,
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
    t.ok(summary.accepted > 100 && summary.delivered > 100, 'something was there to be broken')
    t.ok(Object.keys(summary.faults).length >= 6, 'and something that broke it')
  })
}

for (const mutation of mutations.filter(({ name }) => QUICK.includes(name))) {
  t.test(`it bites: ${mutation.name}`, { timeout: 200_000 }, async (t) => {
    const { caughtBy, failure } = await runMutant({ ...mutation, seconds: 6 })
    t.equal(failure, '')
    t.ok(caughtBy.length > 0, `caught by ${caughtBy.join(', ')}`)
  })
}

t.test('every defect can be put into the build, and a text that is not there exactly once is refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'belfry-mutant-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  t.ok(mutations.length >= 20)
  t.equal(new Set(mutations.map(({ name }) => name)).size, mutations.length)
  for (const mutation of mutations) await mutate(mutation, folder)
  const edit = (find: string): Pick<Mutation, 'name' | 'edits'> => ({ name: 'x', edits: [{ file: 'server.js', find, put: '' }] })
  await t.rejects(mutate(edit('not there'), folder), { message: /is 0 times/ })
  await t.rejects(mutate(edit('import'), folder), { message: /times in server.js/ })
})
