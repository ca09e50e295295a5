import type { Bus } from '../../bus/bus.ts'
import { newId } from '../../ids.ts'
import type { StoreEvents } from '../store.ts'
import type { Master } from './master.ts'
import type { Registrations } from './registrations.ts'
import { historyOf } from './server-facts.ts'

/**
 * Compares the logs of this node's users with what the node knows of them, wherever their master may have lost writes. The wake-up counters cannot tell
 * then: they are set back with the rows, and later wake-ups may raise them to exactly what the node had heard.
 *
 * Invariant *same history* (docs/explanation/store.md): the node relies on a bucket's counter only within one history of the master's data. When the history
 * changes, the counter starts afresh, and each user of the bucket is compared by epoch, offset and tag of the newest row.
 */
export class LogCheck {
  readonly #registrations: Registrations
  readonly #bus: Bus
  readonly #node: string
  readonly #events: StoreEvents
  /** Histories by master, as of the latest read: see `historyOf`. */
  readonly #historyByMaster = new WeakMap<Master, string>()
  /** By bucket: the history with which the users of this node were last in agreement; undefined if no master was available yet. */
  readonly #historyByBucket: (string | undefined)[] = []
  readonly #checking = new Set<Master>()

  constructor(registrations: Registrations, bus: Bus, node: string, events: StoreEvents) {
    this.#registrations = registrations
    this.#bus = bus
    this.#node = node
    this.#events = events
  }

  /**
   * Reads the history of a master that was connected again. If it cannot be read, it counts as another one. Resolves with true if the master may
   * have lost writes that this node knows of.
   */
  async connected(master: Master): Promise<boolean> {
    this.#historyByMaster.set(master, (await historyOf(master.commands)) ?? newId())
    const changed = this.changed(master, master.buckets)
    return [...changed].some((bucket) => this.#historyByBucket[bucket] !== undefined)
  }

  /** Reads the history of a connected master again: a proxy may hide that another server took its place. */
  async refresh(master: Master): Promise<void> {
    const history = await historyOf(master.commands)
    if (history !== undefined) this.#historyByMaster.set(master, history)
  }

  /** Has the users of all buckets of the master compared, because a counter shows that it has lost writes. */
  doubt(master: Master): void {
    for (const bucket of master.buckets) this.#historyByBucket[bucket] = ''
  }

  /** Returns those of the buckets whose history is another than before. */
  changed(master: Master, buckets: readonly number[]): Set<number> {
    const history = this.#historyByMaster.get(master)
    return new Set(buckets.filter((bucket) => this.#historyByBucket[bucket] !== history))
  }

  /**
   * Compares the users of the master's buckets whose history has changed, one call at a time, and reports those who must attach again. A bucket without
   * a subscription waits for it: what comes between the comparison and the subscription would be missed.
   */
  async run(master: Master): Promise<void> {
    if (this.#checking.has(master)) return
    this.#checking.add(master)
    try {
      const history = this.#historyByMaster.get(master)
      const unsubscribed = new Set(this.#bus.unsubscribed(master.address, master.buckets))
      for (const bucket of this.changed(master, master.buckets)) {
        if (unsubscribed.has(bucket)) continue
        await this.check(bucket, true)
        if (this.#historyByMaster.get(master) === history) this.#historyByBucket[bucket] = history
      }
    } finally {
      this.#checking.delete(master)
    }
  }

  /**
   * Compares the users of a bucket, and renews the expiry of their registrations.
   *
   * @param isStrict reports also the users whose newest row the node does not know
   */
  async check(bucket: number, isStrict: boolean): Promise<void> {
    const differing = await this.#registrations.renew(bucket, this.#node, (user) => this.#newest(user), isStrict)
    if (differing.size > 0) this.#events.suspect((user) => differing.has(user))
  }

  /** Returns the newest row as `renew.lua` compares it. */
  #newest(user: string): string {
    const newest = this.#events.newest?.(user)
    return newest === undefined ? '' : `${newest.epoch} ${newest.offset} ${newest.id8}`
  }
}
