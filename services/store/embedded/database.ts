import { mkdir } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import { StoreUnusable } from '../unusable.ts'

export type Operation = { type: 'put'; key: Buffer; value: Buffer } | { type: 'del'; key: Buffer }

/** An ordered key-value store in one folder: what the embedded driver asks of it. */
export interface Database {
  /** All or nothing, in order, and on disk when it resolves. */
  write(operations: Operation[]): Promise<void>
  /** The entries with `from <= key < to`, in order, `limit` at most. */
  range(from: Buffer, to: Buffer, limit?: number): Promise<[Buffer, Buffer][]>
  /** Waits for what is under way. */
  close(): Promise<void>
}

/** An entry whose value is undefined when its checksum does not match. */
export type CheckedEntry = [Buffer, Buffer | undefined]

/** Opens the folder, which is made, for its owner alone, when it is not there. */
export type OpenDatabase = (folder: string) => Promise<Database>

/** What an operator does about a damaged folder. */
export const REMEDY = 'Stop the service, and run belfry doctor --repair'

/** Bytes an iterator fetches by one trip to the thread pool. */
const READ_AHEAD = 1024 * 1024

/**
 * Opens a LevelDB, which one process at a time can hold.
 * Rejects with a plain sentence when another process holds it, or when it is damaged.
 */
export const openLevel: OpenDatabase = async (folder) => {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new StoreUnusable(openFailure(folder, error as Error), { cause: error })
  }
  const level = new ClassicLevel<Buffer, Buffer>(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  try {
    await level.open()
  } catch (error) {
    throw new StoreUnusable(openFailure(folder, error as Error), { cause: error })
  }
  return {
    write: (operations) => level.batch(operations, { sync: true }),
    range: (from, to, limit = -1) => level.iterator({ gte: from, lt: to, limit, highWaterMarkBytes: READ_AHEAD }).all(),
    close: () => level.close()
  }
}

function openFailure(folder: string, error: Error): string {
  const cause = (error.cause ?? error) as Error & { code?: string }
  if (cause.code === 'LEVEL_LOCKED') return `The data folder ${folder} is in use by another process`
  if (cause.code === 'LEVEL_CORRUPTION') return `The data folder ${folder} is damaged: ${cause.message}. ${REMEDY}`
  return `The data folder ${folder} cannot be opened: ${cause.message}`
}

/** Whether a write failed for want of room, or because a file may not grow. */
export function isFull(error: unknown): boolean {
  const { cause } = error as { cause?: unknown }
  const full = /ENOSPC|EDQUOT|EFBIG|no space left|quota exceeded|file too large/i
  return full.test(String(error)) || (cause !== undefined && full.test(String(cause)))
}

/** Whether LevelDB found a file damaged: wrong bytes, a table that is cut off, or one that is missing. */
export function isCorruption(error: unknown): boolean {
  const { code, message, cause } = error as Error & { code?: string; cause?: { code?: string } }
  return code === 'LEVEL_CORRUPTION' || cause?.code === 'LEVEL_CORRUPTION' || /\.(ldb|sst): (Invalid argument|No such file)/.test(message)
}
