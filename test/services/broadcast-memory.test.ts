import { rm } from 'node:fs/promises'
import { getHeapSnapshot } from 'node:v8'
import t, { type Test } from 'tap'
import { BatchRunner } from '../../services/audience/batch-runner.ts'
import { Broadcaster } from '../../services/audience/broadcaster.ts'
import { newId } from '../../services/ids.ts'
import { Counters } from '../../services/node/counters.ts'
import { BATCH_MAX } from '../../services/store/audiences.ts'
import { EmbeddedStore } from '../../services/store/embedded/embedded-store.ts'
import type { Store } from '../../services/store/store.ts'
import { temporaryFolder } from '../conformance/embedded-setup.ts'
import { Recorder, tailOf } from '../conformance/stage.ts'
import { own, settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

/** Members of the broadcast: eight batches. */
const MEMBERS = 8 * BATCH_MAX
/** Names that a node may have in memory between two batches: those of the last batches, and of the users whom the embedded store keeps. */
const NAMES_MAX = 3 * BATCH_MAX
/** Memory for users that the embedded store keeps: a part of what one batch fills. */
const CACHE_BYTES = 200_000
const MARK = 'member-of-the-broadcast-'

/** Returns the number of members whose names are in memory. */
async function namesInMemory(): Promise<number> {
  const names = new Set<string>()
  let rest = ''
  for await (const chunk of getHeapSnapshot().setEncoding('latin1')) {
    const text = rest + chunk
    for (const [name] of text.matchAll(/member-of-the-broadcast-\d{6}/g)) names.add(name)
    rest = text.slice(-MARK.length - 6)
  }
  return names.size
}

const openers: Record<string, (t: Test) => Promise<Store>> = {
  embedded: async (t) => {
    const folder = await temporaryFolder()
    const store = new EmbeddedStore({ folder, settings, cacheBytes: CACHE_BYTES })
    t.teardown(async () => {
      await store.close()
      await rm(folder, { recursive: true, force: true })
    })
    await store.open('node', new Recorder())
    return store
  },
  redis: async (t) => (await (await own(t)).node()).store
}

/** Adds the members to a topic. No list of them stays in memory. */
async function fill(store: Store, topic: string): Promise<void> {
  for (let from = 0; from < MEMBERS; from += BATCH_MAX) {
    const add = Array.from({ length: BATCH_MAX }, (_, n) => MARK + String(from + n).padStart(6, '0'))
    await store.audiences.changeMembers({ topic, add, remove: [] })
  }
}

for (const [name, open] of Object.entries(openers)) {
  t.test(`${name}: a node has the names of few members of a broadcast in memory, and as many publishes under way`, async (t) => {
    const store = await open(t)
    await fill(store, 'team')
    const { audiences } = store
    const [publish, settle] = [store.publish.bind(store), audiences.settle.bind(audiences)]
    let [publishes, mostPublishes, settled, names] = [0, 0, 0, 0]
    store.publish = async (command) => {
      mostPublishes = Math.max(mostPublishes, ++publishes)
      return await publish(command).finally(() => publishes--)
    }
    audiences.settle = async (command) => {
      settled += command.size
      if (settled === MEMBERS) names = await namesInMemory()
      return await settle(command)
    }
    const runner = new BatchRunner({ store, counters: new Counters(), onOutcome: () => undefined })
    const broadcaster = new Broadcaster({ store, runner, onFault: (error) => t.fail(String(error)) })
    t.teardown(() => broadcaster.close())
    const to = { topic: 'team', except: [] }
    const started = await broadcaster.start({ to, id: newId(), keyed: false, tail: tailOf(1), halfLife: 0 })
    if (started.status !== 'started') throw new Error(started.status)
    // A heap snapshot stops the process for longer than a call may take.
    const accepted = async (): Promise<number> => (await broadcaster.get(started.broadcast.id).catch(() => undefined))?.accepted ?? 0
    await until(async () => (await accepted()) === MEMBERS, 'every member has it', 60_000)
    t.ok(names > 0 && names <= NAMES_MAX, `${names} of ${MEMBERS} names`)
    t.ok(mostPublishes > 0 && mostPublishes <= audiences.publishesAtOnce, `${mostPublishes} publishes under way`)
  })
}
