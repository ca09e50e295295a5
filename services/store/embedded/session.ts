import { randomBytes } from 'node:crypto'
import { errors } from '../../errors.ts'
import { Cache, type CachedUser } from './cache.ts'
import {
  type DamageRecord,
  decodeTime,
  decodeUser,
  parkedRange,
  secretKey,
  timesRange,
  userOfIndexKey,
  userPrefix,
  userRange
} from './codec.ts'
import { type CheckedEntry, isCorruption, type Operation } from './database.ts'
import { Journal } from './journal.ts'
import { sizeOf } from './size.ts'

const SECRET_BYTES = 32

/** The part of a database that a session uses. */
export interface SessionDatabase {
  write(operations: Operation[]): Promise<void>
  range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]>
  compact(from: Buffer, to: Buffer): Promise<void>
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
  /** The users of whom something expires or is scheduled -> the nearest time; 0 if it is not known yet. */
  readonly times = new Map<string, number>()
  readonly #options: SessionOptions
  readonly #loadByUser = new Map<string, Promise<void>>()
  readonly #secretByName = new Map<string, Promise<Buffer>>()

  private constructor(options: SessionOptions) {
    this.#options = options
    this.database = options.database
    this.generation = options.damage?.generation ?? 0
    this.journal = new Journal(options.database, (cause) => options.onFailure(cause))
    this.cache = new Cache(options.cacheBytes)
  }

  static async open(options: SessionOptions): Promise<Session> {
    const session = new Session(options)
    for (const [key] of await options.database.range(...parkedRange)) session.due.set(userOfIndexKey(key), 0)
    for (const [key, value] of await options.database.range(...timesRange)) session.times.set(userOfIndexKey(key), decodeTime(value))
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

  /** Returns the users for whom a release, an expiry or a delivery is due. */
  dueUsers(now: number, rateWindowMs: number): string[] {
    const users = new Set<string>()
    // The next release is due within a window. A time beyond it was noted before the clock was set back, or under a longer window.
    const windowEnd = now + rateWindowMs
    for (const [user, dueAt] of this.due) if (dueAt <= now || dueAt > windowEnd) users.add(user)
    for (const [user, at] of this.times) if (at <= now) users.add(user)
    return [...users]
  }

  /** Rewrites the files that hold a user, so that what was deleted of them is in no file any more. */
  async compact(user: string): Promise<void> {
    await this.database.compact(...userRange(userPrefix(user)))
  }

  /** Returns the secret of a name: 32 random bytes, which the first call makes. */
  secret(name: string): Promise<Buffer> {
    let secret = this.#secretByName.get(name)
    if (secret === undefined) {
      secret = this.#secretOf(name)
      this.#secretByName.set(name, secret)
      secret.catch(() => this.#secretByName.delete(name))
    }
    return secret
  }

  async close(): Promise<void> {
    await this.journal.drain()
    await this.database.close()
  }

  async #secretOf(name: string): Promise<Buffer> {
    const key = secretKey(name)
    const [found] = await this.database.range(key, Buffer.concat([key, Buffer.alloc(1)]), 1)
    if (found?.[1]?.length === SECRET_BYTES) return found[1]
    const value = randomBytes(SECRET_BYTES)
    await this.journal.add([{ type: 'put', key, value }]).done
    return value
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
