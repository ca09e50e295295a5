import { setTimeout as pause } from 'node:timers/promises'
import { BUCKETS, bucketOf } from '../../services/store/redis/keys.ts'
import { type BreakingClient, makeBreakingClients } from './breaking-client.ts'
import { Broadcasts } from './broadcasts.ts'
import { type Breach, check } from './checker.ts'
import { ghosts, readLogs, rest } from './collect.ts'
import { type Device, loadSdk, makeDevices } from './consumers.ts'
import { Faults, FORKED } from './faults.ts'
import type { Journal, UserLog } from './journal.ts'
import { Publishers } from './publishers.ts'
import { type Summary, summarize } from './report.ts'
import { type BusKind, type FaultKind, lossyKinds, type StoreKind, schedule } from './schedule.ts'
import { Sleepers } from './sleepers.ts'
import { RATE_LIMIT, RATE_WINDOW_MS, World } from './world.ts'

export interface ChaosOptions {
  store: StoreKind
  bus: BusKind
  seed: number
  seconds: number
  /** Only these faults; undefined: all faults of the store. */
  only: FaultKind[] | undefined
  /** Factor on the number of faults. */
  intensity: number
  users: number
  /** Notifications a second. */
  rate: number
  /** Topics with broadcasts; 0: there are no broadcasts. */
  topics: number
  /** Notifications kept per user. */
  maxEntries: number
  /** Age at which notifications are trimmed, seconds. */
  retentionSeconds: number
  /** The compiled service and SDK. */
  build: string
  /** Nodes; the embedded store has one. */
  nodes: number
  /** Longest time until everything is at rest after the last fault, milliseconds. */
  restMs: number
  /** Longest time for which calls may wait for their receivers after that, milliseconds. */
  callRestMs: number
}

interface ChaosResult {
  journal: Journal
  summary: Summary
  breaches: Breach[]
}

const CONNECT_MS = 60_000
const FAULTS_OVER_MS = 60_000
/** Users with clients without the SDK, in addition to their devices. */
const BREAKING_USERS = 12
/** Users whom pushes and fallbacks are for. */
const SLEEPERS = 8
/** From this retention on, no notification of a run reaches its age. */
const AGELESS_SECONDS = 86_400
const STALL_STEP_MS = 50
/** A run has one user without a device per this many seconds. */
const SECONDS_PER_ABSENT = 2
/** Time in which a burst to an absent user is released, with a sweep before it, after every node is ready again, milliseconds. */
const ABSENT_REST_MS = 6000

/** The users share this few buckets, so that a bucket has wake-ups of several users, as in a large installation. */
const BUCKETS_USED = 16

function usersOf(count: number): string[] {
  const users: string[] = []
  for (let number = 0; users.length < count; number++) {
    const user = `user-${number}`
    if (bucketOf(user) % (BUCKETS / BUCKETS_USED) === 0) users.push(user)
  }
  return users
}

/** Does one run, from the start of the servers to the verdict. When it settles, no process is left, also after an error. */
export async function chaos(options: ChaosOptions, progress: (text: string) => void = () => undefined): Promise<ChaosResult> {
  const { store, bus, seed, seconds, only, intensity, maxEntries, retentionSeconds, build } = options
  const faultPlan = schedule(seed, seconds, store, { bus, only, intensity })
  const users = usersOf(options.users)
  const absent = Array.from({ length: Math.ceil(seconds / SECONDS_PER_ABSENT) }, (_, number) => `absent-${number}`)
  const world = await World.start({
    store,
    bus,
    nodes: store === 'embedded' ? 1 : options.nodes,
    build,
    maxEntries,
    retentionSeconds,
    progress
  })
  const unhealed: string[] = []
  const stall = watchStalls()
  const devices: Device[] = []
  const clients: BreakingClient[] = []
  try {
    const forked = only?.includes('keyedFork') ? [FORKED] : []
    const withDevices = [...users, ...forked]
    devices.push(...makeDevices(world, await loadSdk(build), withDevices, seed))
    clients.push(...makeBreakingClients(world, users.slice(0, BREAKING_USERS), seed))
    const everybody = [...devices, ...clients]
    for (const device of everybody) device.start()
    unhealed.push(...(await rest(world, everybody, withDevices, CONNECT_MS)))
    world.assertUndisturbed()
    progress('everybody is connected')

    const publishers = new Publishers(world, { users, absent, ms: seconds * 1000, rate: options.rate, seed })
    const sleepers = new Sleepers(world, publishers, { count: SLEEPERS, seconds, seed })
    const withoutBroadcasts = [...absent, FORKED, ...sleepers.users, ...sleepers.erased]
    const broadcasts = new Broadcasts(world, publishers, { users, absent: withoutBroadcasts, topics: options.topics, seed })
    const faults = new Faults(world, devices, publishers, sleepers)
    const startedAt = Date.now()
    publishers.start()
    broadcasts.start()
    sleepers.start()
    for (const client of clients) client.disturb()
    for (const fault of faultPlan) {
      await pause(Math.max(0, startedAt + fault.at - Date.now()))
      faults.do(fault)
    }
    await pause(Math.max(0, startedAt + seconds * 1000 - Date.now()))
    progress('the last fault was done')
    const published = Promise.all([publishers.stop(), broadcasts.stop(), sleepers.stop()])
    unhealed.push(...(await within(FAULTS_OVER_MS, faults.over(), 'the faults are not over')))
    unhealed.push(...faults.errors, ...world.overdue, ...world.nodes.flatMap(({ crashes }) => crashes))
    world.assertUndisturbed()
    await published
    await Promise.all(everybody.map((device) => device.quiet()))
    await rest(world, [], [], options.restMs)
    const readyAt = Date.now()
    unhealed.push(...(await rest(world, everybody, withDevices, options.restMs)))
    // No request concerns the absent users before this point: a look at their log would release parked notifications.
    await pause(Math.max(0, readyAt + ABSENT_REST_MS - Date.now()))
    await sleepers.rest(options.callRestMs)
    world.assertUndisturbed()
    progress('all is at rest')

    const acknowledging = clients.filter(({ acknowledges }) => acknowledges)
    const journals = [...devices.map((device) => device.journal()), ...acknowledging.map((client) => client.deviceJournal())]
    const plain = clients.map((client) => client.journal())
    const all = [...withDevices, ...absent, ...sleepers.users]
    const answers = everybody.flatMap((device) => device.answers)
    const reach = sleepers.journal()
    const endedAt = Date.now()
    const read = (): Promise<UserLog[]> =>
      readLogs(world, all).catch((error: Error) => {
        unhealed.push(`the logs cannot be read: ${error.message} (${error.cause})`)
        return []
      })
    let logs: UserLog[] = store === 'embedded' ? [] : await read()
    for (const device of everybody) device.stop()
    const left = await ghosts(world, [...withDevices, ...world.passersBy], unhealed.length === 0)
    if (store === 'embedded') {
      await Promise.all(world.nodes.map((node) => node.kill()))
      logs = await read()
    }
    const journal: Journal = {
      seed,
      seconds,
      store,
      bus,
      limit: RATE_LIMIT,
      windowMs: RATE_WINDOW_MS,
      lossy: faultPlan.some(({ kind }) => lossyKinds.includes(kind)),
      maxEntries,
      isAging: retentionSeconds < AGELESS_SECONDS,
      startedAt,
      faults: faultPlan,
      publishes: publishers.publishes,
      recalls: publishers.recalls,
      conflicts: publishers.conflicts,
      answers,
      broadcasts: broadcasts.broadcasts,
      devices: journals,
      clients: plain,
      logs,
      endedAt,
      windows: world.windows,
      away: world.away,
      ghosts: left,
      unhealed,
      stallMs: stall.longest(),
      reach
    }
    world.assertUndisturbed()
    const breaches = check(journal)
    return { journal, breaches, summary: summarize(journal, faults.counts, breaches) }
  } finally {
    stall.end()
    for (const device of [...devices, ...clients]) device.stop()
    await world.stop()
  }
}

export type { Device }

async function within(ms: number, done: Promise<void>, otherwise: string): Promise<string[]> {
  const late = new AbortController()
  try {
    return await Promise.race([done.then(() => []), pause(ms, [otherwise], { signal: late.signal })])
  } finally {
    late.abort()
  }
}

function watchStalls(): { longest(): number; end(): void } {
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last - STALL_STEP_MS)
    last = now
  }, STALL_STEP_MS)
  return { longest: () => longest, end: () => clearInterval(timer) }
}
