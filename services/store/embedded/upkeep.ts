import { setTimeout as pause } from 'node:timers/promises'
import { MAX_OVERDUE_MS, META_TTL_MS } from '../limits.ts'
import type { StoreSettings } from '../store.ts'
import type { CachedUser } from './cache.ts'
import { decodeAge, userOf, userRange, usersRange } from './codec.ts'
import type { SessionDatabase } from './session.ts'

/** Users between two pauses, so that a pass does not keep the disk busy. */
const USERS_PER_SLICE = 100
const PAUSE_MS = 20

/** The age of a user without readable meta: a step of that user reports the damage. */
const OVERDUE = { touched: 0, oldest: 1 }

interface UpkeepTask {
  database: SessionDatabase
  retentionMs: number
  now(): number
  /** Trims the expired rows of a user. */
  trim(user: string): Promise<void>
  /** Removes a user, after checking again that nothing uses them. */
  remove(user: string): Promise<void>
  signal: AbortSignal
}

/**
 * Trims the users with expired rows and removes the users who were idle for longer than `META_TTL_MS`, in one pass over all.
 * Reads only the first entry of each user. Rejects if the signal is aborted or a read fails.
 */
export async function upkeep(task: UpkeepTask): Promise<void> {
  let [from, to] = usersRange
  for (let count = 1; ; count++) {
    task.signal.throwIfAborted()
    const first = (await task.database.range(from, to, 1))[0]
    if (first === undefined) return
    const [key, meta] = first
    const user = userOf(key)
    const { touched, oldest } = isMeta(key, meta) ? decodeAge(meta as Buffer) : OVERDUE
    if (oldest > 0 && oldest <= task.now() - task.retentionMs) await task.trim(user)
    else if (oldest === 0 && touched <= task.now() - META_TTL_MS) await task.remove(user)
    from = userRange(key.subarray(0, 3 + key.readUInt16BE(1)))[1]
    if (count % USERS_PER_SLICE === 0) await pause(PAUSE_MS, undefined, { signal: task.signal, ref: false })
  }
}

/** Returns whether the first entry of a user is meta, and readable. Anything else is damage. */
function isMeta(key: Buffer, value: Buffer | undefined): boolean {
  return value !== undefined && key.length === 4 + key.readUInt16BE(1)
}

/**
 * Returns whether a user without a connection was idle for longer than `META_TTL_MS`, has nothing that waits, and no revocation that still counts.
 *
 * @param now, agedTo as those of a step, Unix milliseconds
 */
export function isIdle({ state, touched }: CachedUser, { revocationTtlMs }: StoreSettings, now: number, agedTo: number): boolean {
  const idleSince = agedTo - META_TTL_MS
  const { revokedBefore, parked, scheduled, rows, calls, cursors } = state
  const isRevocationKept = revokedBefore > 0 && revokedBefore + revocationTtlMs > now
  const hasCalls = [...calls.values()].some(({ at }) => at > now - MAX_OVERDUE_MS)
  const isUsed = parked.length + scheduled.length + rows.length > 0 || hasCalls || touched > idleSince
  return !isUsed && !isRevocationKept && [...cursors.values()].every(({ at }) => at <= idleSince)
}
