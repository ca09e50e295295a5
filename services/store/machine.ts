import { KEY_LENGTH } from '../ids.ts'
import type { Position } from '../protocol/index.ts'
import { COALESCE_EVERY, FORGET_EVERY, IDEMPOTENCY_WINDOW, MAX_FENCE, RELEASE_BATCH } from './limits.ts'
import { markable, markableUpTo, markedAfter } from './marks.ts'
import { digestOffsetOf, inboxPage, itemAt, offsetOf, queueInfo } from './queries.ts'
import { freeSlots, releaseAt, worthless } from './rate.ts'
import { backlogOf, expiresIn, positionOf } from './reading.ts'
import { floorByAge, floorByCount, superseded } from './retention.ts'
import { COUNT_ID, emptyRow, encodeRow, LOST_ID, NO_TAG, type RowKind, rowId, rowKind, rowTail, tagAfter, tails } from './row.ts'
import { countsAsUnread, type Effect, evolve, type KeyPlace, type Parked, rowAt, type UserState } from './state.ts'
import type {
  AttachCommand,
  Backlog,
  FindResult,
  InboxItem,
  InboxPage,
  InboxQuery,
  LogPlace,
  MarkCommand,
  MarkResult,
  PublishCommand,
  PublishResult,
  QueueInfo,
  ReadBounds,
  ReadCommand,
  ReleaseResult,
  RetractResult,
  Start,
  StoreSettings
} from './store.ts'

/** The input of a step that comes from outside the user's state: time and randomness. */
interface StepContext {
  /** The store's clock, Unix milliseconds. It may run backwards. */
  now: number
  /** The time up to which rows have aged. It is earlier than `now` after the clock was set forward, because a step of the clock is not age. Default: `now`. */
  agedTo?: number
  /** The epoch of the log, if the step starts one. */
  newEpoch: string
  /** The id of the row that a mark or a retraction appends. */
  newId: string
  /** A connection of the user is registered. */
  listening: boolean
}

/**
 * The log of one user as a deterministic state machine: the specification of both drivers. `store.ts` says what each step promises; this
 * class says how.
 *
 * A machine carries out one step: it is constructed, and one of its methods is called. The step changes the state through `evolve` alone and records each
 * change in `effects`, so that a driver can store the effects, and replay them. It depends on nothing but the state, the command, the settings
 * and the context. The rows of its `append` effects are the wake-ups.
 *
 * The state and every step keep these invariants:
 *
 * - **Gapless.** Offsets grow by one with each append. The log holds the rows from `floor + 1` to `top`, and no other.
 * - **Never twice.** Within an epoch no offset is given to two rows, not even after the store lost the first (`#fence`).
 * - **Trim first.** A step trims expired rows, then those in the way of the row it appends, before it reads a count. Each count in a row or
 *   a result is therefore the count after the step.
 * - **Two clocks.** The times of rows never run backwards (`#logTimeMs`); the rate limit follows the store's clock (`#clockMs`).
 * - **Publish order.** While notifications are parked, a new one is parked behind them.
 */
export class Machine {
  readonly effects: Effect[] = []
  readonly #state: UserState
  readonly #settings: StoreSettings
  readonly #context: StepContext
  readonly #clockMs: number
  readonly #logTimeMs: number
  readonly #agedToMs: number

  constructor(state: UserState, settings: StoreSettings, context: StepContext) {
    this.#state = state
    this.#settings = settings
    this.#context = context
    this.#clockMs = context.now
    this.#logTimeMs = Math.max(context.now, state.lastMs)
    this.#agedToMs = Math.min(context.agedTo ?? context.now, context.now)
    this.#trim(floorByAge(state, settings, this.#agedToMs))
    this.#clampLimiter()
  }

  /**
   * Returns the first outcome if the key is known. Else, if the rate has no free slot or others are parked, parks the notification, or
   * refuses it when `parkedMax` are parked. Else appends it.
   */
  publish({ id, keyed, tail, halfLife }: PublishCommand): PublishResult {
    const state = this.#state
    const key = id.slice(0, KEY_LENGTH)
    const body = id.slice(KEY_LENGTH)
    const place = keyed ? state.keys.get(key) : undefined
    if (place !== undefined) return this.#replayed(body, place)
    this.#startLog()
    if (state.parked.length > 0 || this.#freeSlots() === 0) {
      const releaseAt = this.#releaseAt(state.parked.length)
      if (state.parked.length >= this.#settings.parkedMax) return { status: 'full', retryAfterMs: releaseAt - this.#clockMs }
      const parked = { no: state.parkNo + 1, halfLife, row: encodeRow('n', this.#logTimeMs, id, NO_TAG, tail) }
      this.#emit({ type: 'park', parked })
      if (keyed) this.#emit({ type: 'key', key, place: { in: 'parked', at: parked.no, body } })
      return { status: 'parked', releaseAt, replayed: false }
    }
    this.#makeRoom('entry')
    if (keyed) this.#emit({ type: 'key', key, place: { in: 'log', at: state.top + 1, body } })
    this.#append('n', id, tail)
    return { status: 'accepted', ...positionOf(state, state.top), nodes: 0, replayed: false }
  }

  /** Appends parked notifications from the oldest on while the rate has free slots. A run of worthless ones becomes one digest, in one slot. */
  release(): ReleaseResult {
    const state = this.#state
    let released = 0
    let folded = 0
    while (state.parked.length > 0 && this.#freeSlots() > 0 && released < RELEASE_BATCH) {
      this.#makeRoom('entry')
      const run = worthless(state, this.#agedToMs)
      if (run.length > 0) {
        const ids = run.map((parked) => rowId(parked.row))
        for (const parked of run) this.#unpark(parked, 'log', state.top + 1)
        this.#append('d', ids[0] as string, tails.digest(ids, state.unread))
        folded += run.length
      } else {
        const parked = state.parked[0] as Parked
        this.#unpark(parked, 'log', state.top + 1)
        this.#append('n', rowId(parked.row), rowTail(parked.row).toString())
      }
      released += 1
    }
    return { released, folded, parked: state.parked.length, nextAt: this.nextAt() }
  }

  /** Returns when the next parked notification is due, Unix milliseconds; 0 if none is parked. */
  nextAt(): number {
    return this.#state.parked.length === 0 ? 0 : this.#releaseAt(0)
  }

  /**
   * Fences lost offsets off, then reads the backlog. A device without a cursor gets the one it starts from, so that what it misses from
   * now on is pending for it; but not if there is a gap. The driver keeps the registry, and asks `admit` before this step.
   */
  attach(command: Pick<AttachCommand, 'deviceId' | 'start'> & ReadBounds): Backlog {
    const { deviceId, start } = command
    this.#startLog()
    this.#fence(command.seen)
    const backlog = this.#backlog(start, deviceId, command)
    if (backlog.gap === undefined && !this.#state.cursors.has(deviceId)) {
      this.#moveCursor(deviceId, positionOf(this.#state, backlog.start.offset))
    }
    return backlog
  }

  /** Fences lost offsets off, then reads the backlog. */
  read(command: Pick<ReadCommand, 'position'> & ReadBounds): Backlog {
    this.#startLog()
    this.#fence(command.seen)
    return this.#backlog({ at: 'position', position: command.position }, '', command)
  }

  /** Appends a lost row, which tells every device that rows may be missing. For a driver that found damage. */
  lose(): void {
    this.#startLog()
    this.#append('~', LOST_ID, '')
  }

  /**
   * Moves a cursor forward to a position of this log. A position at the cursor's own offset is taken if it corrects the tag: the cursor
   * stood on a row that was lost.
   */
  ack(deviceId: string, position: Position): void {
    const { epoch, top, cursors } = this.#state
    if (position.epoch !== epoch || position.offset > top) return
    const cursor = cursors.get(deviceId)?.position
    const isPassed = cursor?.epoch === epoch && cursor.offset >= position.offset
    if (!isPassed || this.#correctsTag(cursor, position)) this.#moveCursor(deviceId, position)
  }

  /** Sets the state of each markable id that was not marked after the mark was made, and appends one row that names those ids. */
  mark({ target, state: to, ageMs = 0 }: Pick<MarkCommand, 'target' | 'state' | 'ageMs'>): MarkResult | 'restarted' {
    const state = this.#state
    if ('upTo' in target && target.upTo.epoch !== state.epoch) return 'restarted'
    const markedLater = markedAfter(state, this.#logTimeMs - ageMs)
    const find = (): string[] => {
      const ids = 'ids' in target ? markable(state, target.ids, to) : markableUpTo(state, target.upTo, to)
      return ids.filter((id) => !markedLater.has(id))
    }
    let ids = find()
    if (ids.length > 0 && this.#makeRoom('change')) ids = find()
    let { unread } = state
    for (const id of ids) {
      if (countsAsUnread(state.states.get(id))) unread -= 1
      if (countsAsUnread(to)) unread += 1
      this.#emit({ type: 'state', id, state: to })
    }
    if (ids.length > 0) {
      this.#emit({ type: 'unread', unread })
      this.#append('s', this.#context.newId, tails.state(ids, to, unread))
    }
    return { ids, unread: state.unread }
  }

  /** Removes a parked notification. Empties the row of a notification in the log, and appends a retraction. */
  retract(id: string, reason: string): RetractResult {
    const state = this.#state
    const parked = state.parked.find(({ row }) => rowId(row) === id)
    if (parked !== undefined) {
      this.#unpark(parked, 'recalled', state.top)
      return 'unparked'
    }
    let offset = offsetOf(state, id)
    if (offset !== undefined && this.#makeRoom('change')) offset = offsetOf(state, id)
    if (offset === undefined) return digestOffsetOf(state, id) === undefined ? 'unknown' : 'folded'
    const unread = state.unread - (countsAsUnread(state.states.get(id)) ? 1 : 0)
    this.#emit({ type: 'replace', offset, row: emptyRow(rowAt(state, offset) as Buffer, 'x') })
    this.#emit({ type: 'state', id, state: 'unread' })
    this.#emit({ type: 'unread', unread })
    this.#append('r', this.#context.newId, tails.retract(offset, id, reason, unread))
    return 'retracted'
  }

  /** Revokes the tokens issued up to now. A revocation never moves back. */
  revoke(): void {
    this.#startLog()
    this.#emit({ type: 'revoke', before: Math.max(this.#clockMs, this.#state.revokedBefore) })
  }

  inbox(query: Pick<InboxQuery, 'states' | 'before' | 'limit'>): InboxPage | 'restarted' {
    const isOfThisLog = query.before === undefined || query.before.epoch === this.#state.epoch
    return isOfThisLog ? inboxPage(this.#state, query) : 'restarted'
  }

  find(id: string): FindResult | undefined {
    const state = this.#state
    const index = state.parked.findIndex(({ row }) => rowId(row) === id)
    if (index >= 0) return { in: 'parked', row: (state.parked[index] as Parked).row, releaseAt: this.#releaseAt(index) }
    const offset = offsetOf(state, id)
    if (offset !== undefined) return { in: 'log', item: itemAt(state, offset) as InboxItem }
    const digest = digestOffsetOf(state, id)
    return digest === undefined ? undefined : { in: 'digest', position: positionOf(state, digest) }
  }

  queue(): QueueInfo {
    return queueInfo(this.#state)
  }

  #emit(effect: Effect): void {
    evolve(this.#state, effect)
    this.effects.push(effect)
  }

  /** Gives the log its first epoch, if it has none. */
  #startLog(): void {
    if (this.#state.epoch === '') this.#resetLog()
  }

  /** Starts the log afresh: a new epoch, offsets from 1. Parked notifications, their keys, keys of recalled ones, and cursors stay. */
  #resetLog(): void {
    const state = this.#state
    this.#drop(state.top)
    this.#forgetKeys(state.top, 'log')
    for (const [key, place] of [...state.keys]) if (place.in === 'recalled') this.#emit({ type: 'key', key, place: { ...place, at: 0 } })
    if (state.unread > 0) this.#emit({ type: 'unread', unread: 0 })
    this.#emit({ type: 'reset', epoch: this.#context.newEpoch })
  }

  /**
   * Keeps the invariant "never twice" after the store lost rows: offsets that this node got, and that the log no longer reaches, are taken by
   * lost rows. If there are more than `MAX_FENCE`, the log starts afresh.
   */
  #fence(seen: LogPlace | undefined): void {
    const state = this.#state
    if (seen === undefined || seen.epoch !== state.epoch || seen.offset <= state.top) return
    if (seen.offset - state.top > MAX_FENCE) this.#resetLog()
    else while (state.top < seen.offset) this.#append('~', LOST_ID, '')
  }

  /** Appends a row, for which `#makeRoom` has made room, and does the maintenance that is due at its offset. */
  #append(kind: RowKind, id: string, tail: string): void {
    const state = this.#state
    const { rateLimit, rateWindowMs } = this.#settings
    const row = encodeRow(kind, this.#logTimeMs, id, tagAfter(state.chain, this.#logTimeMs, id), tail)
    this.#emit({ type: 'append', row, at: this.#clockMs, windowMs: rateLimit === 0 ? 0 : rateWindowMs })
    if (state.top % FORGET_EVERY === 0) this.#forgetKeys(Math.min(state.top - IDEMPOTENCY_WINDOW, state.floor), 'log', 'recalled')
    if (kind === 's' && state.changes % COALESCE_EVERY === 0) {
      for (const replaced of superseded(state)) this.#emit({ type: 'replace', ...replaced })
    }
  }

  /** Trims until one more row fits. Returns true if rows were trimmed: rows that were read before may no longer exist. */
  #makeRoom(added: 'entry' | 'change'): boolean {
    const { floor } = this.#state
    this.#trim(floorByCount(this.#state, this.#settings, added))
    return this.#state.floor > floor
  }

  /** Drops the rows up to a floor. If the unread count changes and devices are connected, a row without ids tells them the count. */
  #trim(floor: number): void {
    const state = this.#state
    const { unread } = state
    this.#drop(floor)
    if (state.unread !== unread && this.#context.listening) this.#append('s', COUNT_ID, tails.state([], 'read', state.unread))
  }

  #drop(floor: number): void {
    const state = this.#state
    if (floor === state.floor) return
    const dropped = state.states.size === 0 ? [] : state.rows.slice(0, floor - state.floor)
    const ids = dropped.filter((row) => rowKind(row) === 'n' && state.states.has(rowId(row))).map(rowId)
    this.#emit({ type: 'trim', floor, ids })
  }

  /** Forgets the keys whose place is one of `places`, up to an offset. Keys are in ascending order of it, parked ones apart. */
  #forgetKeys(offset: number, ...places: KeyPlace['in'][]): void {
    const keys: string[] = []
    for (const [key, place] of this.#state.keys) {
      if (place.in === 'parked') continue
      if (place.at > offset) break
      if (places.includes(place.in)) keys.push(key)
    }
    if (keys.length > 0) this.#emit({ type: 'forget', keys })
  }

  #freeSlots(): number {
    return freeSlots(this.#state, this.#settings, this.#clockMs)
  }

  /** Returns when the parked notification at this index is due, Unix milliseconds. */
  #releaseAt(index: number): number {
    return releaseAt(this.#state, this.#settings, this.#clockMs, index)
  }

  /** Moves times ahead of a clock that was set back to now, so that their slots are free after one window. */
  #clampLimiter(): void {
    const { limiter } = this.#state
    if ((limiter.at(-1) ?? 0) <= this.#clockMs) return
    this.#emit({ type: 'limiter', times: limiter.map((ms) => Math.min(ms, this.#clockMs)) })
  }

  /** Takes a notification from the parked ones, and notes its new place under its key. */
  #unpark(parked: Parked, to: 'log' | 'recalled', at: number): void {
    const key = rowId(parked.row).slice(0, KEY_LENGTH)
    const place = this.#state.keys.get(key)
    this.#emit({ type: 'unpark', no: parked.no })
    if (place?.in === 'parked' && place.at === parked.no) this.#emit({ type: 'key', key, place: { ...place, in: to, at } })
  }

  /** Returns the outcome of an earlier publish with the same key. */
  #replayed(body: string, place: KeyPlace): PublishResult {
    const state = this.#state
    if (place.body !== body) return { status: 'conflict' }
    if (place.in === 'log') return { status: 'accepted', ...positionOf(state, place.at), nodes: 0, replayed: true }
    const index = place.in === 'recalled' ? -1 : state.parked.findIndex((parked) => parked.no === place.at)
    return index < 0 ? { status: 'recalled', replayed: true } : { status: 'parked', releaseAt: this.#releaseAt(index), replayed: true }
  }

  #backlog(start: Start, deviceId: string, bounds: ReadBounds): Backlog {
    const expiresInMs = expiresIn(this.#state, this.#settings.retentionMs, this.#agedToMs)
    return backlogOf(this.#state, start, deviceId, bounds, expiresInMs)
  }

  #moveCursor(deviceId: string, position: Position): void {
    this.#emit({ type: 'cursor', deviceId, cursor: { position, at: this.#logTimeMs } })
  }

  #correctsTag(cursor: Position, { offset, id8 }: Position): boolean {
    return cursor.offset === offset && cursor.id8 !== id8 && id8 !== '' && positionOf(this.#state, offset).id8 === id8
  }
}
