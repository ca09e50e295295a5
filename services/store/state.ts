import type { Position, State } from '../protocol/index.ts'
import { MAX_DEVICES } from './limits.ts'
import { isEntry, rowId, rowId8, rowKind, rowTime, stateChangeIn } from './row.ts'

/** A device's cursor; `at` is when it last moved, Unix milliseconds. */
export interface Cursor {
  position: Position
  at: number
}

/** A notification that waits: `row` is a row of kind `n` whose time is that of its publish, `halfLife` is in seconds. */
export interface Parked {
  no: number
  halfLife: number
  row: Buffer
}

/**
 * What became of the notification of an Idempotency-Key. `at` is its offset (`log`; of a folded one, that of its digest), its number
 * (`parked`), or the log's top when it was recalled before it had an offset (`recalled`). `body` is the end of its id.
 */
export interface KeyPlace {
  in: 'log' | 'parked' | 'recalled'
  at: number
  body: string
}

/** All the store knows of one user. Only `evolve` changes it. */
export interface UserState {
  /** '' until the log is first used. */
  epoch: string
  top: number
  /** The highest offset trimmed: `rows[i]` has offset `floor + 1 + i`. */
  floor: number
  unread: number
  /** The tag of the row at `top`; before the first row, the epoch. */
  chain: string
  /** Rows that are neither notifications nor digests. */
  changes: number
  /** The latest time used in this log; later ones never run behind it. */
  lastMs: number
  /** Number of the latest parked notification. */
  parkNo: number
  revokedBefore: number
  /** Times of the notifications in the log that are still inside the rate window, ascending. */
  limiter: number[]
  rows: Buffer[]
  /** By notification id; unread is the absence of an entry. */
  states: Map<string, State>
  cursors: Map<string, Cursor>
  /** In publish order. */
  parked: Parked[]
  /** Idempotency keys. Those in `log` or `recalled` are in ascending order of `at`. */
  keys: Map<string, KeyPlace>
}

export function emptyState(): UserState {
  return {
    epoch: '',
    top: 0,
    floor: 0,
    unread: 0,
    chain: '',
    changes: 0,
    lastMs: 0,
    parkNo: 0,
    revokedBefore: 0,
    limiter: [],
    rows: [],
    states: new Map(),
    cursors: new Map(),
    parked: [],
    keys: new Map()
  }
}

/**
 * One primitive change. A driver that stores them in order, and replays them on load, has the state again.
 * Each names all that it takes away, so that a driver which keeps the parts apart need not look at the state.
 * One exception: a `cursor` beyond `MAX_DEVICES` evicts the least recently used cursor.
 */
export type Effect =
  /** A fresh log, after the old one was trimmed to its top; parked notifications and cursors stay. */
  | { type: 'reset'; epoch: string }
  /** The row takes offset `top + 1`; `at` is when, on the clock of the rate limit. This, and nothing else, is what wakes nodes. */
  | { type: 'append'; row: Buffer; at: number; windowMs: number }
  /** The times of the rate window, after the clock was set back. */
  | { type: 'limiter'; times: number[] }
  | { type: 'replace'; offset: number; row: Buffer }
  /** Rows up to `floor` go, and the states of `ids`, which are those of the notifications among them that have one. */
  | { type: 'trim'; floor: number; ids: string[] }
  | { type: 'state'; id: string; state: State }
  | { type: 'unread'; unread: number }
  | { type: 'park'; parked: Parked }
  | { type: 'unpark'; no: number }
  | { type: 'key'; key: string; place: KeyPlace }
  | { type: 'forget'; keys: string[] }
  | { type: 'cursor'; deviceId: string; cursor: Cursor }
  | { type: 'revoke'; before: number }

export function rowAt(state: UserState, offset: number): Buffer | undefined {
  return offset > state.floor ? state.rows[offset - state.floor - 1] : undefined
}

/** Returns the rows a step appended, each at its place. `before` tells where the log was. */
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

/** Whether a notification in this state counts as unread. */
export function countsAsUnread(state: State | undefined): boolean {
  return state === undefined || state === 'unread' || state === 'seen'
}

/** The states of the notifications that the rows name, by id; those that are unread are left out. */
export function statesOf(state: UserState, rows: Buffer[]): Map<string, State> {
  const found = new Map<string, State>()
  if (state.states.size === 0) return found
  const add = (id: string): void => {
    const held = state.states.get(id)
    if (held !== undefined) found.set(id, held)
  }
  for (const row of rows) {
    if (rowKind(row) === 'n') add(rowId(row))
    if (rowKind(row) === 's') for (const id of stateChangeIn(row).ids) add(id)
  }
  return found
}

/** Applies one effect. Deterministic; replaying a command's effects over the state it saw gives the state it left. */
export function evolve(state: UserState, effect: Effect): void {
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
      break
    case 'state':
      if (effect.state === 'unread') state.states.delete(effect.id)
      else state.states.set(effect.id, effect.state)
      break
    case 'unread':
      state.unread = effect.unread
      break
    case 'park':
      state.parked.push(effect.parked)
      state.parkNo = effect.parked.no
      state.lastMs = Math.max(state.lastMs, rowTime(effect.parked.row))
      break
    case 'unpark':
      state.parked = state.parked.filter((parked) => parked.no !== effect.no)
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
  }
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
  for (const id of ids) state.states.delete(id)
  state.floor = floor
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
