import type { AttachResult, ConnectionInfo } from '../store.ts'
import type { Availability } from './availability.ts'
import { mayBeCarriedOut } from './command-not-sent.ts'
import { ALL_BUCKETS, BUCKETS, bucketOf, type Keys, SLOT_OF_BUCKET, slotOfUser } from './keys.ts'
import type { Master } from './master.ts'
import { list, number, text } from './reply.ts'
import { scripts } from './script-table.ts'
import { slices } from './slices.ts'

/** Most registrations written at once, by a retry or at the end of the node. */
const WRITE_BATCH = 500
/** Registrations checked by one call. */
const RENEW_BATCH = 100
/** A call without an answer may be carried out this much later, when a network that held it delivers it, milliseconds. */
const LATE_CALL_MS = 600_000

/** The intended entry of the registry for a user on this node. */
interface Registration {
  connections: ConnectionInfo[]
  /** Number of the write, or of the call to `set`, that `connections` come from. */
  connectionsFrom: number
  /** Number of the latest write or call to `set`. */
  latest: number
  writesInProgress: number
}

/** One call that writes to the registry. */
interface Write {
  number: number
  /** No other write for the user was in progress when this one began. */
  startedAlone: boolean
}

/** The node's routes to the registry: one script, or one read on the master that owns a slot. */
export type RegistryCalls = Pick<Availability, 'run' | 'route'>

/**
 * This node's part of the registry. It holds the invariant of the *lone write* (docs/explanation/store.md): the registry is known to hold
 * what it should only when the latest write for the user was answered and overlapped with no other. Until then the write is repeated each
 * second.
 */
export class Registrations {
  readonly #calls: RegistryCalls
  readonly #keys: Keys
  readonly #registrationByUser = new Map<string, Registration>()
  /** Users whose registration must be written again. */
  readonly #doubtful = new Set<string>()
  /** By bucket: users with an unanswered call, and its time, milliseconds of the monotonic clock; in the order of time. */
  readonly #unansweredByBucket: Map<string, number>[] = Array.from({ length: BUCKETS }, () => new Map())
  /** By bucket: users with connections on this node. */
  readonly #usersByBucket: Set<string>[] = Array.from({ length: BUCKETS }, () => new Set())
  readonly #onCounted: (bucket: number, counter: number) => void

  /** @param onCounted called with the node's counter after each write */
  constructor(calls: RegistryCalls, keys: Keys, onCounted: (bucket: number, counter: number) => void) {
    this.#calls = calls
    this.#keys = keys
    this.#onCounted = onCounted
  }

  /** Returns the buckets with users on this node, or with calls that may still be carried out. */
  buckets(): Set<number> {
    return new Set(ALL_BUCKETS.filter((bucket) => this.#usersByBucket[bucket]?.size !== 0 || this.#unansweredByBucket[bucket]?.size !== 0))
  }

  /** Marks the users with unanswered calls in these buckets as doubtful, because such a call may have been carried out late. */
  doubt(buckets: readonly number[]): void {
    for (const bucket of buckets) for (const user of this.#unansweredByBucket[bucket]?.keys() ?? []) this.#doubtful.add(user)
  }

  /** Runs an attach, and keeps the connections that it registered. */
  async attach(user: string, connections: ConnectionInfo[], send: () => Promise<AttachResult>): Promise<AttachResult> {
    const registration = this.#of(user)
    const hasWritten = ({ status }: AttachResult): boolean => status === 'attached'
    return await this.#track(user, registration, hasWritten, async (write) => {
      const result = await send()
      if (hasWritten(result) && write.number > registration.connectionsFrom) this.#keep(user, registration, connections, write.number)
      return result
    })
  }

  /** Sets the connections that the registry should hold. `write` writes them. */
  set(user: string, connections: ConnectionInfo[]): void {
    const registration = this.#of(user)
    this.#doubtful.add(user)
    this.#keep(user, registration, connections, ++registration.latest)
  }

  async write(user: string, node: string): Promise<void> {
    const registration = this.#of(user)
    const { connections } = registration
    const detach = async (): Promise<void> => this.#onCounted(bucketOf(user), await this.#detach(user, node, connections))
    await this.#track(user, registration, () => true, detach)
  }

  /** Writes the doubtful registrations of these buckets again. */
  async retry(node: string, buckets: readonly number[]): Promise<void> {
    this.#forgetUnanswered(performance.now() - LATE_CALL_MS)
    const own = new Set(buckets)
    const users = [...this.#doubtful].filter((user) => own.has(bucketOf(user)) && this.#of(user).writesInProgress === 0)
    await Promise.all(users.slice(0, WRITE_BATCH).map((user) => this.write(user, node)))
  }

  /**
   * Compares the registrations of a bucket's users, and the newest rows of their logs, with what this node knows, and renews the expiry of the
   * registrations. Resolves with the users who must attach again because one of the two differs.
   *
   * @param newest returns the newest row that the node knows as `renew.lua` compares it; '' if it knows none
   * @param isStrict a user whose newest row is not known differs
   */
  async renew(bucket: number, node: string, newest: (user: string) => string, isStrict: boolean): Promise<Set<string>> {
    const differing = new Set<string>()
    const slot = SLOT_OF_BUCKET[bucket] as number
    const keys = this.#keys.ofBucket(bucket, scripts.renew.keys)
    const users = [...(this.#usersByBucket[bucket] as Set<string>)]
    for (let from = 0; from < users.length; from += RENEW_BATCH) {
      const checked = users.slice(from, from + RENEW_BATCH).flatMap((user) => [user, this.#registered(user), newest(user)])
      const [unregistered, behind] = list(await this.#calls.run(slot, 'renew', keys, { node, users: checked })).map((part) =>
        list(part).map(text)
      )
      for (const user of unregistered ?? []) if (this.#isSettled(user)) differing.add(user)
      // The wake-up for that row may have arrived with the answer.
      for (const [user = '', row] of slices(behind ?? [], 2)) if (newest(user) !== row) differing.add(user)
    }
    if (isStrict) for (const user of users) if (newest(user) === '') differing.add(user)
    return differing
  }

  /** Takes the registration of a user back if this node, which the registry names for the user, has no connection of the user. */
  removeIfUnused(user: string): void {
    if (!this.#registrationByUser.has(user)) this.set(user, [])
  }

  /** Reads the registry of a user: the connections of each node. */
  async read(user: string): Promise<Map<string, ConnectionInfo[]>> {
    const key = this.#keys.registry(user)
    const read = ({ commands }: Master): Promise<Record<string, string>> => commands.hgetall(key)
    const fields = await this.#calls.route(slotOfUser(user), read)
    return new Map(
      Object.entries(fields).map(([node, value]) => [node, JSON.parse(value.slice(value.indexOf(' ') + 1)) as ConnectionInfo[]])
    )
  }

  /** Reads which nodes have connections of a user. */
  async nodesOf(user: string): Promise<string[]> {
    const key = this.#keys.registry(user)
    return await this.#calls.route(slotOfUser(user), ({ commands }) => commands.hkeys(key))
  }

  /** Removes the node from the registry of each of its users whose master is available. */
  async removeAll(node: string): Promise<void> {
    const users = [...this.#registrationByUser.keys()]
    for (let from = 0; from < users.length; from += WRITE_BATCH) {
      const batch = users.slice(from, from + WRITE_BATCH)
      await Promise.allSettled(batch.map((user) => this.#detach(user, node, [])))
    }
  }

  /** Returns whether the registry must name this node for the user: nothing is in doubt, and no write in progress can change it. */
  #isSettled(user: string): boolean {
    const registration = this.#registrationByUser.get(user)
    if (registration === undefined || this.#doubtful.has(user)) return false
    return registration.connections.length > 0 && registration.writesInProgress === 0
  }

  /** Returns what the registry must hold for this node and the user; '' if a write in progress may change it. */
  #registered(user: string): string {
    const connections = this.#registrationByUser.get(user)?.connections ?? []
    return this.#isSettled(user) ? `${connections.length} ${JSON.stringify(connections)}` : ''
  }

  async #detach(user: string, node: string, connections: ConnectionInfo[]): Promise<number> {
    const keys = this.#keys.ofUser(user, scripts.detach.keys)
    const args = { node, count: connections.length, connections: JSON.stringify(connections) }
    return number(await this.#calls.run(slotOfUser(user), 'detach', keys, args))
  }

  #of(user: string): Registration {
    let registration = this.#registrationByUser.get(user)
    if (registration === undefined) {
      registration = { connections: [], connectionsFrom: 0, latest: 0, writesInProgress: 0 }
      this.#registrationByUser.set(user, registration)
    }
    return registration
  }

  /**
   * Runs one write and notes its outcome: written or not. If the write fails after it was sent, the outcome is unknown.
   *
   * @param hasWritten returns whether the call wrote to the registry, by its result
   */
  async #track<Result>(
    user: string,
    registration: Registration,
    hasWritten: (result: Result) => boolean,
    send: (write: Write) => Promise<Result>
  ): Promise<Result> {
    const write = this.#begin(registration)
    let written: boolean | undefined
    try {
      const result = await send(write)
      written = hasWritten(result)
      return result
    } catch (error) {
      if (!mayBeCarriedOut(error)) written = false
      throw error
    } finally {
      this.#end(user, registration, write, written)
    }
  }

  #begin(registration: Registration): Write {
    registration.writesInProgress += 1
    return { number: ++registration.latest, startedAlone: registration.writesInProgress === 1 }
  }

  /** @param written undefined if the outcome is unknown */
  #end(user: string, registration: Registration, write: Write, written: boolean | undefined): void {
    registration.writesInProgress -= 1
    const wasAlone = write.startedAlone && registration.latest === write.number
    if (written === undefined) this.#noteUnanswered(user)
    if (written === undefined || !wasAlone) this.#doubtful.add(user)
    else if (written) this.#doubtful.delete(user)
    const isUnused = registration.connections.length === 0 && registration.writesInProgress === 0
    if (isUnused && !this.#doubtful.has(user)) this.#registrationByUser.delete(user)
  }

  #noteUnanswered(user: string): void {
    const unanswered = this.#unansweredByBucket[bucketOf(user)] as Map<string, number>
    unanswered.delete(user)
    unanswered.set(user, performance.now())
  }

  #forgetUnanswered(before: number): void {
    for (const unanswered of this.#unansweredByBucket) {
      for (const [user, at] of unanswered) {
        if (at >= before) break
        unanswered.delete(user)
      }
    }
  }

  #keep(user: string, registration: Registration, connections: ConnectionInfo[], from: number): void {
    registration.connections = connections
    registration.connectionsFrom = from
    const users = this.#usersByBucket[bucketOf(user)] as Set<string>
    if (connections.length > 0) users.add(user)
    else users.delete(user)
  }
}
