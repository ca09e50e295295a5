import { ClassicLevel } from 'classic-level'
import { makeFolder } from '../../make-folder.ts'
import { StoreUnusable } from '../unusable.ts'

export type Operation = { type: 'put'; key: Buffer; value: Buffer } | { type: 'del'; key: Buffer }

/** An ordered key-value store in one folder. */
export interface Database {
  /** Writes all operations or none, in order. Resolves when they are on disk. */
  write(operations: Operation[]): Promise<void>
  /** Returns the entries with `from <= key < to`, in order, at most `limit`. */
  range(from: Buffer, to: Buffer, limit?: number): Promise<[Buffer, Buffer][]>
  /** Rewrites the files that hold a range, so that no deleted entry of it is left in them. */
  compact(from: Buffer, to: Buffer): Promise<void>
  /** Waits for the calls under way, and closes. */
  close(): Promise<void>
}

/** Key and value; the value is undefined if its checksum does not match. */
export type CheckedEntry = [Buffer, Buffer | undefined]

/** Opens a folder. Creates it, for its owner alone, if it does not exist. Errors name `shown`; default: the folder. */
export type OpenDatabase = (folder: string, shown?: string) => Promise<Database>

/** Instruction for operators, at the end of messages about damage. */
export const REMEDY = 'Stop the service, and run belfry doctor --repair'

/** Bytes that an iterator reads in one task of the thread pool. */
const READ_AHEAD_BYTES = 1024 * 1024

/**
 * LevelDB with a write that skips the encodings, hooks and events of the binding: for the small entries of a log they cost more than the write itself.
 */
class Level extends ClassicLevel<Buffer, Buffer> {
  /** Provided by `ClassicLevel` for its base class. Takes keys and values as they are stored. */
  declare readonly _batch: (operations: Operation[], options: { sync: boolean }) => Promise<void>

  async writeSynced(operations: Operation[]): Promise<void> {
    if (this.status !== 'open') throw new Error('the database is not open')
    await this._batch(operations, { sync: true })
  }
}

/**
 * Opens a LevelDB database, which one process at a time can hold.
 *
 * @throws StoreUnusable if another process holds it, it is damaged, or the folder cannot be created
 */
export const openLevel: OpenDatabase = async (folder, shown = folder) => {
  try {
    makeFolder(folder)
  } catch (error) {
    throw new StoreUnusable(openFailure(shown, error as Error), { cause: error })
  }
  const level = new Level(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  try {
    await level.open()
  } catch (error) {
    throw new StoreUnusable(openFailure(shown, error as Error), { cause: error })
  }
  return {
    write: (operations) => level.writeSynced(operations),
    range: (from, to, limit = -1) => level.iterator({ gte: from, lt: to, limit, highWaterMarkBytes: READ_AHEAD_BYTES }).all(),
    compact: (from, to) => level.compactRange(from, to),
    close: () => level.close()
  }
}

function openFailure(folder: string, error: Error): string {
  const cause = (error.cause ?? error) as Error & { code?: string }
  if (cause.code === 'LEVEL_LOCKED')
    return `The data folder ${folder} is in use by another process: stop that process, or set another DATA_DIR`
  if (cause.code === 'LEVEL_CORRUPTION') return `The data folder ${folder} is damaged: ${cause.message}. ${REMEDY}`
  return `The data folder ${folder} cannot be opened: ${cause.message}`
}

/** Returns whether a write failed because the disk or the quota is full, or the file reached its size limit. */
export function isFull(error: unknown): boolean {
  const { cause } = error as { cause?: unknown }
  const full = /ENOSPC|EDQUOT|EFBIG|no space left|quota exceeded|file too large/i
  return full.test(String(error)) || (cause !== undefined && full.test(String(cause)))
}

/** Returns whether LevelDB found damage: wrong bytes, or a table that is truncated or missing. */
export function isCorruption(error: unknown): boolean {
  const { code, message, cause } = error as Error & { code?: string; cause?: { code?: string } }
  return code === 'LEVEL_CORRUPTION' || cause?.code === 'LEVEL_CORRUPTION' || /\.(ldb|sst): (Invalid argument|No such file)/.test(message)
}
