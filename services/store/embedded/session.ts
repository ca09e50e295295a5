import { errors } from '../../errors.ts'
import { Cache, type Entry } from './cache.ts'
import { type DamageRecord, decodeUser, parkedRange, sizeOf, userOfParkedKey, userPrefix, userRange } from './codec.ts'
import { type CheckedEntry, isCorruption, type Operation } from './database.ts'
import { Journal } from './journal.ts'

/** What a session needs of a database. */
export interface SessionDatabase {
  write(operations: Operation[]): Promise<void>
  range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]>
  close(): Promise<void>
}

export interface SessionOptions {
  database: SessionDatabase
  cacheBytes: number
  /** Users last written before this damage may have lost rows; undefined when there is none that matters. */
  damage: DamageRecord | undefined
  /** Called once, with what a write failed of; gives the error for those who wait. */
  onFailure(cause: unknown): Error
  /** Called when the data of a user cannot be trusted; `unreadable` when it cannot be read either. */
  onDamagedUser(user: string, reason: string, unreadable: boolean): void
  /** Called when a read failed for another reason. */
  onReadFailure(cause: unknown): void
}

/** One opening of the data folder, with what is in memory of it. It ends with the first write that fails. */
export class Session {
  readonly database: SessionDatabase
  readonly journal: Journal
  readonly cache: Cache
  readonly generation: number
  /** The users with parked notifications -> when the next is due; 0 when not known yet. */
  readonly due = new Map<string, number>()
  readonly #options: SessionOptions
  readonly #loads = new Map<string, Promise<void>>()

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

  /** Reads a user into the cache. Whoever waits for the same user shares one read. */
  async load(user: string): Promise<Entry> {
    for (;;) {
      let load = this.#loads.get(user)
      if (load === undefined) {
        load = this.#read(user).finally(() => this.#loads.delete(user))
        this.#loads.set(user, load)
      }
      await load
      const entry = this.cache.get(user)
      if (entry !== undefined) return entry
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
    const { damage: own, ...stored } = decodeUser(prefix, entries)
    let doubt: Entry['doubt']
    if (own !== undefined || pinned) {
      doubt = { keys: own?.keys ?? [] }
      onDamagedUser(user, own?.reason ?? 'the entries cannot be read', pinned)
    } else if (damage !== undefined && stored.generation < damage.generation) doubt = { keys: undefined }
    this.cache.add({ ...stored, generation: this.generation, user, prefix, group: undefined, bytes: sizeOf(stored.state), doubt, pinned })
  }

  /** A damaged table keeps every read of its range from ending: the user is one of whom nothing is left. */
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
