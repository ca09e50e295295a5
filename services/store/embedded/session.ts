import { errors } from '../../errors.ts'
import { StoreUnusable } from '../unusable.ts'
import { Cache, type Entry } from './cache.ts'
import {
  decodeUser,
  encodeVersion,
  FORMAT_VERSION,
  parkedRange,
  sizeOf,
  userOfParkedKey,
  userPrefix,
  userRange,
  versionRange
} from './codec.ts'
import type { Database, OpenDatabase } from './database.ts'
import { Journal } from './journal.ts'

/** One opening of the data folder, with what is in memory of it. It ends with the first write that fails. */
export class Session {
  readonly database: Database
  readonly journal: Journal
  readonly cache: Cache
  /** The users with parked notifications -> when the next is due; 0 when not known yet. */
  readonly due = new Map<string, number>()
  readonly #loads = new Map<string, Promise<void>>()

  private constructor(database: Database, cacheBytes: number, onFailure: (cause: unknown) => Error) {
    this.database = database
    this.journal = new Journal(database, onFailure)
    this.cache = new Cache(cacheBytes)
  }

  /** Opens the folder; rejects when it is locked, damaged, of another format, or cannot be written. */
  static async open(open: OpenDatabase, folder: string, cacheBytes: number, onFailure: (cause: unknown) => Error): Promise<Session> {
    const database = await open(folder)
    try {
      const version = (await database.range(...versionRange, 1))[0]?.[1].toString()
      if (version !== undefined && version !== FORMAT_VERSION) {
        throw new StoreUnusable(`The data folder ${folder} has format ${version}; this version of Belfry reads format ${FORMAT_VERSION}`)
      }
      await database.write([encodeVersion()])
      const session = new Session(database, cacheBytes, onFailure)
      for (const [key] of await database.range(...parkedRange)) session.due.set(userOfParkedKey(key), 0)
      return session
    } catch (error) {
      await database.close()
      throw error
    }
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
    let entries: [Buffer, Buffer][]
    try {
      entries = await this.database.range(...userRange(prefix))
    } catch (cause) {
      throw new errors.StoreUnavailable({ cause })
    }
    const stored = decodeUser(prefix, entries)
    this.cache.add({ ...stored, user, prefix, group: undefined, bytes: sizeOf(stored.state) })
  }
}
