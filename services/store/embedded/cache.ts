import type { Stored } from './codec.ts'
import type { CommitGroup } from './journal.ts'

/** A user in memory. */
export interface Entry extends Stored {
  readonly user: string
  readonly prefix: Buffer
  /** The latest group of writes the user took part in. */
  group: CommitGroup | undefined
  bytes: number
  /** Why the next step must say that rows may be missing; undefined when nothing is. */
  doubt: Doubt | undefined
  /** Its entries on disk cannot be read: it stays in memory. */
  pinned: boolean
}

/** `keys`: the log starts afresh, and these entries go; undefined: the rows that are there stay. */
export interface Doubt {
  keys: Buffer[] | undefined
}

/** The users last used, bounded by the memory they take; those with writes under way always stay. */
export class Cache {
  readonly #limit: number
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get(user: string): Entry | undefined {
    const entry = this.#entries.get(user)
    if (entry === undefined) return undefined
    this.#entries.delete(user)
    this.#entries.set(user, entry)
    return entry
  }

  add(entry: Entry): void {
    this.#entries.set(entry.user, entry)
    this.#bytes += entry.bytes
    this.#evict(entry)
  }

  /** Tells that a user takes more or less memory than before. */
  resize(entry: Entry, bytes: number): void {
    this.#bytes += bytes - entry.bytes
    entry.bytes = bytes
    this.#evict(entry)
  }

  #evict(keep: Entry): void {
    if (this.#bytes <= this.#limit) return
    for (const [user, entry] of this.#entries) {
      if (entry === keep || entry.pinned || entry.group?.settled === false) continue
      this.#entries.delete(user)
      this.#bytes -= entry.bytes
      if (this.#bytes <= this.#limit) return
    }
  }
}
