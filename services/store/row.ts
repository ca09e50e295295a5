import { ID_LENGTH } from '../ids.ts'
import type { State } from '../protocol/index.ts'

/**
 * What a row is.
 * `n` a notification, `s` a change of state, `r` a retraction, `d` a digest,
 * `x` a notification that was recalled (its payload is gone), `~` a row the store lost.
 */
export type RowKind = 'n' | 's' | 'r' | 'd' | 'x' | '~'

/** The id of rows of kind `~`. */
export const LOST_ID = '~'.repeat(ID_LENGTH)

const MS_END = 14
const HEADER = MS_END + ID_LENGTH

/**
 * A row as it is stored and sent over the wake-up channel, the same bytes in every driver:
 *
 *     kind (1) | milliseconds (13 digits) | id (20) | [offset of the row retracted, `r` only] | tail
 *
 * The tail is the end of the row's frame, from after the id (`n`) or the event id (others) to the last brace:
 * it is made once, when the row is written, and copied to sockets unread.
 */
export function encodeRow(kind: RowKind, ms: number, id: string, tail: string): Buffer {
  return Buffer.from(`${kind}${String(ms).padStart(13, '0')}${id}${tail}`)
}

export function rowKind(row: Buffer): RowKind {
  return String.fromCharCode(row[0] as number) as RowKind
}

/** The store's time when the row took its offset, Unix milliseconds. */
export function rowTime(row: Buffer): number {
  return Number(row.toString('latin1', 1, MS_END))
}

export function rowId(row: Buffer): string {
  return row.toString('latin1', MS_END, HEADER)
}

/** The part of the id that event ids carry. */
export function rowId8(row: Buffer): string {
  return row.toString('latin1', MS_END, MS_END + 8)
}

/** Where the frame's end begins; in `r` rows the offset of the row retracted is before it. */
export function tailStart(row: Buffer): number {
  return rowKind(row) === 'r' ? row.indexOf('"', HEADER) : HEADER
}

/** The frame's end. */
export function rowTail(row: Buffer): Buffer {
  return row.subarray(tailStart(row))
}

/** The offset an `r` row retracts. */
export function retractedOffset(row: Buffer): number {
  return Number(row.toString('latin1', HEADER, row.indexOf('"', HEADER)))
}

/** The ids an `s` or `d` row names. */
export function idsIn(row: Buffer): string[] {
  return (JSON.parse(`{${rowTail(row).toString()}`) as { ids: string[] }).ids
}

/** Tails of the rows the store writes by itself. Drivers in other languages make the same bytes. */
export const tails = {
  state: (ids: string[], state: State, unread: number): string => `"ids":[${quoted(ids)}],"state":"${state}","unread":${unread}}`,
  retract: (offset: number, id: string, reason: string, unread: number): string =>
    `${offset}"id":"${id}","reason":${JSON.stringify(reason)},"unread":${unread}}`,
  digest: (ids: string[], unread: number): string => `"count":${ids.length},"ids":[${quoted(ids)}],"unread":${unread}}`
}

function quoted(ids: string[]): string {
  return ids.length === 0 ? '' : `"${ids.join('","')}"`
}
