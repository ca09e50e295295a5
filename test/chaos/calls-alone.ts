import { rm } from 'node:fs/promises'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import { LEASE_MS } from '../../services/store/limits.ts'
import { temporaryFolder } from '../conformance/embedded-setup.ts'
import { Recorder } from '../conformance/stage.ts'
import { until } from '../fixtures/wait.ts'
import { CallLedger } from './call-ledger.ts'
import { chaosSettings, chaosUsers } from './embedded-child.ts'
import { runUntilKilled } from './killed-child.ts'

// Kills a few processes that use a store, and prints the faults of their calls, as JSON. `call-ledger.test.ts` runs it against copies of the build.

const KILLS = 2
const NUMBERS_PER_CHILD = 100_000
const CHILD_MS = 300

const folder = await temporaryFolder()
const ledgers = new Map(chaosUsers.map((user) => [user, { calls: new CallLedger(), owed: [] as number[] }]))

async function open(clock: () => number): Promise<EmbeddedStore> {
  const store = new EmbeddedStore({ folder, settings: { ...chaosSettings, clock } })
  await store.open('parent', new Recorder())
  return store
}

for (let kill = 0; kill < KILLS; kill++) {
  await runUntilKilled(folder, 1 + kill * NUMBERS_PER_CHILD, CHILD_MS, (answered) => {
    const ledger = ledgers.get(answered.user)
    ledger?.calls.note(answered)
    if (answered.op === 'publish' && answered.options.fallback !== undefined) ledger?.owed.push(answered.number)
  })
  for (const { calls } of ledgers.values()) calls.noteKill()
}
const store = await open(Date.now)
await until(async () => {
  await store.sweep()
  const queues = await Promise.all(chaosUsers.map((user) => store.queue(user)))
  return queues.every(({ parked, scheduled }) => parked + scheduled === 0)
}, 'every parked and scheduled notification is in the log')
await store.close()
const later = await open(() => Date.now() + 2 * LEASE_MS)
const faults: string[] = []
for (const [user, { calls, owed }] of ledgers) faults.push(...(await calls.finish(later, user, owed)))
await later.close()
await rm(folder, { recursive: true, force: true })
process.stdout.write(JSON.stringify(faults))
