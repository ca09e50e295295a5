import { StoreClock } from '../store-clock.ts'
import type { Availability } from './availability.ts'
import { ALL_BUCKETS, type Keys, SLOT_OF_BUCKET } from './keys.ts'
import type { Master } from './master.ts'
import { list, number, type Reply, text } from './reply.ts'
import type { Args } from './script-table.ts'
import { CALLS_AT_ONCE } from './scripts.ts'
import { slices } from './slices.ts'

/** Time without a heartbeat after which a node is dead, milliseconds. */
const DEAD_AFTER_MS = 15_000

/** The clock of the database was set if it moved this much further than the monotonic clock between two heartbeats, milliseconds. */
const CLOCK_TOLERANCE_MS = 5000

/** Age of the latest heartbeat that shows that one was missed, milliseconds. */
const MISSED_BEAT_MS = 3000

/** Time after which a dead node is removed, milliseconds. By then every registration that named the node has expired. */
const FORGET_AFTER_MS = 48 * 3600 * 1000

/** Counter of a dead node: so far below zero that no number of increments makes it positive. */
const DEAD_COUNTER = -1_000_000_000_000_000

/** Most nodes that one heartbeat marks dead, and most that it removes: a thousand of them must not delay the work of a live node. */
const BATCH = 100

/** Nodes by their heartbeats. */
interface Heartbeats {
  live: string[]
  /** Nodes without a heartbeat that are not marked dead yet. */
  silent: string[]
  /** Nodes that have been dead for long. */
  removable: string[]
}

/**
 * Knows which nodes are alive, by heartbeats on the clock of the database. All heartbeats are in one key: while its master is not
 * available, no node is found dead.
 */
export class Nodes {
  readonly #availability: Availability
  readonly #keys: Keys
  readonly #node: string
  /** Clock of the database, as of the latest heartbeat. */
  readonly clock = new StoreClock()
  /**
   * Time from which nodes can count as silent, milliseconds of the monotonic clock. After a step of the database's clock every node first
   * gets time for another heartbeat.
   */
  #agesValidAt = 0
  #silent: string[] = []
  #removable: string[] = []
  /** Live nodes, as of the latest read. */
  #live: string[] = []
  #beatAt = performance.now()
  /** Time of the next search for nodes without a heartbeat, milliseconds of the monotonic clock. */
  #searchAt = performance.now() + DEAD_AFTER_MS

  constructor(availability: Availability, keys: Keys, node: string) {
    this.#availability = availability
    this.#keys = keys
    this.#node = node
  }

  /** Writes the first heartbeat, on a master that is about to become available. */
  async announce({ scripts }: Master): Promise<void> {
    this.#decode(await scripts.run('beat', [this.#keys.nodes], this.#args(this.#node)))
  }

  /** Writes a heartbeat, and notes which nodes `tidy` must mark dead or remove. */
  async beat(): Promise<void> {
    const { silent, removable } = await this.#read(this.#node)
    const now = performance.now()
    // After a pause of all heartbeats, every node seems dead until its next one.
    if (now - this.#beatAt > DEAD_AFTER_MS / 2) this.#agesValidAt = now + DEAD_AFTER_MS
    if (now - this.#beatAt > MISSED_BEAT_MS) this.#searchAt = now + DEAD_AFTER_MS
    this.#beatAt = now
    this.#silent = now < this.#agesValidAt ? [] : silent
    this.#removable = removable
  }

  /** Marks silent nodes dead in every bucket, and removes nodes that died long ago, as the latest heartbeat found them. */
  async tidy(): Promise<void> {
    if (performance.now() >= this.#searchAt) {
      await this.#findUnknown()
      this.#searchAt = Number.POSITIVE_INFINITY
    }
    const [silent, removable] = [this.#silent, this.#removable]
    this.#silent = []
    this.#removable = []
    if (silent.length > 0) await this.#markDead(silent)
    if (removable.length > 0) await this.#remove(removable)
  }

  /** Has `tidy` compare counters and heartbeats once every live node had time for a heartbeat, because a master may have lost the latest writes. */
  searchSoon(): void {
    this.#searchAt = performance.now() + DEAD_AFTER_MS
  }

  /** Reads the live nodes. Resolves with undefined while the heartbeats cannot be read. */
  async live(): Promise<string[] | undefined> {
    try {
      return (await this.#read('')).live
    } catch {
      return undefined
    }
  }

  /** Returns the longest time since a heartbeat of one of these nodes, milliseconds; for a dead or unknown node `DEAD_AFTER_MS`. */
  async silence(nodes: string[]): Promise<number> {
    const [beats, [seconds, microseconds]] = await this.#availability.route(this.#keys.nodesSlot, ({ commands }) =>
      Promise.all([commands.zmscore(this.#keys.nodes, ...nodes), commands.time()])
    )
    const now = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
    return Math.max(...beats.map((at) => (Number(at) > 0 ? now - Number(at) : DEAD_AFTER_MS)))
  }

  /** Returns this node's share of the buckets to sweep. The live nodes share the buckets by their order. */
  async share(): Promise<number[]> {
    const live = (await this.live()) ?? this.#live
    const index = Math.max(0, live.indexOf(this.#node))
    const count = Math.max(1, live.length)
    return ALL_BUCKETS.filter((bucket) => bucket % count === index)
  }

  /** Marks this node dead. If nothing was ever registered for the node, removes it. */
  async leave(): Promise<void> {
    await this.#markDead([this.#node])
  }

  async #read(node: string): Promise<Heartbeats> {
    return this.#decode(await this.#availability.run(this.#keys.nodesSlot, 'beat', [this.#keys.nodes], this.#args(node)))
  }

  #args(node: string): Args<'beat'> {
    return { node, deadAfterMs: DEAD_AFTER_MS, forgetAfterMs: FORGET_AFTER_MS, maxNodes: BATCH }
  }

  #decode(reply: Reply): Heartbeats {
    const [live, silent, removable, now] = list(reply)
    if (this.clock.observe(number(now), CLOCK_TOLERANCE_MS) !== 0) this.#agesValidAt = performance.now() + DEAD_AFTER_MS
    this.#live = namesIn(live).sort()
    return { live: this.#live, silent: namesIn(silent), removable: namesIn(removable) }
  }

  /**
   * Finds nodes whose counters and heartbeats disagree.
   *
   * A node with counters and no heartbeat started while the master of the heartbeats was unavailable, and ended before it became available. It gets a
   * heartbeat that is nearly too old: unless the node is alive and beats, it is found silent soon. A node that was marked dead and has a counter above
   * zero is marked again: the master of that counter has lost the mark.
   */
  async #findUnknown(): Promise<void> {
    const counters = await this.#forEveryBucket(({ commands }, key) => commands.hgetall(key))
    const names = [...new Set(counters.flatMap((counterByNode) => Object.keys(counterByNode)))]
    if (names.length === 0) return
    const unmarked: string[] = []
    await this.#call(async ({ commands }) => {
      const scores = await commands.zmscore(this.#keys.nodes, ...names)
      const unknown = names.filter((_, index) => scores[index] === null)
      const dead = names.filter((_, index) => Number(scores[index]) < 0)
      unmarked.push(...dead.filter((node) => counters.some((counterByNode) => Number(counterByNode[node]) > 0)))
      if (unknown.length === 0) return
      const [seconds] = await commands.time()
      const beat = Number(seconds) * 1000 - DEAD_AFTER_MS + MISSED_BEAT_MS
      await commands.zadd(this.#keys.nodes, 'NX', ...unknown.flatMap((node) => [beat, node]))
    })
    if (unmarked.length > 0) await this.#markDead(unmarked)
  }

  /** Marks nodes dead in every bucket. If a master is unavailable, the nodes stay silent, and a later heartbeat finds them again. */
  async #markDead(nodes: string[]): Promise<void> {
    const args = { deadCounter: DEAD_COUNTER, nodes }
    const replies = await this.#forEveryBucket(({ scripts }, counters) => scripts.run('mark-dead', [counters], args))
    const marked = nodes.filter((_, index) => replies.some((reply) => number(list(reply)[index]) === 1))
    const unmarked = nodes.filter((node) => !marked.includes(node))
    await this.#availability.route(this.#keys.settingsSlot, ({ commands }) => commands.hdel(this.#keys.settings, ...nodes))
    await this.#call(async ({ commands }) => {
      const [seconds] = await commands.time()
      if (marked.length > 0) await commands.zadd(this.#keys.nodes, ...marked.flatMap((node) => [-1000 * Number(seconds), node]))
      if (unmarked.length > 0) await commands.zrem(this.#keys.nodes, ...unmarked)
    })
  }

  /** Removes dead nodes from the counters and the heartbeats. */
  async #remove(nodes: string[]): Promise<void> {
    await this.#forEveryBucket(({ commands }, counters) => commands.hdel(counters, ...nodes))
    await this.#call(({ commands }) => commands.zrem(this.#keys.nodes, ...nodes))
  }

  /** Calls `act` for every bucket, a few at a time, so that publishes are not delayed. Rejects if it failed for a bucket. */
  async #forEveryBucket<Result>(act: (master: Master, counters: string) => Promise<Result>): Promise<Result[]> {
    const results: Result[] = []
    let failure: unknown
    for (const buckets of slices(ALL_BUCKETS, CALLS_AT_ONCE)) {
      const calls = buckets.map((bucket) =>
        this.#availability.route(SLOT_OF_BUCKET[bucket] as number, (master) => act(master, this.#keys.counters[bucket] as string))
      )
      for (const result of await Promise.allSettled(calls)) {
        if (result.status === 'fulfilled') results.push(result.value)
        else failure = result.reason
      }
    }
    if (failure !== undefined) throw failure
    return results
  }

  async #call(act: (master: Master) => Promise<unknown>): Promise<void> {
    await this.#availability.route(this.#keys.nodesSlot, act)
  }
}

function namesIn(reply: Reply | undefined): string[] {
  return list(reply).map(text)
}
