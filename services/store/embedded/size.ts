import type { Effect, UserState } from '../state.ts'
import type { CachedUser } from './cache.ts'

/** Memory of a user without anything: the state and its collections. This and the sizes below follow heap measurements: the cache's limit is one of real memory. */
const USER_BYTES = 3000

/** Memory of a row beside its bytes: the buffer's objects. */
const ROW_BYTES = 220

/** Estimated memory of the options of a notification, with their expiry. */
const OPTIONS_BYTES = 360

/** Estimates the memory of a state, bytes. */
export function sizeOf(state: UserState): number {
  let bytes = USER_BYTES + state.cursors.size * 250 + state.keys.size * 100 + state.states.size * 100 + state.limiter.length * 8
  for (const row of state.rows) bytes += rowSize(row)
  for (const { row } of state.parked) bytes += rowSize(row) + 50
  for (const { row } of state.scheduled) bytes += rowSize(row) + 50
  bytes += state.calls.size * 300 + state.subscriptions.size * 500 + state.checks.length * 100 + state.receipts.size * 200
  return bytes + state.options.size * OPTIONS_BYTES
}

/** Estimates the memory of a row, bytes. */
function rowSize(row: Buffer): number {
  return row.length + ROW_BYTES
}

const SHRINKING: ReadonlySet<Effect['type']> = new Set(['trim', 'unpark', 'unschedule', 'erase', 'call', 'endCall', 'receipts'])

/** Estimates the memory of a user after a step, bytes: adds what the effects add. After an effect that removes anything, estimates the whole state again. */
export function sizeAfter(entry: CachedUser, effects: Effect[]): number {
  let { bytes } = entry
  for (const effect of effects) {
    if (SHRINKING.has(effect.type)) return sizeOf(entry.state)
    if (effect.type === 'append') bytes += rowSize(effect.row)
    else if (effect.type === 'park') bytes += rowSize(effect.parked.row)
    else if (effect.type === 'schedule') bytes += rowSize(effect.scheduled.row)
    else if (effect.type === 'replace') bytes -= effect.freedBytes
    else if (effect.type === 'options') bytes += OPTIONS_BYTES
    else if (effect.type === 'dropOptions') bytes -= OPTIONS_BYTES
    else if (effect.type !== 'unread') bytes += 100
  }
  return bytes
}
