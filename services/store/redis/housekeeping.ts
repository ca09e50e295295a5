import type { StoreEvents, StoreStatus } from '../store.ts'
import type { Availability, Duties } from './availability.ts'
import { BUCKETS, type Keys } from './keys.ts'
import type { Master } from './master.ts'
import { Nodes } from './nodes.ts'
import type { Registrations } from './registrations.ts'
import { Wakeups } from './wakeups.ts'

const TICK_MS = 1000
const BEAT_TICKS = 2
/** Policy and durability can be changed at run time, and must be noticed within 10 s. */
const FACTS_TICKS = 5
const RENEW_TICKS = 60

/**
 * What a node does from time to time: heartbeats, the comparison of wake-up counters, the repetition of writes whose outcome is not
 * known. It is done for each master by itself, so that one that hangs delays nothing for the others.
 */
export class Housekeeping implements Duties {
  readonly nodes: Nodes
  readonly wakeups: Wakeups
  readonly #availability: Availability
  readonly #registrations: Registrations
  readonly #keys: Keys
  readonly #node: string
  readonly #events: StoreEvents
  readonly #busy = new Set<Master>()
  readonly #listening = new Set<Master>()
  #beating = false
  #timer: NodeJS.Timeout | undefined
  #ticks = 0

  constructor(availability: Availability, registrations: Registrations, keys: Keys, node: string, events: StoreEvents) {
    this.#availability = availability
    this.#registrations = registrations
    this.#keys = keys
    this.#node = node
    this.#events = events
    this.nodes = new Nodes(availability, keys, node)
    this.wakeups = new Wakeups(keys, node, events)
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Takes this node out of the registry, as far as the masters are available. */
  async goodbye(): Promise<void> {
    await this.#registrations.removeAll(this.#node)
    await this.nodes.leave()
  }

  receive(message: Buffer): void {
    this.wakeups.receive(message)
  }

  async prepare(master: Master): Promise<void> {
    if (this.#availability.isMasterOf(master, this.#keys.nodesSlot)) await this.nodes.announce(master)
    await this.wakeups.subscribe(master, master.buckets)
    this.#registrations.doubt(master.buckets)
  }

  attend(master: Master): void {
    this.wakeups.tellSuspects()
    void this.#listen(master)
  }

  changed(status: StoreStatus): void {
    this.#events.status(status)
  }

  #tick(): void {
    this.#ticks += 1
    if (this.#ticks % BEAT_TICKS === 0) void this.#beat()
    for (const master of this.#availability.available) void this.#tend(master, this.#ticks)
  }

  async #beat(): Promise<void> {
    if (this.#beating) return
    this.#beating = true
    try {
      await this.nodes.beat()
      await this.nodes.tidy()
    } catch {
      // Done again at a later beat.
    } finally {
      this.#beating = false
    }
  }

  async #tend(master: Master, ticks: number): Promise<void> {
    if (this.#busy.has(master)) return
    this.#busy.add(master)
    try {
      await this.#listen(master)
      this.#registrations.doubt(await this.wakeups.check(master, this.#registrations.buckets()))
      await this.#registrations.retry(this.#node, master.buckets)
      if (ticks % FACTS_TICKS === 0) await this.#availability.refreshFacts(master)
      if (ticks % RENEW_TICKS === 0) await this.#renew(master, (ticks / RENEW_TICKS) % BUCKETS)
    } catch {
      // Done again at the next tick.
    } finally {
      this.#busy.delete(master)
    }
  }

  /** Subscribes to buckets that came to the master, or that Redis has unsubscribed. What was missed in between is read. */
  async #listen(master: Master): Promise<void> {
    const deaf = master.buckets.filter((bucket) => !master.listening.has(bucket))
    if (deaf.length === 0 || this.#listening.has(master)) return
    this.#listening.add(master)
    try {
      await this.wakeups.resubscribe(master, deaf)
    } catch {
      // Done again at the next tick.
    } finally {
      this.#listening.delete(master)
    }
  }

  /** Renews one bucket. All buckets take about four hours. */
  async #renew(master: Master, bucket: number): Promise<void> {
    if (!master.buckets.includes(bucket)) return
    const gone = await this.#registrations.renew(bucket, this.#node)
    if (gone.size > 0) this.#events.suspect((user) => gone.has(user))
  }
}
