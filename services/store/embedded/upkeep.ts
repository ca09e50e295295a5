import { setTimeout as pause } from 'node:timers/promises'
import { META_TTL_MS } from '../limits.ts'
import { decodeAge, userOf, userRange, usersRange } from './codec.ts'
import type { SessionDatabase } from './session.ts'

/** Users looked at in a row, and the pause after them, milliseconds: a pass never takes the disk for itself. */
const SLICE = 100
const PAUSE_MS = 20

const DAMAGED = { touched: 0, oldest: 1 }

export interface UpkeepTask {
  database: SessionDatabase
  retentionMs: number
  now(): number
  /** Trims the user's expired rows. */
  trim(user: string): Promise<void>
  /** Removes the user, if really idle. */
  remove(user: string): Promise<void>
  signal: AbortSignal
}

/**
 * One pass over all users: those with expired rows are trimmed, those idle for longer than `META_TTL_MS` are removed.
 * Only the first key of each user is read. Rejects when the signal is aborted or the database fails.
 */
export async function upkeep(task: UpkeepTask): Promise<void> {
  let [from, to] = usersRange
  for (let count = 1; ; count++) {
    task.signal.throwIfAborted()
    const first = (await task.database.range(from, to, 1))[0]
    if (first === undefined) return
    const [key, meta] = first
    const user = userOf(key)
    const { touched, oldest } = isMeta(key, meta) ? decodeAge(meta as Buffer) : DAMAGED
    if (oldest > 0 && oldest <= task.now() - task.retentionMs) await task.trim(user)
    else if (oldest === 0 && touched <= task.now() - META_TTL_MS) await task.remove(user)
    from = userRange(key.subarray(0, 3 + key.readUInt16BE(1)))[1]
    if (count % SLICE === 0) await pause(PAUSE_MS, undefined, { signal: task.signal, ref: false })
  }
}

/** The first entry of a user is meta. Another one, or a wrong checksum, is damage: a step of the user says so. */
function isMeta(key: Buffer, value: Buffer | undefined): boolean {
  return value !== undefined && key.length === 4 + key.readUInt16BE(1)
}
