import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { BatchRunner } from '../services/audience/batch-runner.ts'
import { Broadcaster } from '../services/audience/broadcaster.ts'
import { newId } from '../services/ids.ts'
import { Counters } from '../services/node/counters.ts'
import { EmbeddedStore } from '../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../services/store/redis/redis-store.ts'
import type { Store } from '../services/store/store.ts'
import { BenchRedis } from './peers/redis.ts'
import { storeSettings, usualTail } from './store-settings.ts'

// Measures a broadcast to a topic, and publishes to other users during it, at the store. Prints the result as JSON:
// node build/bench/broadcast-publish.js embedded|redis [members] [seconds of calm]

/** The result of the program. Latencies are those of publishes to other users, at a steady rate, milliseconds. */
export interface BroadcastResult {
  membersPerSecond: number
  calm: { p50: number; p99: number }
  busy: { p50: number; p99: number }
  /** Memory of Redis for a member of a topic, bytes; 0 for the embedded store. */
  bytesPerMember: number
}

/** Period of the publishes to other users, and number of those users. */
const PERIOD_MS = 5
const OTHERS = 1000
/** Members that one change adds. */
const PER_CHANGE = 10_000

const [kind = 'embedded', members = '100000', seconds = '5'] = process.argv.slice(2)
const count = Number(members)
const redis = kind === 'redis' ? await BenchRedis.start() : undefined
const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-'))
const store: Store =
  redis === undefined
    ? new EmbeddedStore({ folder, settings: storeSettings })
    : new RedisStore(storeSettings, { url: redis.url, keyPrefix: 'belfry', waitReplicas: 0 })
await store.open('bench', { wake() {}, kick() {}, suspect() {}, status() {} })

async function usedBytes(): Promise<number> {
  return redis === undefined ? 0 : Number(/used_memory:(\d+)/.exec(await redis.client.info('memory'))?.[1])
}

/** Publishes to other users at a steady rate until `stop` resolves. Returns the times from when each publish was due, ascending. */
async function publishToOthers(stop: Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  const calls: Promise<void>[] = []
  let isOver = false
  void stop.then(() => {
    isOver = true
  })
  for (let due = performance.now(); !isOver; due += PERIOD_MS) {
    const wait = due - performance.now()
    if (wait > 0) await pause(wait)
    const user = `other-${calls.length % OTHERS}`
    calls.push(
      store.publish({ user, id: newId(), keyed: false, tail: usualTail, halfLife: 0 }).then(() => void times.push(performance.now() - due))
    )
  }
  await Promise.all(calls)
  return times.sort((one, other) => one - other)
}

function percentiles(times: number[]): { p50: number; p99: number } {
  const at = (share: number): number => Number((times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(2))
  return { p50: at(0.5), p99: at(0.99) }
}

const empty = await usedBytes()
for (let from = 0; from < count; from += PER_CHANGE) {
  const add = Array.from({ length: Math.min(PER_CHANGE, count - from) }, (_, index) => `user${String(from + index).padStart(6, '0')}`)
  await store.audiences.changeMembers({ topic: 'project-42', add, remove: [] })
}
const bytesPerMember = Number((((await usedBytes()) - empty) / count).toFixed(1))
await publishToOthers(pause(1000))
const calm = percentiles(await publishToOthers(pause(Number(seconds) * 1000)))

const counters = new Counters()
const runner = new BatchRunner({ store, counters, onOutcome: () => undefined })
const broadcaster = new Broadcaster({
  store,
  runner,
  onFault: (error) => {
    throw error
  }
})
const start = performance.now()
const to = { topic: 'project-42', except: [] }
const result = await broadcaster.start({ to, id: newId(), keyed: false, tail: usualTail, halfLife: 0 })
if (result.status !== 'started') throw new Error(`the broadcast is ${result.status}`)
const { id } = result.broadcast

async function ended(): Promise<number> {
  for (;;) {
    await pause(20)
    const broadcast = await store.audiences.broadcast(id)
    if (broadcast?.status !== 'running') return performance.now() - start
  }
}

const end = ended()
const busy = percentiles(await publishToOthers(end))
const broadcast = await store.audiences.broadcast(id)
if (broadcast?.accepted !== count) throw new Error(`${broadcast?.accepted} of ${count} members were accepted`)
const membersPerSecond = Math.round(count / ((await end) / 1000))
process.stdout.write(`${JSON.stringify({ membersPerSecond, calm, busy, bytesPerMember } satisfies BroadcastResult)}\n`)
await broadcaster.close()
await store.close()
await redis?.stop()
await rm(folder, { recursive: true })
