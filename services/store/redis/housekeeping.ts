import type { StoreEvents, StoreSettings, StoreStatus } from '../store.ts'
import type { Availability, Duties } from './availability.ts'
import type { Keys } from './keys.ts'
import type { Master } from './master.ts'
import { Nodes } from './nodes.ts'
import type { Registrations } from './registrations.ts'
import { scanRegistry } from './registry-scan.ts'
import type { AttachReply } from './replies.ts'
import { SettingsCheck } from './settings-check.ts'
import { Wakeups } from './wakeups.ts'

const TICK_MS = 1000
const BEAT_TICKS = 2
const SETTINGS_TICKS = 6
/** Policy and durability can be changed at run time, and must be noticed within 10 s. */
const FACTS_TICKS = 5
/** All registrations are checked in so many ticks: one that was deleted must be found within a minute. */
const RENEWAL_TICKS = 43

/**
 * What a node does from time to time: heartbeats, the comparison of wake-up counters, the repetition of writes whose outcome is not
 * known. It is done for each master by itself, so that one that hangs delays nothing for the others.
 */
export class Housekeeping implements Duties {
  readonly nodes: Nodes
  readonly wakeups: Wakeups
  readonly settings: SettingsCheck
  readonly #availability: Availability
  readonly #registrations: Registrations
  readonly #keys: Keys
  readonly #node: string
  readonly #events: StoreEvents
  readonly #busy = new Set<Master>()
  readonly #listening = new Set<Master>()
  /** Buckets renewed so far, by master. */
  readonly #renewed = new WeakMap<Master, number>()
  readonly #scanning = new Set<Master>()
  #beating = false
  #timer: NodeJS.Timeout | undefined
  #ticks = 0

  constructor(
    availability: Availability,
    registrations: Registrations,
    keys: Keys,
    node: string,
    events: StoreEvents,
    settings: StoreSettings,
    warn: (message: string) => void
  ) {
    this.#availability = availability
    this.#registrations = registrations
    this.#keys = keys
    this.#node = node
    this.#events = events
    this.nodes = new Nodes(availability, keys, node)
    this.wakeups = new Wakeups(keys, node, this.#meeting(events))
    this.settings = new SettingsCheck(availability, keys, node, settings, warn)
  }

  async start(): Promise<void> {
    await this.#compareSettings().catch(() => undefined)
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Passes on that connections were told to close, which an attach found: the messages were lost, or are on their way. */
  kick(user: string, kicks: AttachReply['kicks']): void {
    for (const { connectionId, reason } of kicks) this.#events.kick({ user, connectionId, reason, revoked: false })
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
    this.wakeups.reportSuspects()
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
      if (this.#ticks % SETTINGS_TICKS === 0) await this.#compareSettings()
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
      this.#reconcile(master)
      await this.#renew(master)
    } catch {
      // Done again at the next tick.
    } finally {
      this.#busy.delete(master)
    }
  }

  /** Subscribes to buckets that came to the master, or that Redis has unsubscribed. What was missed in between is read. */
  async #listen(master: Master): Promise<void> {
    const deaf = master.buckets.filter((bucket) => !master.subscribedBuckets.has(bucket))
    if (deaf.length === 0 || this.#listening.has(master)) return
    this.#listening.add(master)
    try {
      await this.wakeups.resubscribe(master, deaf)
      // A call that was carried out late had its counter heard by nobody, and is no longer seen in it.
      this.#registrations.doubt(deaf)
    } catch {
      // Done again at the next tick.
    } finally {
      this.#listening.delete(master)
    }
  }

  /** Checks the registrations of the master's next few buckets. Users whose registration is missing are attached again. */
  async #renew(master: Master): Promise<void> {
    const { buckets } = master
    for (let count = Math.ceil(buckets.length / RENEWAL_TICKS); count > 0; count--) {
      const renewed = this.#renewed.get(master) ?? 0
      this.#renewed.set(master, renewed + 1)
      const missing = await this.#registrations.renew(buckets[renewed % buckets.length] as number, this.#node)
      if (missing.size > 0) this.#events.suspect((user) => missing.has(user))
    }
  }

  async #compareSettings(): Promise<void> {
    const live = await this.nodes.live()
    if (live !== undefined) await this.settings.compare(live)
  }

  /**
   * After a master went back in time (an older AOF, a failover that lost its tail) its registry may name this node for users who left it
   * since. They are looked for in the background.
   */
  #reconcile(master: Master): void {
    if (this.#scanning.has(master) || !this.wakeups.takeRollback(master)) return
    this.#scanning.add(master)
    scanRegistry(master, this.#keys, this.#node, (user) => this.#registrations.removeIfUnused(user))
      .catch(() => this.wakeups.noteRollback(master))
      .finally(() => this.#scanning.delete(master))
  }

  /** The events of the node. A message for a user without a connection here shows a registration that should not be there. */
  #meeting(events: StoreEvents): StoreEvents {
    return {
      wake: (wake) => {
        this.#registrations.removeIfUnused(wake.user)
        events.wake(wake)
      },
      kick: (kick) => {
        this.#registrations.removeIfUnused(kick.user)
        events.kick(kick)
      },
      suspect: (affected) => events.suspect(affected),
      status: (status) => events.status(status)
    }
  }
}
