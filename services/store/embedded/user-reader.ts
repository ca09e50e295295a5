import { setImmediate as turn } from 'node:timers/promises'
import { userRange } from './codec.ts'
import type { CheckedEntry } from './database.ts'

/** Users from which a joint read is tried. */
const JOINT_MIN = 4
/** Entries that one joint read takes at most. */
const JOINT_ENTRIES_MAX = 1000
/** Entries for each user at which a joint read costs about a quarter of the reads that it spares. */
const ENTRIES_PER_USER = 8
/** Users that are handed over before the event loop serves others: their steps follow at once. */
const USERS_PER_TURN = 32

interface Read {
  prefix: Buffer
  resolve(entries: CheckedEntry[]): void
  reject(error: unknown): void
}

/**
 * Reads the entries of users. A read costs an iterator, which is most of the cost of a first publish to a user. So users that are asked for in one turn
 * of the event loop share the read of the range from the first to the last of them, as long as it has few entries of other users.
 *
 * Each user still gets every entry in their range: nobody is taken for new because a key is damaged.
 */
export class UserReader {
  readonly #database: { range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]> }
  #gathered: Read[] = []

  constructor(database: { range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]> }) {
    this.#database = database
  }

  /** Returns the entries of a user, as they are on disk after this call was made. Rejects if an entry of this user cannot be read. */
  read(prefix: Buffer): Promise<CheckedEntry[]> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.length === 0) process.nextTick(() => this.#start())
      this.#gathered.push({ prefix, resolve, reject })
    })
  }

  #start(): void {
    const reads = this.#gathered
    this.#gathered = []
    if (reads.length < JOINT_MIN) for (const read of reads) this.#readAlone(read)
    else void this.#readJointly(reads.sort((one, other) => Buffer.compare(one.prefix, other.prefix)))
  }

  #readAlone({ prefix, resolve, reject }: Read): void {
    this.#database.range(...userRange(prefix)).then(resolve, reject)
  }

  /** Reads the users in order with joint reads, and the rest one by one when a joint read fails or finds too few of them. */
  async #readJointly(reads: Read[]): Promise<void> {
    const [, to] = userRange((reads.at(-1) as Read).prefix)
    let done = 0
    while (reads.length - done >= JOINT_MIN) {
      const limit = Math.min(JOINT_ENTRIES_MAX, ENTRIES_PER_USER * (reads.length - done))
      const entries = await this.#database.range((reads[done] as Read).prefix, to, limit).catch(() => undefined)
      if (entries === undefined) break
      const found = await handOver(reads, done, entries, entries.length === limit)
      done += found
      if (found * ENTRIES_PER_USER < entries.length) break
    }
    for (const read of reads.slice(done)) this.#readAlone(read)
  }
}

/**
 * Hands their entries to the users of a joint read, in order, from an index on.
 *
 * @param isCut there may be further entries behind the last one
 * @returns the number of users whose entries are complete
 */
async function handOver(reads: Read[], from: number, entries: CheckedEntry[], isCut: boolean): Promise<number> {
  const lastKey = isCut ? entries.at(-1)?.[0] : undefined
  let next = 0
  for (let index = from; index < reads.length; index++) {
    const { prefix, resolve } = reads[index] as Read
    const [start, end] = userRange(prefix)
    if (lastKey !== undefined && Buffer.compare(lastKey, end) < 0) return index - from
    while (next < entries.length && Buffer.compare((entries[next] as CheckedEntry)[0], start) < 0) next += 1
    const first = next
    while (next < entries.length && Buffer.compare((entries[next] as CheckedEntry)[0], end) < 0) next += 1
    // A turn for each user: their steps are carried out before the next user is loaded, which could evict them.
    setImmediate(resolve, entries.slice(first, next))
    if ((index - from + 1) % USERS_PER_TURN === 0) await turn()
  }
  return reads.length - from
}
