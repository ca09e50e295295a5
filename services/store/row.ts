import { hash } from 'node:crypto'
import { ID_LENGTH } from '../ids.ts'
import type { Action, Answer, Notification, State, Urgency } from '../protocol/index.ts'

/**
 * The kind of a row.
 *
 * - `n`: a notification
 * - `s`: a change of state
 * - `r`: a retraction
 * - `d`: a digest, which takes the place of notifications that were folded
 * - `a`: the answer to a notification
 *
 * Three kinds have no tail and make no frame:
 *
 * - `x`: a notification that was recalled, replaced, or expired
 * - `-`: a change of state that later changes superseded
 * - `~`: a row that the store lost
 */
export type RowKind = 'n' | 's' | 'r' | 'd' | 'a' | 'x' | '-' | '~'

/** The id of rows of kind `~`. */
export const LOST_ID = '~'.repeat(ID_LENGTH)

/** The id of `s` rows that name no notification and only carry the unread count. */
export const COUNT_ID = '='.repeat(ID_LENGTH)

/** The tag of a parked notification, which is in no log yet. */
export const NO_TAG = '-'.repeat(8)

/** Age from which on a row is checked for its expiry before it is sent, milliseconds. Expiry is exact to two seconds. */
const CHECKED_AGE_MS = 1000

const TIME_DIGITS = 13
const TIME_END = 1 + TIME_DIGITS
const ID_END = TIME_END + ID_LENGTH
const HEADER_LENGTH = ID_END + NO_TAG.length

/** The content of a notification without its id and its data. */
interface NotificationHead {
  type: string
  title: string
  timestamp: number
  ref?: string | undefined
  expiresAt?: number | undefined
  collapseKey?: string | undefined
  urgency?: Urgency | undefined
  actions?: Action[] | undefined
}

/**
 * Counts of the notifications of a user: `unread` are unread or seen, `unseen` are unread only.
 * Rows of earlier versions have no `unseen`.
 */
export interface UnreadCounts {
  unread: number
  unseen: number
}

/** The tail of an `s` row: `ids` changed to `state`. */
interface StateChange extends UnreadCounts {
  ids: string[]
  state: State
}

/**
 * The tail of an `r` row: the notification `id` was taken back. `collapseKey` is that of the notification, if it had one: a device that did
 * not receive it may still show an older notification of the key.
 */
interface Retraction extends UnreadCounts {
  id: string
  reason: string
  collapseKey?: string
}

/** The tail of an `a` row: the notification `id` was answered. */
export interface Answered extends Answer, UnreadCounts {
  id: string
}

/** The tail of a `d` row: the notifications `ids` were folded. */
interface Digest extends UnreadCounts {
  count: number
  ids: string[]
}

/**
 * Encodes a row. Every driver stores these bytes, and every wake-up carries them:
 *
 *     kind (1) | time (13 digits) | id (20) | tag (8) | [offset of the retracted row, `r` only] | tail
 *
 * The tail is the end of the row's frame: the JSON after the id (`n`), or after the event id (`s`, `r`, `d`, `a`).
 * It is encoded once, by `tails`, and copied to the sockets as it is.
 *
 * @param timeMs Unix milliseconds
 * @param tag the last part of the row's event id, from `tagAfter`
 */
export function encodeRow(kind: RowKind, timeMs: number, id: string, tag: string, tail: string): Buffer {
  const text = `${kind}${timeDigits(timeMs)}${id}${tag}${tail}`
  // Stores keep rows in memory. A slice of Node's pool would keep the 8 KB of its slab with it, in which short-lived buffers have their place, too.
  const row = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  row.write(text)
  return row
}

/**
 * Returns the tag of a row: a hash over its time, its id and the tag of the row before it, and thereby over all rows before it.
 * From the first row in which two histories of a log differ, all their tags differ.
 * Kind and tail take no part in the hash, because a row that is emptied in place keeps its tag.
 *
 * @param previous the tag of the row before; for the first row, the epoch of the log
 */
export function tagAfter(previous: string, timeMs: number, id: string): string {
  return tagOf(`${previous}${timeDigits(timeMs)}${id}`)
}

/** Returns whether a row comes directly after the one with the tag `previous`, in the same history of a log; for the first row, `previous` is the epoch. */
export function followsTag(previous: string, row: Buffer): boolean {
  return tagOf(`${previous}${row.toString('latin1', 1, ID_END)}`) === rowId8(row)
}

function tagOf(text: string): string {
  return hash('sha1', text, 'hex').slice(0, NO_TAG.length)
}

function timeDigits(timeMs: number): string {
  return String(timeMs).padStart(TIME_DIGITS, '0')
}

export function rowKind(row: Buffer): RowKind {
  return String.fromCharCode(row[0] as number) as RowKind
}

/** Returns the store's time when the row was appended, Unix milliseconds. */
export function rowTime(row: Buffer): number {
  return Number(row.toString('latin1', 1, TIME_END))
}

export function rowId(row: Buffer): string {
  return row.toString('latin1', TIME_END, ID_END)
}

/** Returns the tag of the row, which is the last part of its event id. */
export function rowId8(row: Buffer): string {
  return row.toString('latin1', ID_END, HEADER_LENGTH)
}

/** Returns whether `maxEntries` counts the row: a notification, or the digest that stands for some. */
export function isEntry(row: Buffer): boolean {
  const kind = rowKind(row)
  return kind === 'n' || kind === 'd'
}

/** Returns the tail of the row, without a copy. */
export function rowTail(row: Buffer): Buffer {
  return row.subarray(rowKind(row) === 'r' ? row.indexOf('"', HEADER_LENGTH) : HEADER_LENGTH)
}

/** Returns the row without its tail, as a row of another kind. Time, id and tag stay. */
export function emptyRow(row: Buffer, kind: 'x' | '-'): Buffer {
  const empty = Buffer.allocUnsafeSlow(HEADER_LENGTH)
  row.copy(empty, 0, 0, HEADER_LENGTH)
  empty[0] = kind.charCodeAt(0)
  return empty
}

/** Returns an `s` row that names these ids instead of its own. */
export function withIds(row: Buffer, ids: string[]): Buffer {
  const tail = rowTail(row).toString()
  return encodeRow('s', rowTime(row), rowId(row), rowId8(row), `"ids":[${quoted(ids)}${tail.slice(tail.indexOf(']'))}`)
}

/** Returns the content of an `n` row. */
export function notificationIn(row: Buffer): Notification {
  return JSON.parse(`{"id":"${rowId(row)}",${rowTail(row)}`) as Notification
}

/**
 * Returns whether the notification of an `n` row has expired, although the row is on its way to devices. Rows younger than `CHECKED_AGE_MS` are not
 * parsed: most are sent within milliseconds.
 *
 * @param now the store's clock, Unix milliseconds
 */
export function hasExpired(row: Buffer, now: number): boolean {
  if (now - rowTime(row) < CHECKED_AGE_MS || rowKind(row) !== 'n') return false
  const { expiresAt } = notificationIn(row)
  return expiresAt !== undefined && expiresAt <= now
}

/** Returns the content of an `s` row. */
export function stateChangeIn(row: Buffer): StateChange {
  return JSON.parse(`{${rowTail(row)}`) as StateChange
}

/** Returns the content of an `r` row. */
export function retractionIn(row: Buffer): Retraction {
  return JSON.parse(`{${rowTail(row)}`) as Retraction
}

/** Returns the content of a `d` row. */
export function digestIn(row: Buffer): Digest {
  return JSON.parse(`{${rowTail(row)}`) as Digest
}

/** Returns the content of an `a` row. */
export function answeredIn(row: Buffer): Answered {
  return JSON.parse(`{${rowTail(row)}`) as Answered
}

/** Returns the offset of the row that an `r` row retracts; 0 if a replay must never leave the retraction out. */
export function retractedOffset(row: Buffer): number {
  return Number(row.toString('latin1', HEADER_LENGTH, row.indexOf('"', HEADER_LENGTH)))
}

/** Encodes the tails of rows. The Lua scripts make the same bytes for the rows they write. */
export const tails = {
  /** @param data the JSON of the notification's data */
  notification: (head: NotificationHead, data: string | undefined): string => {
    const { type, title, timestamp, ref, expiresAt, collapseKey, urgency, actions } = head
    const json = JSON.stringify({ type, title, timestamp, ref, expiresAt, collapseKey, urgency, actions })
    return data === undefined ? json.slice(1) : `${json.slice(1, -1)},"data":${data}}`
  },
  state: (ids: string[], state: State, counts: UnreadCounts): string => `"ids":[${quoted(ids)}],"state":"${state}",${counted(counts)}}`,
  /** @param offset that of the retracted row. If the notification had a collapse key, 0 is written: see `Retraction`. */
  retract: (offset: number, id: string, reason: string, counts: UnreadCounts, collapseKey: string): string => {
    const common = `"id":"${id}","reason":${JSON.stringify(reason)},${counted(counts)}`
    return collapseKey === '' ? `${offset}${common}}` : `0${common},"collapseKey":${JSON.stringify(collapseKey)}}`
  },
  answered: (id: string, { action, answeredAt, deviceId }: Answer, counts: UnreadCounts): string =>
    `"id":"${id}","action":"${action}","answeredAt":${answeredAt},"deviceId":${JSON.stringify(deviceId)},${counted(counts)}}`,
  /** The tail of a notification that takes the place of another one in the log. */
  replacing: (replaced: string, tail: string): string => `"replaces":"${replaced}",${tail}`,
  digest: (ids: string[], counts: UnreadCounts): string => `"count":${ids.length},"ids":[${quoted(ids)}],${counted(counts)}}`
}

function counted({ unread, unseen }: UnreadCounts): string {
  return `"unread":${unread},"unseen":${unseen}`
}

/** Ids contain no character that JSON escapes. */
function quoted(ids: string[]): string {
  return ids.length === 0 ? '' : `"${ids.join('","')}"`
}
