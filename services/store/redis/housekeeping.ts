import type { Bus } from '../../bus/bus.ts'
import type { StoreEvents, StoreSettings, StoreStatus } from '../store.ts'
import type { Availability } from './availability.ts'
import type { Keys } from './keys.ts'
import { LogCheck } from './log-check.ts'
import type { Master, MasterListener } from './master.ts'
import { Nodes } from './nodes.ts'
import type { Registrations } from './registrations.ts'
import { scanRegistry } from './registry-scan.ts'
import type { AttachReply } from './replies.ts'
import { SettingsCheck } from './settings-check.ts'
import { Wakeups } from './wakeups.ts'

const TICK_MS = 1000
/** Ticks between two heartbeats, and between two comparisons of the settings. */
const BEAT_TICKS = 2
const SETTINGS_TICKS = 6
/** Ticks between two reads of a server's policy and durability. A change at run time must be noticed within 10 s. */
const FACTS_TICKS = 5
/** Ticks in which all registrations are checked once. A deleted registration must be found within a minute. */
const RENEWAL_TICKS = 43

/**
 * Periodic work of a node: heartbeats, the check of wake-up counters, retries of writes to the registry, renewal of registrations. Each
 * master has its own turn, so that a master that hangs does not delay the work on the others.
 */
export class Housekeeping implements MasterListener {
  readonly nodes: Nodes
  readonly wakeups: Wakeups
  readonly settings: SettingsCheck
  readonly #logCheck: LogCheck
  readonly #availability: Availability
  readonly #registrations: Registrations
  readonly #bus: Bus
  readonly #keys: Keys
  readonly #node: string
  readonly #events: StoreEvents
  /** Masters whose tick, resubscription or scan is in progress. */
  readonly #ticking = new Set<Master>()
  readonly #resubscribing = new Set<Master>()
  readonly #scanning = new Set<Master>()
  /** Masters that may have lost writes since their last scan. */
  readonly #unscanned = new Set<Master>()
  /** By master: number of buckets whose registrations were renewed so far. */
  readonly #renewedBuckets = new WeakMap<Master, number>()
  #isBeating = false
  #timer: NodeJS.Timeout | undefined
  #ticks = 0

  constructor(
    availability: Availability,
    registrations: Registrations,
    bus: Bus,
    keys: Keys,
    node: string,
    events: StoreEvents,
    settings: StoreSettings,
    warn: (message: string) => void
  ) {
    this.#availability = availability
    this.#registrations = registrations
    this.#bus = bus
    this.#keys = keys
    this.#node = node
    this.#events = events
    this.nodes = new Nodes(availability, keys, node)
    this.wakeups = new Wakeups(bus, keys, node, this.#withRemovalOfUnused(events))
    this.#logCheck = new LogCheck(registrations, bus, node, events)
    const shared = { ...settings, bus: bus.publish === undefined ? undefined : bus.name }
    this.settings = new SettingsCheck(availability, keys, node, shared, warn)
  }

  async start(): Promise<void> {
    await this.#compareSettings().catch(() => undefined)
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Passes on orders to close connections that an attach found. Their messages were lost, or have not arrived yet. */
  kick(user: string, kicks: AttachReply['kicks']): void {
    for (const { connectionId, reason } of kicks) this.#events.kick({ user, connectionId, reason, revoked: false })
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Removes this node from the registry, as far as the masters are available. */
  async deregister(): Promise<void> {
    await this.#registrations.removeAll(this.#node)
    await this.nodes.leave()
  }

  async prepare(master: Master): Promise<void> {
    if (this.#availability.isMasterOf(master, this.#keys.nodesSlot)) await this.nodes.announce(master)
    const mayHaveLostWrites = await this.#logCheck.connected(master)
    await this.wakeups.subscribe(master, master.buckets, this.#logCheck.changed(master, master.buckets))
    if (mayHaveLostWrites) this.#noteLoss(master)
    this.#registrations.doubt(master.buckets)
  }

  onReady(master: Master): void {
    this.wakeups.reportSuspects()
    void this.#catchUp(master)
  }

  onStatus(status: StoreStatus): void {
    this.#events.status(status)
  }

  #tick(): void {
    this.#ticks += 1
    if (this.#ticks % BEAT_TICKS === 0) void this.#beat()
    for (const master of this.#availability.available) void this.#maintain(master, this.#ticks)
  }

  async #beat(): Promise<void> {
    if (this.#isBeating) return
    this.#isBeating = true
    try {
      await this.nodes.beat()
      await this.nodes.tidy()
      if (this.#ticks % SETTINGS_TICKS === 0) await this.#compareSettings()
    } catch {
      // The next heartbeat retries.
    } finally {
      this.#isBeating = false
    }
  }

  async #maintain(master: Master, ticks: number): Promise<void> {
    if (this.#ticking.has(master)) return
    this.#ticking.add(master)
    try {
      await this.#catchUp(master)
      this.#registrations.doubt(await this.wakeups.check(master, this.#registrations.buckets()))
      await this.#registrations.retry(this.#node, master.buckets)
      if (ticks % FACTS_TICKS === 0) {
        await this.#availability.refreshFacts(master)
        await this.#logCheck.refresh(master)
      }
      if (this.wakeups.takeRollback(master)) {
        this.#logCheck.doubt(master)
        this.#noteLoss(master)
      }
      this.#scan(master)
      await this.#renew(master)
    } catch {
      // The next tick retries.
    } finally {
      this.#ticking.delete(master)
    }
  }

  /** Subscribes where a subscription is missing, then compares the logs where the master may have lost writes. Never rejects. */
  async #catchUp(master: Master): Promise<void> {
    await this.#resubscribe(master)
    await this.#logCheck.run(master).catch(() => undefined)
  }

  /** Subscribes to buckets that came to the master, or whose subscription ended. Users who missed wake-ups attach again. */
  async #resubscribe(master: Master): Promise<void> {
    const unsubscribed = this.#bus.unsubscribed(master.address, master.buckets)
    if (unsubscribed.length === 0 || this.#resubscribing.has(master)) return
    this.#resubscribing.add(master)
    try {
      await this.wakeups.resubscribe(master, unsubscribed, this.#logCheck.changed(master, unsubscribed))
      // The counters start afresh here: a call that was carried out late can no longer be noticed by them.
      this.#registrations.doubt(unsubscribed)
    } catch {
      // The next tick retries.
    } finally {
      this.#resubscribing.delete(master)
    }
  }

  /** Checks the registrations and the logs of the users in the master's next few buckets. */
  async #renew(master: Master): Promise<void> {
    const { buckets } = master
    for (let count = Math.ceil(buckets.length / RENEWAL_TICKS); count > 0; count--) {
      const renewed = this.#renewedBuckets.get(master) ?? 0
      this.#renewedBuckets.set(master, renewed + 1)
      await this.#logCheck.check(buckets[renewed % buckets.length] as number, false)
    }
  }

  async #compareSettings(): Promise<void> {
    const live = await this.nodes.live()
    if (live !== undefined) await this.settings.compare(live)
  }

  #noteLoss(master: Master): void {
    this.#unscanned.add(master)
    this.nodes.searchSoon()
  }

  /**
   * After a master has lost its latest writes (an older AOF, a failover that lost its tail), its registry may name this node for users
   * who have left it. A scan in the background finds them.
   */
  #scan(master: Master): void {
    if (this.#scanning.has(master) || !this.#unscanned.delete(master)) return
    this.#scanning.add(master)
    scanRegistry(master, this.#keys, this.#node, (user) => this.#registrations.removeIfUnused(user))
      .catch(() => this.#unscanned.add(master))
      .finally(() => this.#scanning.delete(master))
  }

  /** Returns events that also take back the registration of a user for whom a message arrives although this node has no connection. */
  #withRemovalOfUnused(events: StoreEvents): StoreEvents {
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
