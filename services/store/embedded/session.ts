import { errors } from '../../errors.ts'
import { Cache, type CachedUser } from './cache.ts'
import { type DamageRecord, decodeUser, parkedRange, sizeOf, userOfParkedKey, userPrefix, userRange } from './codec.ts'
import { type CheckedEntry, isCorruption, type Operation } from './database.ts'
import { Journal } from './journal.ts'

/** The part of a database that a session uses. */
export interface SessionDatabase {
  write(operations: Operation[]): Promise<void>
  range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]>
  close(): Promise<void>
}

interface SessionOptions {
  database: SessionDatabase
  cacheBytes: number
  /** The latest damage: users who were last written before it may have lost rows; undefined: none. */
  damage: DamageRecord | undefined
  /** Called once, with the cause of a failed write; returns the error for the callers that wait. */
  onFailure(cause: unknown): Error
  /** Called when a user is loaded whose data are damaged, or cannot be read (`unreadable`). */
  onDamagedUser(user: string, reason: string, unreadable: boolean): void
  /** Called when a read failed for a reason other than damage. */
  onReadFailure(cause: unknown): void
}

/** An opened data folder with the users in memory. A session ends with the first write that fails. */
export class Session {
  readonly database: SessionDatabase
  readonly journal: Journal
  readonly cache: Cache
  readonly generation: number
  /** Time at which the next parked notification of each user is due, Unix milliseconds; 0 is now, or not known yet. */
  readonly due = new Map<string, number>()
  readonly #options: SessionOptions
  readonly #loadByUser = new Map<string, Promise<void>>()

  private constructor(options: SessionOptions) {
    this.#options = options
    this.database = options.database
    this.generation = options.damage?.generation ?? 0
    this.journal = new Journal(options.database, (cause) => options.onFailure(cause))
    this.cache = new Cache(options.cacheBytes)
  }

  static async open(options: SessionOptions): Promise<Session> {
    const session = new Session(options)
    for (const [key] of await options.database.range(...parkedRange)) session.due.set(userOfParkedKey(key), 0)
    return session
  }

  /** Loads a user into the cache. Concurrent calls for one user share one read. */
  async load(user: string): Promise<CachedUser> {
    for (;;) {
      let load = this.#loadByUser.get(user)
      if (load === undefined) {
        load = this.#read(user).finally(() => this.#loadByUser.delete(user))
        this.#loadByUser.set(user, load)
      }
      await load
      const cached = this.cache.get(user)
      if (cached !== undefined) return cached
    }
  }

  async close(): Promise<void> {
    await this.journal.drain()
    await this.database.close()
  }

  async #read(user: string): Promise<void> {
    const prefix = userPrefix(user)
    const { damage, onDamagedUser } = this.#options
    const { entries, pinned } = await this.#entriesOf(prefix)
    const { damage: userDamage, ...stored } = decodeUser(prefix, entries)
    let untoldLoss: CachedUser['untoldLoss']
    if (userDamage !== undefined || pinned) {
      untoldLoss = { damagedKeys: userDamage?.keys ?? [] }
      onDamagedUser(user, userDamage?.reason ?? 'the entries cannot be read', pinned)
    } else if (damage !== undefined && stored.generation < damage.generation) untoldLoss = { damagedKeys: undefined }
    const bytes = sizeOf(stored.state)
    this.cache.add({ ...stored, generation: this.generation, user, prefix, group: undefined, bytes, untoldLoss, pinned })
  }

  /** Reads the entries of a user. Every read in the range of a damaged table fails: the user is then taken as one without entries. */
  async #entriesOf(prefix: Buffer): Promise<{ entries: CheckedEntry[]; pinned: boolean }> {
    try {
      return { entries: await this.database.range(...userRange(prefix)), pinned: false }
    } catch (cause) {
      if (isCorruption(cause)) return { entries: [], pinned: true }
      this.#options.onReadFailure(cause)
      throw new errors.StoreUnavailable({ cause })
    }
  }
}
