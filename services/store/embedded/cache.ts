import type { StoredUser } from './codec.ts'
import type { CommitGroup } from './journal.ts'

/** A user whose state is in memory. */
export interface CachedUser extends StoredUser {
  readonly user: string
  readonly prefix: Buffer
  /** The latest group that writes of this user belong to. */
  group: CommitGroup | undefined
  /** Estimated memory of the state, bytes. */
  bytes: number
  /** A loss of rows that the next step tells the devices; undefined: none. */
  untoldLoss: UntoldLoss | undefined
  /** The user's entries on disk cannot be read, so that the state must stay in memory. */
  pinned: boolean
}

/** Damage that may have taken rows of a user. */
interface UntoldLoss {
  /** Keys of the user's damaged entries, which the next step removes because the log starts afresh; undefined: the rows that were read stay. */
  damagedKeys: Buffer[] | undefined
}

/** Share of the limit that an eviction leaves. */
const KEPT_SHARE = 63 / 64

/** The least recently used users are evicted when the cache is over its limit. Users with writes under way, and pinned ones, stay. */
export class Cache {
  readonly #limitBytes: number
  /** From the least to the most recently used. */
  readonly #cachedByName = new Map<string, CachedUser>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get(user: string): CachedUser | undefined {
    const cached = this.#cachedByName.get(user)
    if (cached === undefined) return undefined
    this.#cachedByName.delete(user)
    this.#cachedByName.set(user, cached)
    return cached
  }

  add(cached: CachedUser): void {
    this.#cachedByName.set(cached.user, cached)
    this.#bytes += cached.bytes
    this.#evict(cached)
  }

  /** Sets the memory of a user. */
  resize(cached: CachedUser, bytes: number): void {
    this.#bytes += bytes - cached.bytes
    cached.bytes = bytes
    this.#evict(cached)
  }

  /**
   * If the cache is over its limit, evicts users, but for the one in use, until there is room for further ones: a search for the oldest entry of a `Map`
   * passes all that were deleted before it.
   */
  #evict(inUse: CachedUser): void {
    if (this.#bytes <= this.#limitBytes) return
    const goal = this.#limitBytes * KEPT_SHARE
    for (const [user, cached] of this.#cachedByName) {
      if (cached === inUse || cached.pinned || cached.group?.settled === false) continue
      this.#cachedByName.delete(user)
      this.#bytes -= cached.bytes
      if (this.#bytes <= goal) return
    }
  }
}
