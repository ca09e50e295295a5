import type { StoreEvents } from '../store.ts'
import { BUCKETS, bucketOf, type Keys } from './keys.ts'
import type { Master } from './master.ts'
import { number } from './reply.ts'

const SPACE = 0x20
const WAKE = 0x77
const MANY = 0x6d

/**
 * What a node knows of its counter in one bucket. The store numbers every wake-up it sends to the node and every attach and detach of the
 * node; of the numbers after `base` the node has heard `count`.
 */
interface Tally {
  base: number
  count: number
  /** What the counter was at the last check: by the next one every number up to it must have been heard. */
  target: number
  /** Numbers heard that are past the target: they make up for none that is missing before it. */
  past: number[]
  /** Counters heard while the base is found out; undefined while it is known. */
  heard: number[] | undefined
}

/**
 * Receives the wake-ups of a node and finds those that were lost: the counter of the store, read once a second, must have
 * been reached a second later. Where it was not, the channel is subscribed again and the bucket's users are suspect.
 */
export class Wakeups {
  /** Times a bucket was found to have lost wake-ups. */
  lost = 0
  readonly #keys: Keys
  readonly #node: string
  readonly #events: StoreEvents
  readonly #suspects = new Set<number>()
  readonly #rolledBack = new Set<Master>()
  readonly #tallies: Tally[] = Array.from({ length: BUCKETS }, () => ({ base: 0, count: 0, target: 0, past: [], heard: [] }))

  constructor(keys: Keys, node: string, events: StoreEvents) {
    this.#keys = keys
    this.#node = node
    this.#events = events
  }

  /**
   * Subscribes to buckets of a master, then compares their counters. `tellSuspects` reports buckets whose counter moved unheard.
   * Returns how many these are.
   */
  async subscribe(master: Master, buckets: readonly number[]): Promise<number> {
    const first = buckets.every((bucket) => this.#tally(bucket).heard !== undefined)
    await this.#listen(master, buckets)
    const missed = await this.#moved(master, buckets)
    if (!first) for (const bucket of missed) this.#suspects.add(bucket)
    await Promise.all(missed.map((bucket) => this.#rebase(master, bucket)))
    return missed.length
  }

  /** Subscribes again where a subscription ended, or to buckets that another master had, and reports what was missed. */
  async resubscribe(master: Master, buckets: readonly number[]): Promise<void> {
    this.lost += await this.subscribe(master, buckets)
    this.tellSuspects()
  }

  /** Returns whether a counter of the master was found below what had been heard since the last call: the master lost what it had. */
  takeRollback(master: Master): boolean {
    return this.#rolledBack.delete(master)
  }

  noteRollback(master: Master): void {
    this.#rolledBack.add(master)
  }

  /** A counter below zero is that of a node found dead: nothing was lost. */
  #noteBelow(master: Master, counter: number): void {
    if (counter >= 0) this.noteRollback(master)
  }

  /** Users of buckets where wake-ups may have been lost are attached anew. */
  tellSuspects(): void {
    if (this.#suspects.size === 0) return
    const affected = new Set(this.#suspects)
    this.#suspects.clear()
    this.#events.suspect((user) => affected.has(bucketOf(user)))
  }

  /**
   * Compares the counters of a master's buckets with what they were a second ago: of those in `concerned`, and of those where something
   * was heard. Heals those that lag, and returns them.
   */
  async check(master: Master, concerned: ReadonlySet<number>): Promise<number[]> {
    const lagging: number[] = []
    const level: number[] = []
    for (const bucket of master.buckets) {
      const tally = this.#tally(bucket)
      if (tally.past.length === 0 && !concerned.has(bucket)) continue
      if (tally.heard !== undefined || heardUpTo(tally, tally.target) < tally.target) lagging.push(bucket)
      else level.push(bucket)
    }
    await this.#look(master, level, lagging)
    if (lagging.length === 0) return lagging
    this.lost += lagging.length
    for (const bucket of lagging) this.#suspects.add(bucket)
    await this.#listen(master, lagging)
    await Promise.all(lagging.map((bucket) => this.#rebase(master, bucket)))
    this.tellSuspects()
    return lagging
  }

  /** An attach or a detach of this node was counted. */
  heard(bucket: number, counter: number): void {
    const tally = this.#tally(bucket)
    if (tally.heard !== undefined) tally.heard.push(counter)
    else if (counter > tally.base) {
      tally.count += 1
      if (counter > tally.target) tally.past.push(counter)
    }
  }

  /** Takes the counters for the targets of the next check; those that are behind what was heard before lag, too. */
  async #look(master: Master, buckets: number[], lagging: number[]): Promise<void> {
    const heard = buckets.map((bucket) => heardOf(this.#tally(bucket)))
    const counters = await this.#counters(master, buckets)
    buckets.forEach((bucket, index) => {
      const tally = this.#tally(bucket)
      const counter = counters[index] as number
      if (counter < (heard[index] as number)) {
        lagging.push(bucket)
        this.#noteBelow(master, counter)
      } else aim(tally, counter)
    })
  }

  /** Returns the buckets whose counter differs from what was heard, or was never read. */
  async #moved(master: Master, buckets: readonly number[]): Promise<number[]> {
    const heard = buckets.map((bucket) => heardOf(this.#tally(bucket)))
    const counters = await this.#counters(master, buckets)
    return buckets.filter((bucket, index) => {
      const tally = this.#tally(bucket)
      const counter = counters[index] as number
      const below = tally.heard === undefined && counter < (heard[index] as number)
      if (below) this.#noteBelow(master, counter)
      return tally.heard !== undefined || below || heardUpTo(tally, counter) < counter
    })
  }

  async #counters(master: Master, buckets: readonly number[]): Promise<number[]> {
    const keys = buckets.map((bucket) => this.#keys.counters[bucket] as string)
    return (await master.scripts.over('counters', keys, { node: this.#node })).map(number)
  }

  async #rebase(master: Master, bucket: number): Promise<void> {
    const tally = this.#tally(bucket)
    const heard: number[] = []
    tally.heard = heard
    const base = number(await master.scripts.run('counter', [this.#keys.counters[bucket] as string], { node: this.#node }))
    if (tally.heard !== heard) return
    tally.base = base
    tally.past = heard.filter((counter) => counter > base)
    tally.count = tally.past.length
    tally.target = base
    tally.heard = undefined
  }

  async #listen(master: Master, buckets: readonly number[]): Promise<void> {
    for (const bucket of buckets) master.listening.add(bucket)
    try {
      await master.subscribe(buckets.map((bucket) => this.#keys.channel(bucket, this.#node)))
    } catch (error) {
      for (const bucket of buckets) master.listening.delete(bucket)
      throw error
    }
  }

  #tally(bucket: number): Tally {
    return this.#tallies[bucket] as Tally
  }

  /** One message as it is, or `m` and several, each as `<length> <message>`. */
  receive(message: Buffer): void {
    if (message[0] !== MANY) return this.#take(message)
    for (let at = 1; at < message.length; ) {
      const start = message.indexOf(SPACE, at) + 1
      const end = start + Number(message.toString('latin1', at, start - 1))
      this.#take(message.subarray(start, end))
      at = end
    }
  }

  /** `w<counter> <offset> <epoch> <length> <user><row>` or `k<counter> <cause> <connection> <length> <user><reason>`: 1 revoked, 2 displaced. */
  #take(message: Buffer): void {
    const counterEnd = message.indexOf(SPACE)
    const firstEnd = message.indexOf(SPACE, counterEnd + 1)
    const secondEnd = message.indexOf(SPACE, firstEnd + 1)
    const lengthEnd = message.indexOf(SPACE, secondEnd + 1)
    const first = message.toString('latin1', counterEnd + 1, firstEnd)
    const second = message.toString('utf8', firstEnd + 1, secondEnd)
    const userEnd = lengthEnd + 1 + Number(message.toString('latin1', secondEnd + 1, lengthEnd))
    const user = message.toString('utf8', lengthEnd + 1, userEnd)
    this.heard(bucketOf(user), Number(message.toString('latin1', 1, counterEnd)))
    if (message[0] === WAKE) {
      const row = userEnd < message.length ? message.subarray(userEnd) : undefined
      this.#events.wake({ user, epoch: second, offset: Number(first), row })
    } else {
      const connectionId = second === '*' ? undefined : second
      const kick = { user, connectionId, reason: message.toString('utf8', userEnd), revoked: first === '1' }
      this.#events.kick(first === '2' ? { ...kick, displaced: true } : kick)
    }
  }
}

function heardOf({ base, count }: Tally): number {
  return base + count
}

/** How far it heard, if nothing up to this number is missing; less when something is. */
function heardUpTo({ base, count, past }: Tally, counter: number): number {
  return base + count - past.filter((number) => number > counter).length
}

function aim(tally: Tally, counter: number): void {
  tally.target = counter
  tally.past = tally.past.filter((number) => number > counter)
}
