import { fork } from 'node:child_process'
import { createECDH, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { OutcomeRecorder } from '../services/delivery/outcome-recorder.ts'
import { UserClock } from '../services/delivery/user-clock.ts'
import { newId } from '../services/ids.ts'
import { Counters } from '../services/node/counters.ts'
import type { CallFormat } from '../services/reach/call-format.ts'
import { Courier } from '../services/reach/courier.ts'
import { HttpSender, type OutgoingRequest } from '../services/reach/http-sender.ts'
import { CALLS_PER_LANE } from '../services/reach/lane.ts'
import { PushEndpoints } from '../services/reach/push-endpoint.ts'
import { PushFormat } from '../services/reach/push-format.ts'
import { makeVapidKeys } from '../services/reach/vapid.ts'
import { WebhookFormat } from '../services/reach/webhook-format.ts'
import { EmbeddedStore } from '../services/store/embedded/embedded-store.ts'
import { type LeasedPush, WEBHOOK_LANE } from '../services/store/outbox.ts'
import { RedisStore } from '../services/store/redis/redis-store.ts'
import type { PublishOptions, Store } from '../services/store/store.ts'
import { endWithBench } from './children.ts'
import { residentBytes, timeOf } from './cpu.ts'
import { interleave, type Sample } from './interleave.ts'
import { openLoop } from './open-loop.ts'
import { BenchRedis } from './peers/redis.ts'
import { storeSettings, usualTail } from './store-settings.ts'

// Measures pushes and webhooks of one node. Prints the result as JSON:
// node --expose-gc build/bench/reach-calls.js embedded|redis [pushes] [waiting calls] [seconds]

/** The result of the program. Times are in milliseconds. */
export interface ReachResult {
  /** From the call of publish to the push leaving, at `RATE` a second, with `after: 0`. */
  leaving: { count: number; p50: number; p99: number }
  /** Pushes a second of one node with a backlog, the CPU time of each, and that of its encryption and signature alone, microseconds. */
  backlog: { perSecond: number; cpuMicros: number; requestMicros: number }
  /** Memory with calls that wait for a receiver that hangs, and without them. */
  waiting: { calls: number; memory: Memory; before: Memory }
  /**
   * P99 of publishes at `RATE` a second: to a store of its own without calls (calm), and with the waiting calls and the receiver that hangs. The rounds
   * take turns. `ratio` is the median of hanging to calm of each pair.
   */
  publishP99: { calm: number; hanging: number; ratio: number; low: number; high: number }
}

/** Memory after garbage collection, bytes: of the process, of it the objects and buffers in use, and of Redis; `redis` is 0 for the embedded store. */
export interface Memory {
  process: number
  inUse: number
  redis: number
}

const RATE = 500
const PAIRS = 4
const PUSHED_USERS = 500
const CALLS_PER_USER = 500
const IN_FLIGHT = 64
const SETTLE_MS = 60_000

const settings = {
  ...storeSettings,
  push: { afterMs: 0, unless: 'delivered' as const },
  webhookEvents: ['notification.fallback' as const]
}

async function openStore(name: string): Promise<{ store: Store; redis: BenchRedis | undefined; close(): Promise<void> }> {
  if (name === 'embedded') {
    const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-'))
    const store = new EmbeddedStore({ folder, settings })
    return { store, redis: undefined, close: () => store.close().then(() => rm(folder, { recursive: true })) }
  }
  const redis = await BenchRedis.start()
  const store = new RedisStore(settings, { url: redis.url, keyPrefix: 'belfry', waitReplicas: 0 })
  return { store, redis, close: () => store.close().then(() => redis.stop()) }
}

const [name = 'embedded', ...numbers] = process.argv.slice(2)
const [pushes = 5000, waitingCalls = 100_000, seconds = 10] = numbers.map(Number)
const sink = endWithBench(fork(join(import.meta.dirname, 'call-sink.js')))
const [port] = (await once(sink, 'message')) as [number]
const origin = `http://127.0.0.1:${port}`
const { store, redis, close } = await openStore(name)
const counters = new Counters()
const endpoints = new PushEndpoints([origin])
const identity = { ...makeVapidKeys(), subject: 'mailto:bench@example.com' }
const push = new PushFormat({ store, identity, endpoints, retentionMs: storeSettings.retentionMs })
const webhook = new WebhookFormat({ store, url: `${origin}/hang`, keys: [randomBytes(32)] })
const formats = new Map([
  [origin, push as CallFormat],
  [WEBHOOK_LANE, webhook as CallFormat]
])

let courier: Courier | undefined
let onSend: (request: OutgoingRequest) => void = () => undefined
await store.open('bench', { wake() {}, kick() {}, suspect() {}, status() {} })
const clock = new UserClock(store, counters, (lanes) => courier?.wake(lanes))
const outcomes = new OutcomeRecorder(clock, counters)

function startCourier(): void {
  const sender = new HttpSender({ connectionsPerHost: CALLS_PER_LANE })
  const send = (request: OutgoingRequest) => {
    onSend(request)
    return sender.send(request)
  }
  const options = { outbox: store.outbox, now: () => store.now(), formats, counters, onLeased: () => undefined }
  const onFault = (error: unknown): never => {
    throw error
  }
  courier = new Courier({
    ...options,
    sender: { send, close: () => sender.close() },
    onStopped: () => undefined,
    onFailure: () => undefined,
    onFault
  })
}

async function publish(user: string, options?: PublishOptions, to = store): Promise<void> {
  const result = await to.publish({ user, id: newId(), keyed: false, tail: usualTail, halfLife: 0, options })
  if (result.status !== 'accepted') throw new Error(`a publish was ${result.status}`)
  outcomes.record(user, result, 0)
}

/** Calls `run` for 0 to `count - 1`, some at a time. */
async function each(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await run(next++)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
}

function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
}

async function subscribeAll(): Promise<void> {
  await each(PUSHED_USERS, (number) => {
    const p256dh = createECDH('prime256v1').generateKeys('base64url')
    const auth = randomBytes(16).toString('base64url')
    const endpoint = `${origin}/push/${number}`
    return store.outbox.putSubscription(`pushed-${number}`, { deviceId: 'phone', endpoint, p256dh, auth, expirationTime: 0, lane: origin })
  })
}

async function sent(count: number): Promise<void> {
  const deadline = performance.now() + SETTLE_MS
  while ((counters.calls.get('push delivered') ?? 0) < count) {
    if (performance.now() > deadline) throw new Error(`${counters.calls.get('push delivered')} of ${count} pushes were sent`)
    await pause(5)
  }
}

async function measureLeaving(): Promise<ReachResult['leaving']> {
  const startsByUrl = new Map<string, number[]>()
  const late: number[] = []
  onSend = ({ url }) => {
    const start = startsByUrl.get(url)?.shift()
    if (start !== undefined) late.push(performance.now() - start)
  }
  const before = counters.calls.get('push delivered') ?? 0
  const count = RATE * seconds
  const published: Promise<void>[] = []
  await openLoop(count, RATE, (index) => {
    const number = index % PUSHED_USERS
    const url = `${origin}/push/${number}`
    startsByUrl.set(url, [...(startsByUrl.get(url) ?? []), performance.now()])
    published.push(publish(`pushed-${number}`))
  })
  await Promise.all(published)
  await sent(before + count)
  onSend = () => undefined
  return { count: late.length, p50: quantile(late, 0.5), p99: quantile(late, 0.99) }
}

async function measureBacklog(): Promise<ReachResult['backlog']> {
  await courier?.close(0)
  courier = undefined
  await each(pushes, (number) => publish(`pushed-${number % PUSHED_USERS}`))
  await each(PUSHED_USERS, (number) => store.advance(`pushed-${number}`))
  const lease = await store.outbox.lease({ lane: origin, limit: 100, user: 'pushed-0' })
  const [call] = lease.calls as [LeasedPush]
  const started = performance.now()
  for (let count = 0; count < 200; count++) await push.request(call)
  const requestMicros = ((performance.now() - started) * 1000) / 200
  const at = store.now()
  for (const { user, epoch, no, madeAt, attempt } of lease.calls)
    await store.outbox.settle({ user, epoch, no, madeAt, attempt, outcome: { status: 'retry', at } })
  const before = counters.calls.get('push delivered') ?? 0
  const cpu = timeOf([process.pid]).cpu
  const start = performance.now()
  startCourier()
  await sent(before + pushes)
  const elapsed = performance.now() - start
  return { perSecond: (pushes * 1000) / elapsed, cpuMicros: (timeOf([process.pid]).cpu - cpu) / 1000 / pushes, requestMicros }
}

async function publishP99(to: Store): Promise<Sample> {
  const times: number[] = []
  const published: Promise<unknown>[] = []
  await openLoop(RATE * seconds, RATE, (index, due) => {
    published.push(publish(`usual-${index % 1000}`, undefined, to).then(() => times.push(performance.now() - due)))
  })
  await Promise.all(published)
  return { value: quantile(times, 0.99), flaw: undefined }
}

/** Measures publishes with and without the receiver that hangs, in turns. The first round of each store is not counted: it loads the users. */
async function comparePublishes(): Promise<ReachResult['publishP99']> {
  const calm = await openStore(name)
  await calm.store.open('calm', { wake() {}, kick() {}, suspect() {}, status() {} })
  const hangingRound = async (): Promise<Sample> => {
    startCourier()
    const sample = await publishP99(store)
    await courier?.close(0)
    courier = undefined
    return sample
  }
  await publishP99(calm.store)
  await hangingRound()
  const { a, b, ratio, low, high } = await interleave(PAIRS, hangingRound, () => publishP99(calm.store))
  await calm.close()
  return { calm: b, hanging: a, ratio, low, high }
}

async function memory(): Promise<Memory> {
  globalThis.gc?.()
  await pause(500)
  globalThis.gc?.()
  const info = await redis?.client.info('memory')
  const { heapUsed, external } = process.memoryUsage()
  const usedByRedis = Number(/^used_memory:(\d+)/m.exec(info ?? '')?.[1] ?? 0)
  return { process: residentBytes(process.pid), inUse: heapUsed + external, redis: usedByRedis }
}

startCourier()
await subscribeAll()
const leaving = await measureLeaving()
const backlog = await measureBacklog()
const before = await memory()
const users = Math.ceil(waitingCalls / CALLS_PER_USER)
const fallback = { afterMs: 0, unless: 'read' as const }
await each(waitingCalls, (number) => publish(`waiting-${number % users}`, { fallback }))
await each(users, async (number) => {
  while ((await store.advance(`waiting-${number}`)).checked > 0);
})
const after = await memory()
await courier?.close(0)
const publishes = await comparePublishes()
const result: ReachResult = {
  leaving,
  backlog,
  waiting: { calls: waitingCalls, memory: after, before },
  publishP99: publishes
}
process.stdout.write(`${JSON.stringify(result)}\n`)
await clock.close()
await courier?.close(0)
await close()
process.exit()
