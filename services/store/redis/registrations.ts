import type { AttachResult, ConnectionInfo } from '../store.ts'
import type { Availability } from './availability.ts'
import { ALL_BUCKETS, BUCKETS, bucketOf, type Keys, SLOT_OF_BUCKET, slotOfUser } from './keys.ts'
import { list, number, text } from './reply.ts'
import { scripts } from './script-table.ts'
import { maybeCarriedOut } from './unsent.ts'

/** Registrations taken back by one round trip. */
const BATCH = 500
/** Registrations that one call checks. */
const RENEWED_TOGETHER = 100
/** A call without an answer may be carried out this much later, when the network lets go of it, milliseconds. */
const LATE_MS = 600_000

/** What the registry should hold for a user on this node, and the calls that write it. */
interface Held {
  connections: ConnectionInfo[]
  /** Number of the call, or of the wish, that `connections` are from. */
  from: number
  begun: number
  underWay: number
}

/** One call that writes what the registry holds. */
interface Call {
  number: number
  /** None was under way when it began. */
  first: boolean
}

/**
 * This node's part of the registry. Where the outcome of a call is not known, or calls for one user overlapped (a redirected one may be
 * carried out after the next), what should be there is written again, each second until that worked alone, so that neither a user goes
 * unwoken nor a ghost stays. A call without an answer may come much later still: it moves the node's counter, and then it is written again.
 */
export class Registrations {
  readonly #availability: Pick<Availability, 'run'>
  readonly #keys: Keys
  readonly #held = new Map<string, Held>()
  readonly #doubtful = new Set<string>()
  /** By bucket: users for whom a call had no answer, and when, milliseconds of the monotonic clock; in the order of that. */
  readonly #unanswered: Map<string, number>[] = Array.from({ length: BUCKETS }, () => new Map())
  readonly #byBucket: Set<string>[] = Array.from({ length: BUCKETS }, () => new Set())
  readonly #heard: (bucket: number, counter: number) => void

  /** @param heard told of the node's counter after each write */
  constructor(availability: Pick<Availability, 'run'>, keys: Keys, heard: (bucket: number, counter: number) => void) {
    this.#availability = availability
    this.#keys = keys
    this.#heard = heard
  }

  /** Buckets with users here, or for whom a call may still be carried out. */
  buckets(): Set<number> {
    const concerned = (bucket: number): boolean => this.#byBucket[bucket]?.size !== 0 || this.#unanswered[bucket]?.size !== 0
    return new Set(ALL_BUCKETS.filter(concerned))
  }

  /** Something of these buckets may have been carried out unheard. */
  doubt(buckets: readonly number[]): void {
    for (const bucket of buckets) for (const user of this.#unanswered[bucket]?.keys() ?? []) this.#doubtful.add(user)
  }

  /** Carries out an attach and keeps what it registered. */
  async attach(user: string, connections: ConnectionInfo[], carryOut: () => Promise<AttachResult>): Promise<AttachResult> {
    const held = this.#of(user)
    const wrote = ({ status }: AttachResult): boolean => status === 'attached'
    return await this.#call(user, held, wrote, async (call) => {
      const result = await carryOut()
      if (wrote(result) && call.number > held.from) this.#keep(user, held, connections, call.number)
      return result
    })
  }

  /** From now on the registry should hold this; `write` makes it so. */
  want(user: string, connections: ConnectionInfo[]): void {
    const held = this.#of(user)
    this.#doubtful.add(user)
    this.#keep(user, held, connections, ++held.begun)
  }

  async write(user: string, node: string): Promise<void> {
    const held = this.#of(user)
    const { connections } = held
    const detach = async (): Promise<void> => this.#heard(bucketOf(user), await this.#detach(user, node, connections))
    await this.#call(user, held, () => true, detach)
  }

  /** Writes again what is in doubt in these buckets. */
  async retry(node: string, buckets: readonly number[]): Promise<void> {
    this.#forget(performance.now() - LATE_MS)
    const own = new Set(buckets)
    const users = [...this.#doubtful].filter((user) => own.has(bucketOf(user)) && this.#of(user).underWay === 0)
    await Promise.all(users.slice(0, BATCH).map((user) => this.write(user, node)))
  }

  /** Checks the registrations of a bucket's users and keeps them from expiring. Resolves with the users whose registration is missing. */
  async renew(bucket: number, node: string): Promise<Set<string>> {
    const missing = new Set<string>()
    const users = [...(this.#byBucket[bucket] as Set<string>)]
    for (let from = 0; from < users.length; from += RENEWED_TOGETHER) {
      const args = { node, users: users.slice(from, from + RENEWED_TOGETHER) }
      const reply = await this.#availability.run(SLOT_OF_BUCKET[bucket] as number, 'renew', [this.#keys.counters[bucket] as string], args)
      for (const user of list(reply).map(text)) if (this.#isSettled(user)) missing.add(user)
    }
    return missing
  }

  /** The registry names this node for the user. If the node holds no connection of theirs, the registration is taken back. */
  meet(user: string): void {
    if (!this.#held.has(user)) this.want(user, [])
  }

  /** Whether the registry should name this node for the user, and no call that changes this is under way. */
  #isSettled(user: string): boolean {
    const held = this.#held.get(user)
    return held !== undefined && held.connections.length > 0 && held.underWay === 0 && !this.#doubtful.has(user)
  }

  /** Takes the node out of the registry of every user whose master is available. */
  async removeAll(node: string): Promise<void> {
    const users = [...this.#held.keys()]
    for (let from = 0; from < users.length; from += BATCH) {
      const batch = users.slice(from, from + BATCH)
      await Promise.allSettled(batch.map((user) => this.#detach(user, node, [])))
    }
  }

  async #detach(user: string, node: string, connections: ConnectionInfo[]): Promise<number> {
    const keys = this.#keys.ofUser(user, scripts.detach.keys)
    const args = { node, count: connections.length, connections: JSON.stringify(connections) }
    return number(await this.#availability.run(slotOfUser(user), 'detach', keys, args))
  }

  #of(user: string): Held {
    let held = this.#held.get(user)
    if (held === undefined) {
      held = { connections: [], from: 0, begun: 0, underWay: 0 }
      this.#held.set(user, held)
    }
    return held
  }

  /** One call that writes. What came of it is not known when it fails, unless it was not sent. */
  async #call<Result>(user: string, held: Held, wrote: (result: Result) => boolean, act: (call: Call) => Promise<Result>): Promise<Result> {
    const call = this.#begin(held)
    let written: boolean | undefined
    try {
      const result = await act(call)
      written = wrote(result)
      return result
    } catch (error) {
      if (!maybeCarriedOut(error)) written = false
      throw error
    } finally {
      this.#end(user, held, call, written)
    }
  }

  #begin(held: Held): Call {
    held.underWay += 1
    return { number: ++held.begun, first: held.underWay === 1 }
  }

  /** @param written undefined: that is not known */
  #end(user: string, held: Held, call: Call, written: boolean | undefined): void {
    held.underWay -= 1
    const alone = call.first && held.begun === call.number
    if (written === undefined) this.#await(user)
    if (written === undefined || !alone) this.#doubtful.add(user)
    else if (written) this.#doubtful.delete(user)
    if (held.connections.length === 0 && held.underWay === 0 && !this.#doubtful.has(user)) this.#held.delete(user)
  }

  #await(user: string): void {
    const unanswered = this.#unanswered[bucketOf(user)] as Map<string, number>
    unanswered.delete(user)
    unanswered.set(user, performance.now())
  }

  #forget(past: number): void {
    for (const unanswered of this.#unanswered) {
      for (const [user, at] of unanswered) {
        if (at >= past) break
        unanswered.delete(user)
      }
    }
  }

  #keep(user: string, held: Held, connections: ConnectionInfo[], from: number): void {
    held.connections = connections
    held.from = from
    const users = this.#byBucket[bucketOf(user)] as Set<string>
    if (connections.length > 0) users.add(user)
    else users.delete(user)
  }
}
