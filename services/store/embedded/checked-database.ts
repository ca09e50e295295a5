import { seal, unseal } from './checksum.ts'
import { numberRange } from './codec.ts'
import type { CommitCounter } from './commits.ts'
import type { CheckedEntry, Database, Operation } from './database.ts'

/**
 * A database with a checksum in each value and a count of its writes.
 *
 * LevelDB verifies the checksums of its blocks only on request, and its binding offers no such option. The checksum here covers key and value,
 * because a flipped bit in a key moves the entry to another key.
 */
export class CheckedDatabase {
  readonly #database: Database
  readonly #commits: CommitCounter

  constructor(database: Database, commits: CommitCounter) {
    this.#database = database
    this.#commits = commits
  }

  /** Writes all operations or none, in order. Resolves when they are on disk; the next call must wait for that. */
  async write(operations: Operation[]): Promise<void> {
    const number = Buffer.from(String(this.#commits.number + 1))
    const sealed = operations.map((operation): Operation => {
      return operation.type === 'del' ? operation : { type: 'put', key: operation.key, value: seal(operation.key, operation.value) }
    })
    sealed.push({ type: 'put', key: numberRange[0], value: seal(numberRange[0], number) })
    await this.#database.write(sealed)
    this.#commits.advance()
  }

  async range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]> {
    return await readChecked(this.#database, from, to, limit)
  }

  async compact(from: Buffer, to: Buffer): Promise<void> {
    await this.#database.compact(from, to)
  }

  async close(): Promise<void> {
    this.#commits.close()
    await this.#database.close()
  }
}

/** Returns the entries with `from <= key < to`, in order, at most `limit`. */
export async function readChecked(database: Database, from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]> {
  return (await database.range(from, to, limit)).map(([key, value]) => [key, unseal(key, value)])
}
