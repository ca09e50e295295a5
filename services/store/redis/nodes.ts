import { StoreClock } from '../store-clock.ts'
import type { Availability } from './availability.ts'
import { ALL_BUCKETS, type Keys, SLOT_OF_BUCKET } from './keys.ts'
import type { Master } from './master.ts'
import { list, number, type Reply, text } from './reply.ts'
import type { Args } from './script-table.ts'
import { CALLS_AT_ONCE } from './scripts.ts'
import { slices } from './slices.ts'

/** A node that was silent this long is dead, milliseconds. */
export const DEAD_AFTER_MS = 15_000

/** The database's clock was set when it moved this much more than this process's between two heartbeats, milliseconds. */
const CLOCK_TOLERANCE_MS = 5000

/** A heartbeat was missed when the latest is this old, milliseconds. */
const MISSED_BEAT_MS = 3000

/** A dead node is forgotten after this, milliseconds; every registration that named it is gone by then. */
const FORGET_AFTER_MS = 48 * 3600 * 1000

/** The counter of a dead node. Below zero for good, however often it is counted up. */
const DEAD_COUNTER = -1_000_000_000_000_000

/** Dead nodes that one beat buries or forgets: a thousand of them must not hold up what a live one does. */
const BATCH = 100

/** What the heartbeats say of the nodes: `silent` are to be buried, `forgettable` have been dead for long. */
interface Look {
  live: string[]
  silent: string[]
  forgettable: string[]
}

/**
 * The nodes that are alive, by heartbeats on the store's clock. All heartbeats are in one key: while its master is not available, no
 * node is found dead.
 */
export class Nodes {
  readonly #availability: Availability
  readonly #keys: Keys
  readonly #node: string
  /** The clock of the database, as of the last heartbeat. */
  readonly clock = new StoreClock()
  /** After a step of that clock no node counts as silent until each had time for another heartbeat; milliseconds of the monotonic clock. */
  #agesValidAt = 0
  #silent: string[] = []
  #forgettable: string[] = []
  /** Nodes that the latest look found alive. */
  #live: string[] = []
  #beatAt = performance.now()
  /** When the next census is due, milliseconds of the monotonic clock. */
  #censusAt = performance.now() + DEAD_AFTER_MS

  constructor(availability: Availability, keys: Keys, node: string) {
    this.#availability = availability
    this.#keys = keys
    this.#node = node
  }

  /** First heartbeat, on a master that is about to be available. */
  async announce({ scripts }: Master): Promise<void> {
    this.#take(await scripts.run('beat', [this.#keys.nodes], this.#args(this.#node)))
  }

  /** Heartbeat. Notes which nodes `tidy` has to bury. */
  async beat(): Promise<void> {
    const { silent, forgettable } = await this.#look(this.#node)
    const now = performance.now()
    // After a time without heartbeats every node looks dead until its next one.
    if (now - this.#beatAt > DEAD_AFTER_MS / 2) this.#agesValidAt = now + DEAD_AFTER_MS
    if (now - this.#beatAt > MISSED_BEAT_MS) this.#censusAt = now + DEAD_AFTER_MS
    this.#beatAt = now
    this.#silent = now < this.#agesValidAt ? [] : silent
    this.#forgettable = forgettable
  }

  /** Marks the nodes that the last beat found silent as dead in every bucket, and forgets those that died long ago; a batch of each. */
  async tidy(): Promise<void> {
    if (performance.now() >= this.#censusAt) {
      await this.#takeCensus()
      this.#censusAt = Number.POSITIVE_INFINITY
    }
    const [silent, forgettable] = [this.#silent, this.#forgettable]
    this.#silent = []
    this.#forgettable = []
    if (silent.length > 0) await this.#bury(silent)
    if (forgettable.length > 0) await this.#forget(forgettable)
  }

  /** Returns the live nodes; undefined while the heartbeats cannot be read. */
  async live(): Promise<string[] | undefined> {
    try {
      return (await this.#look('')).live
    } catch {
      return undefined
    }
  }

  /** The longest time since a heartbeat of one of these nodes, milliseconds. A node that is buried, or unknown, is as silent as a dead one. */
  async silence(nodes: string[]): Promise<number> {
    const [beats, [seconds, microseconds]] = await this.#availability.call(this.#keys.nodesSlot, ({ commands }) =>
      Promise.all([commands.zmscore(this.#keys.nodes, ...nodes), commands.time()])
    )
    const now = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
    return Math.max(...beats.map((at) => (Number(at) > 0 ? now - Number(at) : DEAD_AFTER_MS)))
  }

  /** Returns the buckets that are this node's to sweep: the live nodes share them out by their order. */
  async share(): Promise<number[]> {
    const live = (await this.live()) ?? this.#live
    const index = Math.max(0, live.indexOf(this.#node))
    const count = Math.max(1, live.length)
    return ALL_BUCKETS.filter((bucket) => bucket % count === index)
  }

  /** This node is as good as dead from now on. If nothing was ever registered for it, nothing of it is left. */
  async leave(): Promise<void> {
    await this.#bury([this.#node])
  }

  async #look(node: string): Promise<Look> {
    return this.#take(await this.#availability.run(this.#keys.nodesSlot, 'beat', [this.#keys.nodes], this.#args(node)))
  }

  #args(node: string): Args<'beat'> {
    return { node, deadAfterMs: DEAD_AFTER_MS, forgetAfterMs: FORGET_AFTER_MS, maxNodes: BATCH }
  }

  #take(reply: Reply): Look {
    const [live, silent, forgettable, now] = list(reply)
    if (this.clock.look(number(now), CLOCK_TOLERANCE_MS) !== 0) this.#agesValidAt = performance.now() + DEAD_AFTER_MS
    this.#live = namesIn(live).sort()
    return { live: this.#live, silent: namesIn(silent), forgettable: namesIn(forgettable) }
  }

  /**
   * Finds nodes that have counters and no heartbeat: each started while the master of the heartbeats was away, and ended before it
   * returned. Their heartbeat is set so that they are found silent in a moment, unless they are alive and beat.
   */
  async #takeCensus(): Promise<void> {
    const names = [...new Set((await this.#everywhere(({ commands }, counters) => commands.hkeys(counters))).flat())]
    if (names.length === 0) return
    await this.#call(async ({ commands }) => {
      const scores = await commands.zmscore(this.#keys.nodes, ...names)
      const unknown = names.filter((_, index) => scores[index] === null)
      if (unknown.length === 0) return
      const [seconds] = await commands.time()
      const beat = Number(seconds) * 1000 - DEAD_AFTER_MS + MISSED_BEAT_MS
      await commands.zadd(this.#keys.nodes, 'NX', ...unknown.flatMap((node) => [beat, node]))
    })
  }

  /** If a master could not be told, the nodes stay silent, and a later beat finds them again. */
  async #bury(nodes: string[]): Promise<void> {
    const args = { deadCounter: DEAD_COUNTER, nodes }
    const replies = await this.#everywhere(({ scripts }, counters) => scripts.run('bury', [counters], args))
    const marked = nodes.filter((_, index) => replies.some((reply) => number(list(reply)[index]) === 1))
    const unmarked = nodes.filter((node) => !marked.includes(node))
    await this.#availability.call(this.#keys.settingsSlot, ({ commands }) => commands.hdel(this.#keys.settings, ...nodes))
    await this.#call(async ({ commands }) => {
      const [seconds] = await commands.time()
      if (marked.length > 0) await commands.zadd(this.#keys.nodes, ...marked.flatMap((node) => [-1000 * Number(seconds), node]))
      if (unmarked.length > 0) await commands.zrem(this.#keys.nodes, ...unmarked)
    })
  }

  async #forget(nodes: string[]): Promise<void> {
    await this.#everywhere(({ commands }, counters) => commands.hdel(counters, ...nodes))
    await this.#call(({ commands }) => commands.zrem(this.#keys.nodes, ...nodes))
  }

  /** Does something in every bucket, in some at once: publishes go in between. Rejects if a master did not do it. */
  async #everywhere<Result>(act: (master: Master, counters: string) => Promise<Result>): Promise<Result[]> {
    const results: Result[] = []
    let failure: unknown
    for (const some of slices(ALL_BUCKETS, CALLS_AT_ONCE)) {
      const done = some.map((bucket) =>
        this.#availability.call(SLOT_OF_BUCKET[bucket] as number, (master) => act(master, this.#keys.counters[bucket] as string))
      )
      for (const result of await Promise.allSettled(done)) {
        if (result.status === 'fulfilled') results.push(result.value)
        else failure = result.reason
      }
    }
    if (failure !== undefined) throw failure
    return results
  }

  async #call(act: (master: Master) => Promise<unknown>): Promise<void> {
    await this.#availability.call(this.#keys.nodesSlot, act)
  }
}

function namesIn(reply: Reply | undefined): string[] {
  return list(reply).map(text)
}
