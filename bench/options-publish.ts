import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { OutcomeRecorder } from '../services/delivery/outcome-recorder.ts'
import { Publisher } from '../services/delivery/publisher.ts'
import { UserClock } from '../services/delivery/user-clock.ts'
import { newId } from '../services/ids.ts'
import { Counters } from '../services/node/counters.ts'
import { EmbeddedStore } from '../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../services/store/redis/redis-store.ts'
import { retractionIn, rowId, rowKind, rowTime } from '../services/store/row.ts'
import type { PublishOptions, Store } from '../services/store/store.ts'
import { timeOf } from './cpu.ts'
import { median } from './interleave.ts'
import { BenchRedis } from './peers/redis.ts'
import { storeSettings, usualTail, usualTitle } from './store-settings.ts'

// Measures publishes with each option at the store, and the lateness of expiries. Prints the result as JSON:
// node build/bench/options-publish.js embedded|redis [publishes] [rounds] [expiries]

/** CPU time of a publish, microseconds, and its ratio to a usual one: the medians of the rounds. */
export interface Cost {
  micros: number
  ratio: number
}

/** The CPU time of a publish with an option: of the store alone, and with the process that calls it. The embedded store is in that process. */
export interface OptionCost {
  option: string
  store: Cost
  total: Cost
}

/** The result of the program. Lateness is in milliseconds, from the time of expiry to the row that takes the notification back. */
export interface OptionsResult {
  costs: OptionCost[]
  expiries: { count: number; p50: number; p99: number; max: number }
}

const IN_FLIGHT = 32
const EXPIRING_IN_FLIGHT = 256
const USERS = 200
const HOUR_MS = 3_600_000
/** Expiries a second. */
const EXPIRY_RATE = 500
const EXPIRIES_PER_USER = 10
/** Time from the first publish of an expiring notification to the first expiry, for each thousand of them, milliseconds. */
const LEAD_MS_PER_THOUSAND = 3000
/** Time after the last expiry in which every one must be carried out, milliseconds. */
const SETTLE_MS = 5000

const settings = { ...storeSettings, scheduledMax: 1_000_000 }

interface Kind {
  option: string
  options(number: number): PublishOptions | undefined
  tail: string
}

const tailWith = (json: string): string => `${usualTail.slice(0, -1)},${json}}`
const kinds: Kind[] = [
  { option: 'usual', options: () => undefined, tail: usualTail },
  { option: 'ttl', options: () => ({ expiresAt: Date.now() + HOUR_MS }), tail: tailWith('"expiresAt":1754000000000') },
  { option: 'collapseKey', options: (number) => ({ collapseKey: `key-${number % 3}` }), tail: tailWith('"collapseKey":"key-1"') },
  { option: 'urgency', options: () => ({ level: 1 }), tail: tailWith('"urgency":"high"') },
  { option: 'deliverAt', options: () => ({ deliverAt: Date.now() + HOUR_MS }), tail: usualTail },
  {
    option: 'actions',
    options: () => ({ actions: ['approve', 'reject'] }),
    tail: tailWith('"actions":[{"action":"approve","title":"Approve"},{"action":"reject","title":"Reject"}]')
  }
]

/** A store under measurement, and the process that carries out its steps. */
interface Bed {
  store: Store
  pid: number
  close(): Promise<void>
}

async function openBed(name: string): Promise<Bed> {
  if (name === 'embedded') {
    const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-'))
    const store = new EmbeddedStore({ folder, settings })
    const close = async (): Promise<void> => {
      await store.close()
      await rm(folder, { recursive: true })
    }
    return { store, pid: process.pid, close }
  }
  const redis = await BenchRedis.start()
  const store = new RedisStore(settings, { url: redis.url, keyPrefix: 'belfry', waitReplicas: 0 })
  const close = async (): Promise<void> => {
    await store.close()
    await redis.stop()
  }
  return { store, pid: redis.pid, close }
}

/** The CPU time of each publish in one round, microseconds. */
interface Sample {
  store: number
  total: number
}

/** Publishes `count` notifications of a kind, to users of its own. */
async function costOf({ store, pid }: Bed, { option, options, tail }: Kind, count: number): Promise<Sample> {
  let number = 0
  const publisher = async (): Promise<void> => {
    while (number < count) {
      number += 1
      const user = `${option}-${number % USERS}`
      const result = await store.publish({
        user,
        id: newId(),
        keyed: false,
        tail,
        halfLife: 0,
        options: options(Math.floor(number / USERS))
      })
      if (result.status !== 'accepted' && result.status !== 'scheduled') throw new Error(`${option}: ${result.status}`)
    }
  }
  const all = new Set([pid, process.pid])
  const before = { store: timeOf([pid]).cpu, total: timeOf(all).cpu }
  await Promise.all(Array.from({ length: IN_FLIGHT }, publisher))
  const micros = (after: number, from: number): number => (after - from) / 1000 / count
  return { store: micros(timeOf([pid]).cpu, before.store), total: micros(timeOf(all).cpu, before.total) }
}

/** Measures all kinds in turns, forwards and backwards, so that a drift of the machine affects them alike. */
async function measureCosts(bed: Bed, count: number, rounds: number): Promise<OptionCost[]> {
  const samples = kinds.map((): Sample[] => [])
  for (let round = -1; round < rounds; round++) {
    const order = kinds.map((_kind, index) => index)
    if (round % 2 !== 0) order.reverse()
    for (const index of order) {
      const sample = await costOf(bed, kinds[index] as Kind, count)
      // The first round warms up the code.
      if (round >= 0) samples[index]?.push(sample)
    }
  }
  const usual = samples[0] as Sample[]
  const cost = (own: Sample[], part: keyof Sample): Cost => ({
    micros: median(own.map((sample) => sample[part])),
    ratio: median(own.map((sample, round) => sample[part] / (usual[round] as Sample)[part]))
  })
  return kinds.map(({ option }, index) => {
    const own = samples[index] as Sample[]
    return { option, store: cost(own, 'store'), total: cost(own, 'total') }
  })
}

/** Publishes notifications that expire at an even rate, to users without a connection, and reads from the logs how late each one was. */
async function measureExpiries(store: Store, count: number): Promise<OptionsResult['expiries']> {
  const counters = new Counters()
  const clock = new UserClock(store, counters)
  const publisher = new Publisher({
    store,
    outcomes: new OutcomeRecorder(clock, counters),
    startBroadcast: (command) => store.audiences.start(command)
  })
  const firstAt = Date.now() + 2000 + (LEAD_MS_PER_THOUSAND * count) / 1000
  const users = Math.ceil(count / EXPIRIES_PER_USER)
  const dueById = new Map<string, number>()
  for (let from = 0; from < count; from += EXPIRING_IN_FLIGHT) {
    const numbers = Array.from({ length: Math.min(EXPIRING_IN_FLIGHT, count - from) }, (_, index) => from + index)
    await Promise.all(
      numbers.map(async (number) => {
        const expiresAt = firstAt + Math.floor((1000 * number) / EXPIRY_RATE)
        const request = { to: `expiring-${number % users}`, type: 'sync.done', title: usualTitle, expiresAt }
        const { answer } = await publisher.publish(request, 'bench', undefined)
        dueById.set(answer.id, expiresAt)
      })
    )
  }
  if (Date.now() > firstAt) throw new Error('the first notifications expired before the last were published')
  await pause(firstAt - Date.now() + (1000 * count) / EXPIRY_RATE + SETTLE_MS)
  await clock.close()
  const late: number[] = []
  for (let number = 0; number < users; number++) {
    const user = `expiring-${number}`
    const { head } = await store.queue(user)
    const { rows } = await store.read({ user, position: { epoch: head.epoch, offset: 0, id8: '' }, seen: undefined, limit: 1000 })
    for (const row of rows) {
      if (rowKind(row) === 'n') throw new Error(`${rowId(row)} did not expire`)
      if (rowKind(row) === 'r') late.push(rowTime(row) - (dueById.get(retractionIn(row).id) as number))
    }
  }
  late.sort((a, b) => a - b)
  const quantile = (part: number): number => late[Math.min(late.length - 1, Math.floor(part * late.length))] ?? Number.NaN
  return { count: late.length, p50: quantile(0.5), p99: quantile(0.99), max: late.at(-1) ?? Number.NaN }
}

const [name = 'embedded', ...numbers] = process.argv.slice(2)
const [publishes = 2000, rounds = 5, expiries = 10_000] = numbers.map(Number)
const bed = await openBed(name)
await bed.store.open('bench', { wake() {}, kick() {}, suspect() {}, status() {} })
const costs = await measureCosts(bed, publishes, rounds)
const result: OptionsResult = { costs, expiries: await measureExpiries(bed.store, expiries) }
process.stdout.write(`${JSON.stringify(result)}\n`)
await bed.close()
process.exit()
