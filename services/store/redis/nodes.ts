import type { Client } from './clients.ts'
import { ALL_BUCKETS, type Keys } from './keys.ts'
import { list, number, text } from './replies.ts'
import type { Scripts } from './scripts.ts'

/** A node that was silent this long is dead, milliseconds. */
export const DEAD_AFTER_MS = 15_000

/** A dead node is forgotten after this, milliseconds; every registration that named it is gone by then. */
const FORGET_AFTER_MS = 48 * 3600 * 1000

/** The counter of a dead node. Below zero for good, however often it is counted up. */
const DEAD_COUNTER = -1_000_000_000_000_000

/** Who is alive, by heartbeats on the store's clock. */
export class Nodes {
  readonly #client: Client
  readonly #scripts: Scripts
  readonly #keys: Keys
  readonly #node: string
  readonly #buried = new Set<string>()

  constructor(client: Client, scripts: Scripts, keys: Keys, node: string) {
    this.#client = client
    this.#scripts = scripts
    this.#keys = keys
    this.#node = node
  }

  /** Heartbeat. Nodes that fell silent are made known as dead in every bucket: whoever meets them in a registry takes them out. */
  async beat(): Promise<void> {
    const ages = await this.#ages(this.#node)
    for (const [node, age] of ages) {
      if (age <= DEAD_AFTER_MS) this.#buried.delete(node)
      else if (age > FORGET_AFTER_MS) await this.#forget(node)
      else if (!this.#buried.has(node)) await this.#bury(node)
    }
  }

  async live(): Promise<string[]> {
    return liveOf(await this.#ages(''))
  }

  /** The buckets that are this node's to sweep: the live nodes share them out by their order. */
  async share(): Promise<number[]> {
    const live = await this.live()
    const index = Math.max(0, live.indexOf(this.#node))
    const count = Math.max(1, live.length)
    return ALL_BUCKETS.filter((bucket) => bucket % count === index)
  }

  /** This node is as good as dead from now on. */
  async leave(): Promise<void> {
    await this.#bury(this.#node)
    await this.#client.zadd(this.#keys.nodes, 'XX', 'INCR', -2 * DEAD_AFTER_MS, this.#node)
  }

  async #ages(node: string): Promise<Map<string, number>> {
    const reply = list(await this.#scripts.run('beat', [this.#keys.nodes], [node]))
    const ages = new Map<string, number>()
    for (let i = 0; i < reply.length; i += 2) ages.set(text(reply[i]), number(reply[i + 1]))
    return ages
  }

  async #bury(node: string): Promise<void> {
    await Promise.all(this.#keys.counters.map((counters) => this.#client.hset(counters, node, DEAD_COUNTER)))
    this.#buried.add(node)
  }

  async #forget(node: string): Promise<void> {
    await Promise.all(this.#keys.counters.map((counters) => this.#client.hdel(counters, node)))
    await this.#client.zrem(this.#keys.nodes, node)
    this.#buried.delete(node)
  }
}

function liveOf(ages: Map<string, number>): string[] {
  return [...ages].flatMap(([node, age]) => (age <= DEAD_AFTER_MS ? [node] : [])).sort()
}
