import { StoreClock } from '../store-clock.ts'
import type { Client } from './clients.ts'
import { ALL_BUCKETS, type Keys } from './keys.ts'
import { list, number, text } from './replies.ts'
import type { Reply, Scripts } from './scripts.ts'

/** A node that was silent this long is dead, milliseconds. */
export const DEAD_AFTER_MS = 15_000

/** The database's clock was set when it moved this much more than this process's between two heartbeats, milliseconds. */
const CLOCK_TOLERANCE_MS = 5000

/** A dead node is forgotten after this, milliseconds; every registration that named it is gone by then. */
const FORGET_AFTER_MS = 48 * 3600 * 1000

/** The counter of a dead node. Below zero for good, however often it is counted up. */
const DEAD_COUNTER = -1_000_000_000_000_000

/** Dead nodes that one beat buries or forgets: a thousand of them must not hold up what a live one does. */
const BATCH = 100

/** Who is alive, by heartbeats on the store's clock. */
export class Nodes {
  readonly #client: Client
  readonly #scripts: Scripts
  readonly #keys: Keys
  readonly #node: string
  /** The clock of the database, as of the last heartbeat. */
  readonly clock = new StoreClock()
  /** After a step of that clock no node counts as silent until each had time for another heartbeat; milliseconds of the monotonic clock. */
  #agesValidAt = 0
  #silent: string[] = []
  #forgettable: string[] = []

  constructor(client: Client, scripts: Scripts, keys: Keys, node: string) {
    this.#client = client
    this.#scripts = scripts
    this.#keys = keys
    this.#node = node
  }

  /** Heartbeat. Notes which nodes `tidy` has to bury. */
  async beat(): Promise<void> {
    const { silent, forgettable } = await this.#look(this.#node)
    this.#silent = performance.now() < this.#agesValidAt ? [] : silent
    this.#forgettable = forgettable
  }

  /** Marks the nodes that the last beat found silent as dead in every bucket, and forgets those that died long ago; a batch of each. */
  async tidy(): Promise<void> {
    const [silent, forgettable] = [this.#silent, this.#forgettable]
    this.#silent = []
    this.#forgettable = []
    if (silent.length > 0) await this.#bury(silent)
    if (forgettable.length > 0) await this.#forget(forgettable)
  }

  async live(): Promise<string[]> {
    return (await this.#look('')).live
  }

  /** The buckets that are this node's to sweep: the live nodes share them out by their order. */
  async share(): Promise<number[]> {
    const live = await this.live()
    const index = Math.max(0, live.indexOf(this.#node))
    const count = Math.max(1, live.length)
    return ALL_BUCKETS.filter((bucket) => bucket % count === index)
  }

  /** This node is as good as dead from now on. If nothing was ever registered for it, nothing of it is left. */
  async leave(): Promise<void> {
    await this.#bury([this.#node])
  }

  async #look(node: string): Promise<{ live: string[]; silent: string[]; forgettable: string[] }> {
    const args = [node, DEAD_AFTER_MS, FORGET_AFTER_MS, BATCH]
    const [live, silent, forgettable, now] = list(await this.#scripts.run('beat', [this.#keys.nodes], args))
    if (this.clock.look(number(now), CLOCK_TOLERANCE_MS) !== 0) this.#agesValidAt = performance.now() + DEAD_AFTER_MS
    return { live: namesIn(live).sort(), silent: namesIn(silent), forgettable: namesIn(forgettable) }
  }

  async #bury(nodes: string[]): Promise<void> {
    const replies = await this.#scripts.each('bury', this.#keys.counters, [DEAD_COUNTER, ...nodes])
    const marked = nodes.filter((_, index) => replies.some((reply) => number(list(reply)[index]) === 1))
    const unmarked = nodes.filter((node) => !marked.includes(node))
    const [seconds] = await this.#client.time()
    if (marked.length > 0) await this.#client.zadd(this.#keys.nodes, ...marked.flatMap((node) => [-1000 * Number(seconds), node]))
    if (unmarked.length > 0) await this.#client.zrem(this.#keys.nodes, ...unmarked)
  }

  async #forget(nodes: string[]): Promise<void> {
    await Promise.all(this.#keys.counters.map((counters) => this.#client.hdel(counters, ...nodes)))
    await this.#client.zrem(this.#keys.nodes, ...nodes)
  }
}

function namesIn(reply: Reply | undefined): string[] {
  return list(reply).map(text)
}
