import { hash } from 'node:crypto'
import { ID_LENGTH } from '../ids.ts'
import type { State } from '../protocol/index.ts'

/**
 * The kinds of row.
 * `n` a notification, `s` a change of state, `r` a retraction, `d` a digest.
 * Rows without a payload, which make no frame: `x` a notification that was recalled, `-` a change of state that later ones
 * superseded, `~` a row the store lost.
 */
export type RowKind = 'n' | 's' | 'r' | 'd' | 'x' | '-' | '~'

/** The id of rows of kind `~`. */
export const LOST_ID = '~'.repeat(ID_LENGTH)

/** The id of rows of kind `s` that name no notification and only tell the unread count. */
export const COUNT_ID = '='.repeat(ID_LENGTH)

/** The tag of a row that is not in a log: a parked notification has none yet. */
export const NO_TAG = '-'.repeat(8)

const MS_END = 14
const ID_END = MS_END + ID_LENGTH
const HEADER = ID_END + NO_TAG.length

/**
 * Encodes a row as it is stored and sent over the wake-up channel, the same bytes in every driver:
 *
 *     kind (1) | milliseconds (13 digits) | id (20) | tag (8) | [offset of the row retracted, `r` only] | tail
 *
 * The tail is the end of the row's frame, from after the id (`n`) or the event id (others) to the last brace:
 * it is made once, when the row is written, and copied to sockets unread.
 *
 * @param tag the last part of the row's event id, from `tagAfter`
 */
export function encodeRow(kind: RowKind, ms: number, id: string, tag: string, tail: string): Buffer {
  return Buffer.from(`${kind}${padded(ms)}${id}${tag}${tail}`)
}

/**
 * Returns the tag of a row: a hash over its time, its id and the tag of the row before it, so over every row before it.
 * Two histories of a log that differ anywhere have different tags from there on, whatever is appended later.
 * The kind and the tail take no part: rows are emptied in place, and keep their tag.
 *
 * @param previous the tag of the row before it; for the first row of a log, the log's epoch
 */
export function tagAfter(previous: string, ms: number, id: string): string {
  return hash('sha1', `${previous}${padded(ms)}${id}`, 'hex').slice(0, NO_TAG.length)
}

function padded(ms: number): string {
  return String(ms).padStart(13, '0')
}

export function rowKind(row: Buffer): RowKind {
  return String.fromCharCode(row[0] as number) as RowKind
}

/** The store's time when the row took its offset, Unix milliseconds. */
export function rowTime(row: Buffer): number {
  return Number(row.toString('latin1', 1, MS_END))
}

export function rowId(row: Buffer): string {
  return row.toString('latin1', MS_END, ID_END)
}

/** The row's tag, which is the last part of its event id. */
export function rowId8(row: Buffer): string {
  return row.toString('latin1', ID_END, HEADER)
}

/** Encodes the row once more, in place of itself: time, id and tag stay. */
export function rewriteRow(row: Buffer, kind: RowKind, tail: string): Buffer {
  return encodeRow(kind, rowTime(row), rowId(row), rowId8(row), tail)
}

/** Returns whether the row is one that `maxEntries` bounds: a notification, or a digest, which stands for some. */
export function isEntry(row: Buffer): boolean {
  const kind = rowKind(row)
  return kind === 'n' || kind === 'd'
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

/** Returns the tail of an `s` row with other ids in it. */
export function withIds(row: Buffer, ids: string[]): string {
  return rowTail(row)
    .toString()
    .replace(/^"ids":\[[^\]]*\]/, () => `"ids":[${quoted(ids)}]`)
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
