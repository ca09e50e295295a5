import type { Answer, Position, State } from '../protocol/index.ts'
import { type Expiry, insertSorted, isDeliveredBefore, isExpiredBefore, isReleasedBefore, placeOf } from './due.ts'
import { MAX_DEVICES } from './limits.ts'
import type { LogOptions, Options } from './options.ts'
import { emptyOutbox, evolveOutbox, isOutboxEffect, type OutboxEffect, type OutboxState } from './outbox-state.ts'
import { isEntry, rowId, rowId8, rowKind, rowTime, stateChangeIn, type UnreadCounts } from './row.ts'

/** The cursor of a device. `at` is when it last moved, Unix milliseconds. */
export interface Cursor {
  position: Position
  at: number
}

/** A parked notification: `row` is an `n` row whose time is that of its publish, `halfLife` is in seconds. */
export interface Parked {
  /** Turn: parked and scheduled notifications are numbered together, in the order of their publishes, from 1. */
  no: number
  /** Urgency: 1 high, 0 normal, -1 low, -2 very low. */
  level: number
  halfLife: number
  options: Options
  row: Buffer
}

/** A scheduled notification, which is delivered at `at`, Unix milliseconds. */
export interface Scheduled extends Parked {
  at: number
}

/** The place of the notification that an Idempotency-Key stands for. */
export interface KeyPlace {
  in: 'log' | 'parked' | 'scheduled' | 'recalled'
  /**
   * `log`: the offset of the notification, or of the digest it was folded into. `parked`, `scheduled`: its turn; if a notification with the same
   * collapse key took the turn, the key stays with the turn. `recalled`, or expired, before it had an offset: the top of the log at that time, so
   * that the key is forgotten as others of its age are.
   */
  at: number
  /** The end of the notification's id, which stands for the body of the request. */
  body: string
  /** The time that the first answer gave; 0 unless `scheduled`. */
  deliverAt: number
}

/** The state of one user. Only `evolve` changes it. */
export interface UserState extends OutboxState {
  /** The identity of the log; '' until the first step that needs one. */
  epoch: string
  /** Offset of the newest row. */
  top: number
  /** Highest offset that was trimmed: `rows[i]` has offset `floor + 1 + i`. */
  floor: number
  unread: number
  /** Number of notifications whose state is `seen`. It follows from `states`. */
  seen: number
  /** Tag of the row at `top`, also if that row was trimmed; before the first row, the epoch. */
  chain: string
  /** Number of rows that are neither notifications nor digests. */
  changes: number
  /** Highest time of a row or a parked notification, Unix milliseconds. No later one has a lower time. */
  lastMs: number
  /** Highest turn given so far. */
  parkNo: number
  /** Time of the latest revocation, Unix milliseconds; 0: none. */
  revokedBefore: number
  /** Time of the latest erasure, Unix milliseconds; 0: none. */
  erasedAt: number
  /** Times at which notifications and digests were appended, ascending, from the rate window that ended with the latest. */
  limiter: number[]
  rows: Buffer[]
  /** State by notification id. An unread notification has no entry. */
  states: Map<string, State>
  cursors: Map<string, Cursor>
  /** Options by notification id, of the notifications in the log that have any, or had a check. */
  options: Map<string, LogOptions>
  /** Id of the notification in the log by collapse key. */
  collapsed: Map<string, string>
  /** Answer by notification id, of the notifications in the log. */
  answers: Map<string, Answer>
  /** Parked notifications in the order of their release: the more urgent first, then in the order of their publishes. */
  parked: Parked[]
  /** Scheduled notifications in the order of their delivery. */
  scheduled: Scheduled[]
  /** Times of expiry, ascending: of parked and scheduled notifications, and of those in the log that have no answer. */
  expiries: Expiry[]
  /** Place by idempotency key. Keys whose place is in `log` or `recalled` are in ascending order of `at`. */
  keys: Map<string, KeyPlace>
}

export function emptyState(): UserState {
  return {
    epoch: '',
    top: 0,
    floor: 0,
    unread: 0,
    seen: 0,
    chain: '',
    changes: 0,
    lastMs: 0,
    parkNo: 0,
    revokedBefore: 0,
    erasedAt: 0,
    limiter: [],
    rows: [],
    states: new Map(),
    cursors: new Map(),
    options: new Map(),
    collapsed: new Map(),
    answers: new Map(),
    parked: [],
    scheduled: [],
    expiries: [],
    keys: new Map(),
    ...emptyOutbox()
  }
}

/**
 * A primitive change of the state. The effects of a step, replayed in order over the state before it, give the state after it.
 *
 * An effect names everything that it removes, so that a driver that stores the parts of the state apart need not read them. The exception
 * is `cursor`: a cursor beyond `MAX_DEVICES` evicts the least recently used one.
 */
export type Effect =
  /** A new log begins; the step trimmed the old one to its top before. Parked notifications and cursors stay. */
  | { type: 'reset'; epoch: string }
  /** The row takes offset `top + 1`; `at` is the time for the rate limit. This effect, and no other, wakes nodes. */
  | { type: 'append'; row: Buffer; at: number; windowMs: number }
  /** Replaces the times of the rate limit, after the clock was set back. */
  | { type: 'limiter'; times: number[] }
  /** `freedBytes` is how much shorter the row is. */
  | { type: 'replace'; offset: number; row: Buffer; freedBytes: number }
  /**
   * Removes the rows up to `floor`, and what is kept of their notifications: the states of `ids`, and the options and answers of
   * `idsWithOptions`, of which `answeredIds` were answered.
   */
  | { type: 'trim'; floor: number; ids: string[]; idsWithOptions: string[]; answeredIds: string[] }
  | { type: 'state'; id: string; state: State }
  | { type: 'unread'; unread: number }
  | { type: 'park'; parked: Parked }
  | { type: 'unpark'; no: number }
  | { type: 'schedule'; scheduled: Scheduled }
  | { type: 'unschedule'; no: number }
  /** Keeps the options of a notification that the same step appended. */
  | { type: 'options'; id: string; options: LogOptions }
  /** Removes the options of a notification in the log, and the answer to it if `isAnswered`. */
  | { type: 'dropOptions'; id: string; isAnswered: boolean }
  /** Keeps the answer to a notification, and cancels its expiry. */
  | { type: 'answer'; id: string; answer: Answer }
  | { type: 'key'; key: string; place: KeyPlace }
  | { type: 'forget'; keys: string[] }
  | { type: 'cursor'; deviceId: string; cursor: Cursor }
  | { type: 'revoke'; before: number }
  /** Removes everything of the user, `erased`, except the times of the revocation and of the erasure. */
  | { type: 'erase'; at: number; before: number; erased: UserState }
  | OutboxEffect

export function rowAt(state: UserState, offset: number): Buffer | undefined {
  return offset > state.floor ? state.rows[offset - state.floor - 1] : undefined
}

/** Returns the rows that a step appended, with their places. `before` is the end of the log before the step. */
export function appendedRows(
  before: Pick<UserState, 'epoch' | 'top'>,
  effects: Effect[]
): { epoch: string; offset: number; row: Buffer }[] {
  let { epoch, top } = before
  const appended: { epoch: string; offset: number; row: Buffer }[] = []
  for (const effect of effects) {
    if (effect.type === 'reset') {
      epoch = effect.epoch
      top = 0
    }
    if (effect.type === 'append') {
      top += 1
      appended.push({ epoch, offset: top, row: effect.row })
    }
  }
  return appended
}

/** Returns whether a notification counts as unread: `seen` does. */
export function countsAsUnread(state: State | undefined): boolean {
  return state === undefined || state === 'unread' || state === 'seen'
}

export function unreadCounts({ unread, seen }: UserState): UnreadCounts {
  return { unread, unseen: unread - seen }
}

/** Returns the state of each notification that the rows name, by id; those that are unread are left out. */
export function statesOf(state: UserState, rows: Buffer[]): Map<string, State> {
  const stateById = new Map<string, State>()
  if (state.states.size === 0) return stateById
  const add = (id: string): void => {
    const stateOfId = state.states.get(id)
    if (stateOfId !== undefined) stateById.set(id, stateOfId)
  }
  for (const row of rows) {
    if (rowKind(row) === 'n') add(rowId(row))
    if (rowKind(row) === 's') for (const id of stateChangeIn(row).ids) add(id)
  }
  return stateById
}

/** Returns the answers of the notifications among the rows, by id. */
export function answersOf(state: UserState, rows: Buffer[]): Map<string, Answer> {
  const found = new Map<string, Answer>()
  if (state.answers.size === 0) return found
  for (const row of rows) {
    const answer = rowKind(row) === 'n' ? state.answers.get(rowId(row)) : undefined
    if (answer !== undefined) found.set(rowId(row), answer)
  }
  return found
}

/** Applies one effect to the state. */
export function evolve(state: UserState, effect: Effect): void {
  if (isOutboxEffect(effect)) return evolveOutbox(state, effect)
  switch (effect.type) {
    case 'reset':
      state.epoch = effect.epoch
      state.chain = effect.epoch
      state.top = 0
      state.floor = 0
      break
    case 'append':
      append(state, effect.row, effect.at, effect.windowMs)
      break
    case 'limiter':
      state.limiter = effect.times
      break
    case 'replace':
      replace(state, effect.offset - state.floor - 1, effect.row)
      break
    case 'trim':
      trim(state, effect.floor, effect.ids)
      for (const id of effect.idsWithOptions) dropOptions(state, id)
      break
    case 'state':
      setState(state, effect.id, effect.state)
      break
    case 'unread':
      state.unread = effect.unread
      break
    case 'park':
      insertSorted(state.parked, effect.parked, isReleasedBefore)
      beginToWait(state, effect.parked)
      break
    case 'unpark':
      stopWaiting(state, state.parked, effect.no)
      break
    case 'schedule':
      insertSorted(state.scheduled, effect.scheduled, isDeliveredBefore)
      beginToWait(state, effect.scheduled)
      break
    case 'unschedule':
      stopWaiting(state, state.scheduled, effect.no)
      break
    case 'options':
      keepOptions(state, effect.id, effect.options)
      break
    case 'dropOptions':
      dropOptions(state, effect.id)
      break
    case 'answer':
      state.answers.set(effect.id, effect.answer)
      cancelExpiry(state, logExpiry(effect.id, state.options.get(effect.id) as LogOptions))
      break
    case 'key':
      state.keys.delete(effect.key)
      state.keys.set(effect.key, effect.place)
      break
    case 'forget':
      for (const key of effect.keys) state.keys.delete(key)
      break
    case 'cursor':
      moveCursor(state, effect.deviceId, effect.cursor)
      break
    case 'revoke':
      state.revokedBefore = effect.before
      break
    case 'erase':
      Object.assign(state, emptyState(), { revokedBefore: effect.before, erasedAt: effect.at })
      break
  }
}

function beginToWait(state: UserState, waiting: Parked): void {
  state.parkNo = Math.max(state.parkNo, waiting.no)
  state.lastMs = Math.max(state.lastMs, rowTime(waiting.row))
  noteExpiry(state, waitingExpiry(waiting))
}

/** Removes the notification of a turn from a list, and cancels its expiry. */
function stopWaiting(state: UserState, list: Parked[], no: number): void {
  const index = list.findIndex((waiting) => waiting.no === no)
  const [stopped] = index < 0 ? [] : list.splice(index, 1)
  if (stopped !== undefined) cancelExpiry(state, waitingExpiry(stopped))
}

function keepOptions(state: UserState, id: string, options: LogOptions): void {
  state.options.set(id, options)
  if (options.collapseKey !== '') state.collapsed.set(options.collapseKey, id)
  noteExpiry(state, logExpiry(id, options))
}

function dropOptions(state: UserState, id: string): void {
  const options = state.options.get(id)
  if (options === undefined) return
  state.options.delete(id)
  state.answers.delete(id)
  if (state.collapsed.get(options.collapseKey) === id) state.collapsed.delete(options.collapseKey)
  cancelExpiry(state, logExpiry(id, options))
}

function noteExpiry(state: UserState, expiry: Expiry): void {
  if (expiry.at > 0) insertSorted(state.expiries, expiry, isExpiredBefore)
}

function cancelExpiry({ expiries }: UserState, expiry: Expiry): void {
  if (expiry.at === 0) return
  const index = placeOf(expiries, expiry, isExpiredBefore) - 1
  if (expiries[index]?.id === expiry.id) expiries.splice(index, 1)
}

function logExpiry(id: string, { expiresAt, offset }: LogOptions): Expiry {
  return { at: expiresAt, id, offset, no: 0 }
}

function waitingExpiry({ no, options, row }: Parked): Expiry {
  return { at: options.expiresAt, id: rowId(row), offset: Number.POSITIVE_INFINITY, no }
}

function append(state: UserState, row: Buffer, at: number, windowMs: number): void {
  const kind = rowKind(row)
  state.rows.push(row)
  state.top += 1
  state.chain = rowId8(row)
  if (!isEntry(row)) state.changes += 1
  state.lastMs = Math.max(state.lastMs, rowTime(row))
  if (kind === 'n') state.unread += 1
  if (kind === 'n' || kind === 'd') {
    state.limiter.push(at)
    while ((state.limiter[0] as number) <= at - windowMs) state.limiter.shift()
  }
}

function replace(state: UserState, index: number, row: Buffer): void {
  if (isEntry(state.rows[index] as Buffer)) state.changes += 1
  state.rows[index] = row
}

function trim(state: UserState, floor: number, ids: string[]): void {
  for (const row of state.rows.splice(0, floor - state.floor)) {
    if (rowKind(row) === 'n' && countsAsUnread(state.states.get(rowId(row)))) state.unread -= 1
    if (!isEntry(row)) state.changes -= 1
  }
  for (const id of ids) setState(state, id, 'unread')
  state.floor = floor
}

function setState(state: UserState, id: string, to: State): void {
  if (state.states.get(id) === 'seen') state.seen -= 1
  if (to === 'seen') state.seen += 1
  if (to === 'unread') state.states.delete(id)
  else state.states.set(id, to)
}

function moveCursor(state: UserState, deviceId: string, cursor: Cursor): void {
  state.cursors.set(deviceId, cursor)
  if (state.cursors.size <= MAX_DEVICES) return
  let oldest = deviceId
  for (const [name, { at }] of state.cursors) {
    const best = (state.cursors.get(oldest) as Cursor).at
    if (name !== deviceId && (oldest === deviceId || at < best || (at === best && name < oldest))) oldest = name
  }
  state.cursors.delete(oldest)
}
