import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

/** Beside LevelDB's files, which it leaves alone. */
export const COMMITS_FILE = 'COMMITS'

const DIGITS = 16

/**
 * The number of the latest write, kept outside the database.
 *
 * A log that was cut off cannot be told from one whose last write never came, except by this number. It is written after each sync and not synced
 * itself: it may be behind after a power failure, which says nothing, and it is never ahead of what was synced.
 */
export class CommitCounter {
  readonly #file: number
  number: number

  private constructor(file: number, number: number) {
    this.#file = file
    this.number = number
  }

  /** Takes over the file; made when it is not there. */
  static open(folder: string, number: number): CommitCounter {
    const counter = new CommitCounter(openSync(join(folder, COMMITS_FILE), 'a', 0o600), number)
    closeSync(counter.#file)
    return new CommitCounter(openSync(join(folder, COMMITS_FILE), 'r+'), number)
  }

  /** Notes that the write with the next number is on disk. */
  advance(): void {
    this.number += 1
    const digits = String(this.number).padStart(DIGITS, '0')
    writeSync(this.#file, `${digits} ${checksumOf(digits)}\n`, 0)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** The number that the file holds; undefined when there is none that can be read. */
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
