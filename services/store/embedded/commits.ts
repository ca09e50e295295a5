import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

/** Name of the file. LevelDB ignores files that it does not know. */
export const COMMITS_FILE = 'COMMITS'

const DIGITS = 16

/**
 * The number of the latest write, in a file of its own beside the database.
 *
 * Only this number tells a database that lost its last writes from one that never had them. It is written after each sync, and not synced itself: after
 * a power failure it may be lower than the number in the database, which means nothing; it is never higher than what was synced.
 */
export class CommitCounter {
  readonly #file: number
  number: number

  private constructor(file: number, number: number) {
    this.#file = file
    this.number = number
  }

  /** Opens the file, or creates it. */
  static open(folder: string, number: number): CommitCounter {
    const counter = new CommitCounter(openSync(join(folder, COMMITS_FILE), 'a', 0o600), number)
    closeSync(counter.#file)
    return new CommitCounter(openSync(join(folder, COMMITS_FILE), 'r+'), number)
  }

  /** Records that the next write is on disk. */
  advance(): void {
    this.number += 1
    const digits = String(this.number).padStart(DIGITS, '0')
    writeSync(this.#file, `${digits} ${checksumOf(digits)}\n`, 0)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** Returns the number in the file, or undefined if there is no file, or its content is damaged. */
export function readCommits(folder: string): number | undefined {
  try {
    const [digits = '', checksum] = readFileSync(join(folder, COMMITS_FILE), 'latin1').trimEnd().split(' ')
    return /^\d{16}$/.test(digits) && checksum === checksumOf(digits) ? Number(digits) : undefined
  } catch {
    return undefined
  }
}

function checksumOf(digits: string): string {
  return crc32(digits).toString(16).padStart(8, '0')
}
