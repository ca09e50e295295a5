import { formatEventId, type GapReason, type Position } from '../protocol/index.ts'
import { rowId, rowId8, rowTime, tagAfter } from './row.ts'
import { answersOf, rowAt, statesOf, type UserState, unreadCounts } from './state.ts'
import type { Backlog, ReadBounds, Start } from './store.ts'

/** The offset after which a read begins, and the gap if the log does not continue the position asked for. */
interface ReadStart {
  from: number
  gap: Backlog['gap']
  resumed: boolean
}

/** Reads the backlog of a cursor. Changes nothing. */
export function backlogOf(state: UserState, start: Start, deviceId: string, bounds: ReadBounds, expiresInMs: number): Backlog {
  const { from, gap, resumed } = locate(state, start, deviceId)
  const rows = rowsAfter(state, from, bounds)
  return {
    epoch: state.epoch,
    top: state.top,
    topId8: positionOf(state, state.top).id8,
    start: gap === undefined && start.at === 'position' ? start.position : positionOf(state, from),
    resumed,
    gap,
    rows,
    states: statesOf(state, rows),
    answers: answersOf(state, rows),
    ...unreadCounts(state),
    parked: state.parked.length,
    expiresInMs
  }
}

/** Returns the position of an offset. The tag is '' if its row is not retained. */
export function positionOf(state: UserState, offset: number): Position {
  const { epoch, top, chain } = state
  const row = rowAt(state, offset)
  return { epoch, offset, id8: row !== undefined ? rowId8(row) : offset > 0 && offset === top ? chain : '' }
}

/** Returns the time until the oldest row expires, milliseconds; 0 if there is no row. */
export function expiresIn({ rows }: UserState, retentionMs: number, now: number): number {
  return rows[0] === undefined ? 0 : rowTime(rows[0]) + retentionMs - now
}

function rowsAfter({ rows, floor }: UserState, offset: number, { limit, bytes = Number.POSITIVE_INFINITY }: ReadBounds): Buffer[] {
  const first = offset - floor
  let end = first
  for (let sum = 0; end < rows.length && end - first < limit && sum < bytes; end++) sum += (rows[end] as Buffer).length
  return rows.slice(first, end)
}

/**
 * Finds where a cursor starts. A device without a stored cursor starts at the highest cursor of the user's devices, so that the rows that no
 * device has received are pending for it; the first device of a user starts at the oldest row.
 */
function locate(state: UserState, start: Start, deviceId: string): ReadStart {
  if (start.at === 'position') return { ...resume(state, start.position), resumed: true }
  if (start.at === 'latest') return { from: state.top, gap: undefined, resumed: false }
  if (start.at === 'unknown') return { ...gap(state, 'unknown_id', '', eventId(state, state.floor), 0), resumed: true }
  const cursor = start.at === 'device' ? state.cursors.get(deviceId) : undefined
  if (cursor !== undefined) return { ...resume(state, cursor.position), resumed: true }
  let from = state.floor
  if (start.at === 'device') {
    for (const { position } of state.cursors.values()) {
      if (position.epoch === state.epoch && position.offset <= state.top) from = Math.max(from, position.offset)
    }
  }
  return { from, gap: undefined, resumed: false }
}

/** Continues a position, or names the gap: another epoch, past the log, trimmed, or another row at the offset (a fork). */
function resume(state: UserState, position: Position): Omit<ReadStart, 'resumed'> {
  const { floor, top } = state
  const given = formatEventId(position)
  if (position.epoch !== state.epoch) return gap(state, 'epoch', given, eventId(state, floor), 0)
  if (position.offset > top) return gap(state, 'ahead', eventId(state, top + 1), given, position.offset - top)
  if (position.offset < floor) {
    return gap(state, 'trimmed', eventId(state, position.offset + 1), eventId(state, floor), floor - position.offset)
  }
  if (!isOfThisLog(state, position)) return gap(state, 'fork', given, eventId(state, top), 0)
  return { from: position.offset, gap: undefined }
}

/**
 * Returns whether a position has the tag of the row at its offset. If that row was trimmed, checks the next row: `tagAfter` must derive its tag
 * from the given one.
 */
function isOfThisLog(state: UserState, { offset, id8 }: Position): boolean {
  if (offset === 0 || id8 === '') return true
  const known = positionOf(state, offset).id8
  if (known !== '') return known === id8
  const next = rowAt(state, offset + 1) as Buffer
  return tagAfter(id8, rowTime(next), rowId(next)) === rowId8(next)
}

function gap(state: UserState, reason: GapReason, from: string, to: string, count: number): Omit<ReadStart, 'resumed'> {
  return { from: state.floor, gap: { reason, from, to, count } }
}

/** Formats an event id without its tag. */
function eventId({ epoch }: UserState, offset: number): string {
  return formatEventId({ epoch, offset, id8: '' })
}
