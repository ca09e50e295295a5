import { KEY_LENGTH } from '../ids.ts'
import type { Position } from '../protocol/index.ts'
import { COALESCE_EVERY, FORGET_EVERY, IDEMPOTENCY_WINDOW, MAX_FENCE } from './limits.ts'
import { OutboxStep } from './outbox-step.ts'
import { digestOffsetOf, offsetOf } from './queries.ts'
import { freeSlots, releaseAt } from './rate.ts'
import { floorByAge, floorByCount, superseded } from './retention.ts'
import { COUNT_ID, emptyRow, encodeRow, LOST_ID, type RowKind, rowId, rowKind, tagAfter, tails } from './row.ts'
import { countsAsUnread, type Effect, evolve, type KeyPlace, type Parked, rowAt, type UserState, unreadCounts } from './state.ts'
import type { LogPlace, RetractResult, StoreSettings } from './store.ts'

/** The input of a step that comes from outside the user's state: time and randomness. */
export interface StepContext {
  /** The store's clock, Unix milliseconds. It may run backwards. */
  now: number
  /** The time up to which rows have aged. It is earlier than `now` after the clock was set forward, because a step of the clock is not age. Default: `now`. */
  agedTo?: number
  /** The epoch of the log, if the step starts one. */
  newEpoch: string
  /** The id of the row that a mark, an answer or a recall appends. */
  newId: string
  /** A connection of the user is registered. */
  listening: boolean
  /** The time from which the store has registered connections, Unix milliseconds. Default 0: always. */
  registersSince?: number
}

/**
 * One step over the state of a user: what all commands of `Machine` share. It begins by removing what is past its time: rows past retention,
 * and notifications that have expired.
 */
export class Step {
  readonly effects: Effect[] = []
  readonly state: UserState
  readonly settings: StoreSettings
  readonly clockMs: number
  readonly logTimeMs: number
  readonly agedToMs: number
  readonly outbox: OutboxStep
  readonly #context: StepContext
  /** Notifications that the step removed because they had expired. */
  expired = 0

  constructor(state: UserState, settings: StoreSettings, context: StepContext) {
    this.state = state
    this.settings = settings
    this.#context = context
    this.clockMs = context.now
    this.logTimeMs = Math.max(context.now, state.lastMs)
    this.agedToMs = Math.min(context.agedTo ?? context.now, context.now)
    this.outbox = new OutboxStep(this)
    this.#trim(floorByAge(state, settings, this.agedToMs))
    this.#clampLimiter()
    this.#expire()
  }

  /** A connection of the user is registered. */
  get isConnected(): boolean {
    return this.#context.listening
  }

  get registersSince(): number {
    return this.#context.registersSince ?? 0
  }

  /** The id of the row that a mark, an answer or a recall appends. */
  get newId(): string {
    return this.#context.newId
  }

  emit(effect: Effect): void {
    evolve(this.state, effect)
    this.effects.push(effect)
  }

  /** Gives the log its first epoch, if it has none. */
  startLog(): void {
    if (this.state.epoch === '') this.#resetLog()
  }

  /** Starts the log afresh: a new epoch, offsets from 1. Parked and scheduled notifications, their keys, keys of recalled ones, and cursors stay. */
  #resetLog(): void {
    const state = this.state
    this.#drop(state.top)
    this.#forgetKeys(state.top, 'log')
    for (const [key, place] of [...state.keys]) if (place.in === 'recalled') this.emit({ type: 'key', key, place: { ...place, at: 0 } })
    if (state.unread > 0) this.emit({ type: 'unread', unread: 0 })
    this.emit({ type: 'reset', epoch: this.#context.newEpoch })
  }

  /**
   * Keeps the invariant "never twice" after the store lost rows: offsets that this node got, and that the log no longer reaches, are taken by
   * lost rows. If there are more than `MAX_FENCE`, the log starts afresh.
   */
  fence(seen: LogPlace | undefined): void {
    const state = this.state
    if (seen === undefined || seen.epoch !== state.epoch || seen.offset <= state.top) return
    if (seen.offset - state.top > MAX_FENCE) this.#resetLog()
    else while (state.top < seen.offset) this.append('~', LOST_ID, '')
  }

  /** Appends a row, for which `makeRoom` has made room, and does the maintenance that is due at its offset. */
  append(kind: RowKind, id: string, tail: string): void {
    const state = this.state
    const { rateLimit, rateWindowMs } = this.settings
    const row = encodeRow(kind, this.logTimeMs, id, tagAfter(state.chain, this.logTimeMs, id), tail)
    this.emit({ type: 'append', row, at: this.clockMs, windowMs: rateLimit === 0 ? 0 : rateWindowMs })
    if (state.top % FORGET_EVERY === 0) this.#forgetKeys(Math.min(state.top - IDEMPOTENCY_WINDOW, state.floor), 'log', 'recalled')
    if (kind === 's' && state.changes % COALESCE_EVERY === 0) {
      for (const { offset, row } of superseded(state)) this.#replace(offset, row)
    }
  }

  /** Trims until one more row fits. Returns whether rows were trimmed: an offset that was found before may no longer be in the log. */
  makeRoom(added: 'entry' | 'change'): boolean {
    const { floor } = this.state
    this.#trim(floorByCount(this.state, this.settings, added))
    return this.state.floor > floor
  }

  /** Drops the rows up to a floor. If the unread count changes and devices are connected, a row without ids tells them the counts. */
  #trim(floor: number): void {
    const state = this.state
    const { unread } = state
    this.#drop(floor)
    if (state.unread !== unread) this.tellUnread()
  }

  /** Tells the devices that are connected the unread count, by a row without ids. */
  tellUnread(): void {
    if (this.#context.listening) this.append('s', COUNT_ID, tails.state([], 'read', unreadCounts(this.state)))
  }

  #drop(floor: number): void {
    const state = this.state
    if (floor === state.floor) return
    this.outbox.forgetUpTo(floor)
    const { answers, states, options } = state
    const dropped = states.size === 0 && options.size === 0 ? [] : state.rows.slice(0, floor - state.floor)
    const ids = dropped.filter((row) => rowKind(row) === 'n').map(rowId)
    this.emit({
      type: 'trim',
      floor,
      ids: ids.filter((id) => states.has(id)),
      idsWithOptions: ids.filter((id) => options.has(id)),
      answeredIds: ids.filter((id) => answers.has(id))
    })
  }

  /** Forgets the keys with one of these places, up to an offset. Except for those of waiting notifications, keys are in ascending order of offset. */
  #forgetKeys(offset: number, ...places: KeyPlace['in'][]): void {
    const keys: string[] = []
    for (const [key, place] of this.state.keys) {
      if (place.in === 'parked' || place.in === 'scheduled') continue
      if (place.at > offset) break
      if (places.includes(place.in)) keys.push(key)
    }
    if (keys.length > 0) this.emit({ type: 'forget', keys })
  }

  freeSlots(): number {
    return freeSlots(this.state, this.settings, this.clockMs)
  }

  /** Returns when the parked notification at this index is due, Unix milliseconds. */
  releaseAt(index: number): number {
    return releaseAt(this.state, this.settings, this.clockMs, index)
  }

  moveCursor(deviceId: string, position: Position): void {
    this.emit({ type: 'cursor', deviceId, cursor: { position, at: this.logTimeMs } })
  }

  #replace(offset: number, row: Buffer): void {
    const replaced = rowAt(this.state, offset) as Buffer
    this.emit({ type: 'replace', offset, row, freedBytes: replaced.length - row.length })
  }

  /** Empties the row of a notification and removes what is kept of it. */
  remove(id: string, offset: number): void {
    const { answers, options, states } = this.state
    const unread = this.state.unread - (countsAsUnread(states.get(id)) ? 1 : 0)
    this.#replace(offset, emptyRow(rowAt(this.state, offset) as Buffer, 'x'))
    if (states.has(id)) this.emit({ type: 'state', id, state: 'unread' })
    this.emit({ type: 'unread', unread })
    this.outbox.forget(offset)
    if (options.has(id)) this.emit({ type: 'dropOptions', id, isAnswered: answers.has(id) })
  }

  /**
   * Retracts a notification. One that is parked or scheduled is removed without a row. The row of one in the log is emptied in place, and a
   * retraction is appended.
   *
   * @param retractionId the id of the row that is appended
   */
  retract(id: string, reason: string, retractionId: string): RetractResult {
    const { state } = this
    const parked = state.parked.find(({ row }) => rowId(row) === id)
    if (parked !== undefined) {
      this.removeWaiting(parked, 'parked', 'recalled', state.top)
      return 'unparked'
    }
    return this.unschedule(id) === 'unscheduled' ? 'unscheduled' : this.#retractRow(id, reason, retractionId)
  }

  /** Cancels a scheduled notification. */
  unschedule(id: string): 'unscheduled' | 'unknown' {
    const { state } = this
    const scheduled = state.scheduled.find(({ row }) => rowId(row) === id)
    if (scheduled === undefined) return 'unknown'
    this.removeWaiting(scheduled, 'scheduled', 'recalled', state.top)
    return 'unscheduled'
  }

  /** Keeps the key of an unknown notification as that of a recalled one, unless it was used before. */
  bar(id: string): void {
    const key = id.slice(0, KEY_LENGTH)
    if (this.state.keys.has(key)) return
    this.startLog()
    this.emit({ type: 'key', key, place: { in: 'recalled', at: this.state.top, body: id.slice(KEY_LENGTH), deliverAt: 0 } })
  }

  #retractRow(id: string, reason: string, retractionId: string): RetractResult {
    const { state } = this
    let offset = offsetOf(state, id)
    if (offset !== undefined && this.makeRoom('change')) offset = offsetOf(state, id)
    if (offset === undefined) return digestOffsetOf(state, id) === undefined ? 'unknown' : 'folded'
    const collapseKey = state.options.get(id)?.collapseKey ?? ''
    this.remove(id, offset)
    this.append('r', retractionId, tails.retract(offset, id, reason, unreadCounts(state), collapseKey))
    return 'retracted'
  }

  /** Removes a notification from the parked or the scheduled ones, and sets the new place of the keys of its turn. */
  removeWaiting(waiting: Parked, from: 'parked' | 'scheduled', to: KeyPlace['in'], at: number): void {
    this.emit({ type: from === 'parked' ? 'unpark' : 'unschedule', no: waiting.no })
    for (const [key, place] of this.keysOfTurn(waiting, from)) {
      this.emit({ type: 'key', key, place: { ...place, in: to, at, deliverAt: 0 } })
    }
  }

  /** Returns the keys that refer to the turn of a waiting notification. Only if it has a collapse key, other keys than its own may do so. */
  keysOfTurn({ no, options, row }: Parked, from: 'parked' | 'scheduled'): [string, KeyPlace][] {
    const { keys } = this.state
    const own = rowId(row).slice(0, KEY_LENGTH)
    const place = keys.get(own)
    const ownKeys: [string, KeyPlace][] = place === undefined ? [] : [[own, place]]
    const candidates = options.collapseKey === '' ? ownKeys : [...keys]
    return candidates.filter(([, { in: where, at }]) => where === from && at === no)
  }

  #expire(): void {
    const { expiries } = this.state
    for (let next = expiries[0]; next !== undefined && next.at <= this.clockMs; next = expiries[0]) {
      const makeCall = this.outbox.callOfExpiry(next)
      // The row has the id of its notification: one step may append many retractions, and `newId` is one id.
      const isInLog = next.offset !== Number.POSITIVE_INFINITY
      const result = isInLog ? this.#retractRow(next.id, 'expired', next.id) : this.retract(next.id, 'expired', next.id)
      if (result === 'unknown') continue
      this.expired += 1
      makeCall()
    }
  }

  /** After the clock was set back, counts later times as now, so that their slots are free after one window. */
  #clampLimiter(): void {
    const { limiter } = this.state
    if ((limiter.at(-1) ?? 0) <= this.clockMs) return
    this.emit({ type: 'limiter', times: limiter.map((ms) => Math.min(ms, this.clockMs)) })
  }
}
