import type { AttachResult, ConnectionInfo } from '../store.ts'
import { BUCKETS, bucketOf, type Keys } from './keys.ts'
import type { Scripts } from './scripts.ts'

/** Registrations taken back by one round trip. */
const BATCH = 500

/** What the registry should hold for a user on this node. */
interface Held {
  connections: ConnectionInfo[]
  /** Attaches under way: what they leave behind is newer than what a repeated write would. */
  attaching: number
}

/**
 * This node's part of the registry. Where the outcome of a call is not known, what should be there is written again, each
 * second until it worked, so that neither a user goes unwoken nor a ghost stays.
 */
export class Registrations {
  readonly #scripts: Scripts
  readonly #keys: Keys
  readonly #held = new Map<string, Held>()
  readonly #doubtful = new Set<string>()
  readonly #byBucket: Set<string>[] = Array.from({ length: BUCKETS }, () => new Set())

  constructor(scripts: Scripts, keys: Keys) {
    this.#scripts = scripts
    this.#keys = keys
  }

  /** Buckets with users here. */
  buckets(): number[] {
    return this.#byBucket.flatMap((users, bucket) => (users.size > 0 ? [bucket] : []))
  }

  /** Carries out an attach and keeps what it registered. */
  async attach(user: string, connections: ConnectionInfo[], call: () => Promise<AttachResult>): Promise<AttachResult> {
    const held = this.#of(user)
    held.attaching += 1
    try {
      const result = await call()
      if (result.status === 'attached') {
        this.#doubtful.delete(user)
        this.#keep(user, held, connections)
      }
      return result
    } catch (error) {
      this.#doubtful.add(user)
      throw error
    } finally {
      held.attaching -= 1
      this.#forgetIfIdle(user, held)
    }
  }

  /** From now on the registry should hold this; `write` makes it so. */
  want(user: string, connections: ConnectionInfo[]): void {
    this.#doubtful.add(user)
    this.#keep(user, this.#of(user), connections)
  }

  async write(user: string, node: string): Promise<void> {
    const held = this.#of(user)
    const { connections } = held
    await this.#scripts.run('detach', [this.#keys.registry(user)], [node, connections.length, JSON.stringify(connections)])
    if (held.connections === connections) this.#doubtful.delete(user)
    this.#forgetIfIdle(user, held)
  }

  /** Writes again what is in doubt. */
  async retry(node: string): Promise<void> {
    const users = [...this.#doubtful].filter((user) => this.#of(user).attaching === 0)
    await Promise.all(users.slice(0, BATCH).map((user) => this.write(user, node)))
  }

  /** Keeps the registrations of a bucket's users from running out; the users whose registration was gone. */
  async renew(bucket: number, node: string): Promise<Set<string>> {
    const gone = new Set<string>()
    const counters = this.#keys.counters[bucket] as string
    const renew = async (user: string): Promise<void> => {
      if ((await this.#scripts.run('renew', [this.#keys.registry(user), counters], [node])) === 0) gone.add(user)
    }
    await Promise.all([...(this.#byBucket[bucket] as Set<string>)].map(renew))
    return gone
  }

  /** Takes the node out of the registry of every user. */
  async removeAll(node: string): Promise<void> {
    const users = [...this.#held.keys()]
    for (let from = 0; from < users.length; from += BATCH) {
      const batch = users.slice(from, from + BATCH)
      await Promise.all(batch.map((user) => this.#scripts.run('detach', [this.#keys.registry(user)], [node, 0, ''])))
    }
  }

  #of(user: string): Held {
    let held = this.#held.get(user)
    if (held === undefined) {
      held = { connections: [], attaching: 0 }
      this.#held.set(user, held)
    }
    return held
  }

  #keep(user: string, held: Held, connections: ConnectionInfo[]): void {
    held.connections = connections
    const users = this.#byBucket[bucketOf(user)] as Set<string>
    if (connections.length > 0) users.add(user)
    else users.delete(user)
  }

  #forgetIfIdle(user: string, held: Held): void {
    if (held.connections.length === 0 && held.attaching === 0 && !this.#doubtful.has(user)) this.#held.delete(user)
  }
}
