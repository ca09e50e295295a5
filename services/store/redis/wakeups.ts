import type { Bus } from '../../bus/bus.ts'
import { type MessageReader, readMessages } from '../../bus/messages.ts'
import type { StoreEvents } from '../store.ts'
import { BUCKETS, bucketOf, type Keys } from './keys.ts'
import type { Master } from './master.ts'
import { redirectionOf } from './redirection.ts'
import { number } from './reply.ts'
import { WakeupTally } from './wakeup-tally.ts'

/**
 * Receives the wake-ups of a node, and detects lost ones by its counters: once a second the node reads its counters, and a second later it
 * must have heard every number up to them. Where it has not, it subscribes to the bucket's channel again, and reports the users of the
 * bucket as suspect, so that their connections read the log again.
 */
export class Wakeups {
  /** Number of times that a bucket was found to have lost wake-ups. */
  lost = 0
  readonly #bus: Bus
  readonly #keys: Keys
  readonly #node: string
  readonly #events: StoreEvents
  readonly #reader: MessageReader = {
    onWake: (counter, wake) => {
      this.note(bucketOf(wake.user), counter)
      this.#events.wake(wake)
    },
    onKick: (counter, kick) => {
      this.note(bucketOf(kick.user), counter)
      this.#events.kick(kick)
    }
  }
  readonly #suspectBuckets = new Set<number>()
  readonly #rolledBackMasters = new Set<Master>()
  readonly #tallyByBucket: WakeupTally[] = Array.from({ length: BUCKETS }, () => new WakeupTally())

  constructor(bus: Bus, keys: Keys, node: string, events: StoreEvents) {
    this.#bus = bus
    this.#keys = keys
    this.#node = node
    this.#events = events
  }

  /**
   * Subscribes to buckets of a master, then compares their counters. `reportSuspects` reports the buckets that missed numbers before.
   * Resolves with the number of these buckets.
   *
   * @param afresh buckets whose counters start afresh: see the invariant *same history* of `LogCheck`, which compares their users
   */
  async subscribe(master: Master, buckets: readonly number[], afresh: ReadonlySet<number>): Promise<number> {
    await this.#subscribe(master, buckets)
    const compared = buckets.filter((bucket) => !afresh.has(bucket))
    const missed = await this.#findMissed(master, compared)
    for (const bucket of missed) this.#suspectBuckets.add(bucket)
    await Promise.all([...afresh, ...missed].map((bucket) => this.#rebase(master, bucket)))
    return missed.length
  }

  /** Subscribes again where a subscription ended, or to buckets that another master had, and reports the buckets that missed wake-ups. */
  async resubscribe(master: Master, buckets: readonly number[], afresh: ReadonlySet<number>): Promise<void> {
    this.lost += await this.subscribe(master, buckets, afresh)
    this.reportSuspects()
  }

  /** Returns whether a counter of the master was below a number heard since the last call: the master lost a part of its data. */
  takeRollback(master: Master): boolean {
    return this.#rolledBackMasters.delete(master)
  }

  /** Reports the users of buckets where wake-ups may have been lost. Their connections attach again. */
  reportSuspects(): void {
    if (this.#suspectBuckets.size === 0) return
    const affected = new Set(this.#suspectBuckets)
    this.#suspectBuckets.clear()
    this.#events.suspect((user) => affected.has(bucketOf(user)))
  }

  /**
   * Checks the counters of a master's buckets: of those in `concerned`, and of those where the node heard a number since the last check.
   * Subscribes again where numbers are missing, and resolves with these buckets.
   */
  async check(master: Master, concerned: ReadonlySet<number>): Promise<number[]> {
    const lagging: number[] = []
    const level: number[] = []
    for (const bucket of master.buckets) {
      const tally = this.#tally(bucket)
      if (tally.isIdle && !concerned.has(bucket)) continue
      if (tally.isKnown && tally.hasReachedTarget) level.push(bucket)
      else lagging.push(bucket)
    }
    lagging.push(...(await this.#aim(master, level)))
    if (lagging.length === 0) return lagging
    this.lost += lagging.length
    for (const bucket of lagging) this.#suspectBuckets.add(bucket)
    await this.#subscribe(master, lagging)
    await Promise.all(lagging.map((bucket) => this.#rebase(master, bucket)))
    this.reportSuspects()
    return lagging
  }

  /** Reads what arrived on the bus. */
  receive(data: Buffer): void {
    readMessages(data, this.#reader)
  }

  /** Notes the number of a wake-up, or of an attach or detach of this node. */
  note(bucket: number, counter: number): void {
    this.#tally(bucket).note(counter)
  }

  /** Reads the counters as the targets of the next check. Resolves with the buckets whose counter is below what the node had heard. */
  async #aim(master: Master, buckets: number[]): Promise<number[]> {
    const heardBefore = buckets.map((bucket) => this.#tally(bucket).heard)
    const counters = await this.#readCounters(master, buckets)
    return buckets.filter((bucket, index) => {
      const counter = counters[index]
      if (counter === undefined) return false
      if (counter < (heardBefore[index] as number)) {
        this.#noteCounterBelow(master, counter)
        return true
      }
      this.#tally(bucket).aim(counter)
      return false
    })
  }

  /** Resolves with the buckets whose counter differs from what the node heard, or was never read. */
  async #findMissed(master: Master, buckets: readonly number[]): Promise<number[]> {
    const heardBefore = buckets.map((bucket) => this.#tally(bucket).heard)
    const counters = await this.#readCounters(master, buckets)
    return buckets.filter((bucket, index) => {
      const tally = this.#tally(bucket)
      const counter = counters[index]
      if (counter === undefined) return false
      const isBelow = tally.isKnown && counter < (heardBefore[index] as number)
      if (isBelow) this.#noteCounterBelow(master, counter)
      return !tally.isKnown || isBelow || !tally.hasHeardUpTo(counter)
    })
  }

  /** A counter below zero belongs to a node that was marked dead: the master has lost nothing. */
  #noteCounterBelow(master: Master, counter: number): void {
    if (counter >= 0) this.#rolledBackMasters.add(master)
  }

  /** Reads the node's counter of each bucket; undefined for one whose slot moves. Its next owner has the node subscribe, and check again. */
  async #readCounters(master: Master, buckets: readonly number[]): Promise<(number | undefined)[]> {
    const keys = buckets.map((bucket) => this.#keys.counters[bucket] as string)
    const replies = await master.scripts.over('counters', keys, { node: this.#node }, [undefined])
    return replies.map((reply) => (reply === undefined ? undefined : number(reply)))
  }

  async #rebase(master: Master, bucket: number): Promise<void> {
    const key = this.#keys.counters[bucket] as string
    await this.#tally(bucket)
      .rebase(async () => number(await master.scripts.run('counter', [key], { node: this.#node })))
      .catch((error: unknown) => {
        // The slot of the bucket moves. Its tally stays unknown, so that the next check tries again.
        if (redirectionOf(error) === undefined) throw error
      })
  }

  async #subscribe(master: Master, buckets: readonly number[]): Promise<void> {
    await this.#bus.subscribe(master.address, buckets)
  }

  #tally(bucket: number): WakeupTally {
    return this.#tallyByBucket[bucket] as WakeupTally
  }
}
