import { seal, unseal } from './checksum.ts'
import { numberRange } from './codec.ts'
import type { CommitCounter } from './commits.ts'
import type { CheckedEntry, Database, Operation } from './database.ts'

/**
 * A database whose values carry checksums of ours, and whose writes are counted.
 *
 * LevelDB checks its blocks only where a caller may ask for it, which the binding does not allow; and a flipped bit in a key moves an entry to another
 * key. So the checksum is over key and value.
 */
export class CheckedDatabase {
  readonly #database: Database
  readonly #commits: CommitCounter

  constructor(database: Database, commits: CommitCounter) {
    this.#database = database
    this.#commits = commits
  }

  /** All or nothing, in order, and on disk when it resolves. Not to be called again before. */
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

  async close(): Promise<void> {
    this.#commits.close()
    await this.#database.close()
  }
}

/** The entries with `from <= key < to`, in order, `limit` at most. */
export async function readChecked(database: Database, from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]> {
  return (await database.range(from, to, limit)).map(([key, value]) => [key, unseal(key, value)])
}
