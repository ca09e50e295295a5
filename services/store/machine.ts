import { KEY_LENGTH } from '../ids.ts'
import { formatEventId, type GapReason, type Position } from '../protocol/index.ts'
import { markable, markableUpTo, markedAfter } from './marks.ts'
import { freeSlots, releaseAt, worthless } from './rate.ts'
import { encodeRow, idsIn, LOST_ID, rowId, rowId8, rowKind, rowTail, rowTime, tails } from './row.ts'
import { countsAsUnread, type Effect, evolve, type Parked, rowAt, statesOf, type UserState } from './state.ts'
import {
  type AttachCommand,
  type Backlog,
  FORGET_EVERY,
  type Found,
  IDEMPOTENCY_WINDOW,
  type InboxItem,
  type InboxPage,
  type InboxQuery,
  MAX_FENCE,
  type MarkCommand,
  type MarkResult,
  type PublishCommand,
  type PublishResult,
  type QueueInfo,
  RELEASE_BATCH,
  type ReadCommand,
  type ReleaseResult,
  type RetractResult,
  type Seen,
  type Start,
  type StoreSettings
} from './store.ts'

/**
 * The log of one user as a deterministic state machine: the reference every driver must be equal to.
 *
 * Each method is one step. It changes `state` through `evolve` alone, leaves in `effects` what it changed, and depends on
 * nothing but the state, its arguments, `now` and the two fresh identities it was given, so that a step can be
 * stored, replayed and compared. The rows among the effects (`append`) are the wake-ups.
 */
export class Machine {
  readonly effects: Effect[] = []
  readonly #state: UserState
  readonly #settings: StoreSettings
  readonly #now: number
  readonly #wall: number
  readonly #agedTo: number
  readonly #newEpoch: string
  readonly #newId: string

  /**
   * @param now the store's clock, Unix milliseconds. Rows take the log's latest time if the clock ran back; the rate limit does not wait for it
   * @param newEpoch the log's identity, should it have to be started afresh
   * @param newId 20 characters for the row of a mark or a retraction
   * @param agedTo the time up to which rows have aged: earlier than `now` after a step of the clock, which is not age
   */
  constructor(state: UserState, settings: StoreSettings, now: number, newEpoch: string, newId: string, agedTo = now) {
    this.#state = state
    this.#settings = settings
    this.#now = Math.max(now, state.lastMs)
    this.#wall = now
    this.#agedTo = Math.min(agedTo, now)
    this.#newEpoch = newEpoch
    this.#newId = newId
    this.#expire()
    this.#clampLimiter()
  }

  publish(command: PublishCommand): PublishResult {
    const state = this.#state
    const key = command.id.slice(0, KEY_LENGTH)
    const place = command.keyed ? state.keys.get(key) : undefined
    if (place !== undefined) return this.#replayed(command.id, place)
    this.#begin()
    const row = encodeRow('n', this.#now, command.id, command.tail)
    if (state.parked.length > 0 || freeSlots(state, this.#settings, this.#wall) === 0) {
      const releaseAt = this.#releaseAt(state.parked.length)
      if (state.parked.length >= this.#settings.parkedMax) return { status: 'full', retryAfterMs: releaseAt - this.#wall }
      const parked = { no: state.parkNo + 1, halfLife: command.halfLife, row }
      this.#emit({ type: 'park', parked })
      if (command.keyed) this.#emit({ type: 'key', key, place: -parked.no })
      return { status: 'parked', releaseAt, replayed: false }
    }
    if (command.keyed) this.#emit({ type: 'key', key, place: state.top + 1 })
    this.#append(row)
    return { status: 'accepted', epoch: state.epoch, offset: state.top, nodes: 0, replayed: false }
  }

  release(): ReleaseResult {
    const state = this.#state
    let released = 0
    let folded = 0
    while (state.parked.length > 0 && freeSlots(state, this.#settings, this.#wall) > 0 && released < RELEASE_BATCH) {
      const run = worthless(state, this.#agedTo)
      if (run.length > 0) {
        const ids = run.map((parked) => rowId(parked.row))
        for (const parked of run) this.#leave(parked)
        this.#append(encodeRow('d', this.#now, ids[0] as string, tails.digest(ids, state.unread)))
        folded += run.length
      } else {
        const parked = state.parked[0] as Parked
        this.#leave(parked)
        this.#append(encodeRow('n', this.#now, rowId(parked.row), rowTail(parked.row).toString()))
      }
      released += 1
    }
    return { released, folded, left: state.parked.length, nextAt: this.nextAt() }
  }

  /** When the next parked notification is due, Unix milliseconds; 0 when none is left. */
  nextAt(): number {
    return this.#state.parked.length === 0 ? 0 : this.#releaseAt(0)
  }

  /** The log's part of an attach; 'revoked' when the token is too old. Who is registered is the driver's business. */
  attach(command: Pick<AttachCommand, 'deviceId' | 'start' | 'issuedAt' | 'seen' | 'limit' | 'bytes'>): Backlog | 'revoked' {
    if (this.#state.revokedBefore > 0 && command.issuedAt <= this.#state.revokedBefore) return 'revoked'
    this.#begin()
    this.#fence(command.seen)
    return this.#backlog(command.start, command.deviceId, command)
  }

  read(command: Pick<ReadCommand, 'position' | 'seen' | 'limit' | 'bytes'>): Backlog {
    this.#begin()
    this.#fence(command.seen)
    return this.#backlog({ at: 'position', position: command.position }, '', command)
  }

  /** Says to every device that rows may be missing, by one that stands for them: the store was damaged. */
  lose(): void {
    this.#begin()
    this.#append(encodeRow('~', this.#now, LOST_ID, ''))
  }

  ack(deviceId: string, position: Position): void {
    const state = this.#state
    if (position.epoch !== state.epoch || position.offset > state.top) return
    const held = state.cursors.get(deviceId)?.position
    if (held !== undefined && held.epoch === position.epoch && held.offset >= position.offset) return
    this.#emit({ type: 'cursor', deviceId, cursor: { position, at: this.#now } })
  }

  mark(command: Pick<MarkCommand, 'target' | 'state' | 'ageMs'>): MarkResult {
    const state = this.#state
    const { target, ageMs = 0 } = command
    const wanted = 'ids' in target ? markable(state, target.ids, command.state) : markableUpTo(state, target.upTo, command.state)
    const later = markedAfter(state, this.#now - ageMs)
    const ids = wanted.filter((id) => !later.has(id))
    let unread = state.unread
    for (const id of ids) {
      if (countsAsUnread(state.states.get(id))) unread -= 1
      if (countsAsUnread(command.state)) unread += 1
      this.#emit({ type: 'state', id, state: command.state })
    }
    if (ids.length > 0) {
      this.#emit({ type: 'unread', unread })
      this.#append(encodeRow('s', this.#now, this.#newId, tails.state(ids, command.state, unread)))
    }
    return { ids, unread: state.unread }
  }

  retract(id: string, reason: string): RetractResult {
    const state = this.#state
    const parked = state.parked.find((candidate) => rowId(candidate.row) === id)
    if (parked !== undefined) {
      this.#emit({ type: 'unpark', no: parked.no })
      return 'unparked'
    }
    const index = this.#indexOf(id)
    if (index < 0) return this.#digestOf(id) > 0 ? 'folded' : 'unknown'
    const offset = state.floor + 1 + index
    const row = state.rows[index] as Buffer
    const unread = state.unread - (countsAsUnread(state.states.get(id)) ? 1 : 0)
    this.#emit({ type: 'replace', offset, row: encodeRow('x', rowTime(row), id, '') })
    this.#emit({ type: 'state', id, state: 'unread' })
    this.#emit({ type: 'unread', unread })
    this.#append(encodeRow('r', this.#now, this.#newId, tails.retract(offset, id, reason, unread)))
    return 'retracted'
  }

  revoke(): void {
    this.#begin()
    this.#emit({ type: 'revoke', before: Math.max(this.#wall, this.#state.revokedBefore) })
  }

  inbox(query: Pick<InboxQuery, 'states' | 'before' | 'limit'>): InboxPage {
    const state = this.#state
    const items: InboxItem[] = []
    let offset = Math.min(state.top, (query.before ?? state.top + 1) - 1)
    for (; offset > state.floor; offset--) {
      const item = this.#item(offset)
      if (item === undefined || (query.states !== undefined && !query.states.includes(item.state))) continue
      if (items.length === query.limit) break
      items.push(item)
    }
    return { items, next: offset > state.floor ? (items.at(-1)?.offset as number) : undefined, unread: state.unread }
  }

  find(id: string): Found | undefined {
    const state = this.#state
    const at = state.parked.findIndex((candidate) => rowId(candidate.row) === id)
    if (at >= 0) return { in: 'parked', row: (state.parked[at] as Parked).row, releaseAt: this.#releaseAt(at) }
    const index = this.#indexOf(id)
    if (index >= 0) return { in: 'log', item: this.#item(state.floor + 1 + index) as InboxItem }
    const digest = this.#digestOf(id)
    return digest > 0 ? { in: 'digest', position: this.#positionOf(digest) } : undefined
  }

  queue(): QueueInfo {
    const state = this.#state
    const devices = [...state.cursors].map(([deviceId, { position, at }]) => {
      const from = position.epoch === state.epoch ? Math.max(position.offset, state.floor) : state.floor
      return { deviceId, position, lag: state.top - from, at }
    })
    devices.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
    const first = state.top > state.floor ? this.#positionOf(state.floor + 1) : { epoch: state.epoch, offset: 0, id8: '' }
    return { head: this.#positionOf(state.top), first, parked: state.parked.length, unread: state.unread, devices }
  }

  #emit(effect: Effect): void {
    evolve(this.#state, effect)
    this.effects.push(effect)
  }

  #begin(): void {
    if (this.#state.epoch === '') this.#reset()
  }

  #append(row: Buffer): void {
    const { rateLimit, rateWindowMs, maxEntries } = this.#settings
    this.#emit({ type: 'append', row, at: this.#wall, windowMs: rateLimit === 0 ? 0 : rateWindowMs })
    if (this.#state.top % FORGET_EVERY === 0) this.#forget(this.#state.top - IDEMPOTENCY_WINDOW)
    if (this.#state.top - this.#state.floor > maxEntries + Math.floor(maxEntries / 10)) this.#trim(this.#state.top - maxEntries)
  }

  #reset(): void {
    this.#trim(this.#state.top)
    this.#forget(this.#state.top)
    if (this.#state.unread > 0) this.#emit({ type: 'unread', unread: 0 })
    this.#emit({ type: 'reset', epoch: this.#newEpoch })
  }

  #trim(floor: number): void {
    const state = this.#state
    if (floor === state.floor) return
    const leaving = state.states.size === 0 ? [] : state.rows.slice(0, floor - state.floor)
    const ids = leaving.filter((row) => rowKind(row) === 'n' && state.states.has(rowId(row))).map(rowId)
    this.#emit({ type: 'trim', floor, ids })
  }

  /** Forgets the keys of notifications up to the offset. */
  #forget(offset: number): void {
    const keys: string[] = []
    for (const [key, place] of this.#state.keys) if (place > 0 && place <= offset) keys.push(key)
    if (keys.length > 0) this.#emit({ type: 'forget', keys })
  }

  /** Rows past retention go first thing in every step, whatever it is. */
  #expire(): void {
    const state = this.#state
    let floor = state.floor
    for (const row of state.rows) {
      if (rowTime(row) > this.#agedTo - this.#settings.retentionMs) break
      floor += 1
    }
    this.#trim(floor)
  }

  /** Offsets this node got and the store no longer has are marked lost, so that they are never handed out twice. */
  #fence(seen: Seen | undefined): void {
    const state = this.#state
    if (seen === undefined || seen.epoch !== state.epoch || seen.offset <= state.top) return
    if (seen.offset - state.top > MAX_FENCE) {
      this.#reset()
      return
    }
    while (state.top < seen.offset) this.#append(encodeRow('~', this.#now, LOST_ID, ''))
  }

  #releaseAt(index: number): number {
    return releaseAt(this.#state, this.#settings, this.#wall, index)
  }

  /** Times ahead of a clock that was set back count as now, so that their slots are free again after one window. */
  #clampLimiter(): void {
    const { limiter } = this.#state
    if ((limiter.at(-1) ?? 0) <= this.#wall) return
    this.#emit({ type: 'limiter', times: limiter.map((ms) => Math.min(ms, this.#wall)) })
  }

  /** Takes a notification off the parked ones; its key follows it to the offset that comes next. */
  #leave(parked: Parked): void {
    const key = rowId(parked.row).slice(0, KEY_LENGTH)
    this.#emit({ type: 'unpark', no: parked.no })
    if (this.#state.keys.get(key) === -parked.no) this.#emit({ type: 'key', key, place: this.#state.top + 1 })
  }

  #replayed(id: string, place: number): PublishResult {
    const state = this.#state
    if (place > 0) {
      const row = rowAt(state, place)
      if (row !== undefined && (rowKind(row) === 'n' || rowKind(row) === 'x') && rowId(row) !== id) return { status: 'conflict' }
      return { status: 'accepted', epoch: state.epoch, offset: place, nodes: 0, replayed: true }
    }
    const index = state.parked.findIndex((parked) => parked.no === -place)
    if (index < 0) return { status: 'parked', releaseAt: this.#wall, replayed: true }
    if (rowId((state.parked[index] as Parked).row) !== id) return { status: 'conflict' }
    return { status: 'parked', releaseAt: this.#releaseAt(index), replayed: true }
  }

  #backlog(start: Start, deviceId: string, bounds: Pick<ReadCommand, 'limit' | 'bytes'>): Backlog {
    const state = this.#state
    const { from, gap, resumed } = this.#locate(start, deviceId)
    const rows = this.#rowsAfter(from, bounds)
    return {
      epoch: state.epoch,
      top: state.top,
      topId8: this.#positionOf(state.top).id8,
      start: gap === undefined && start.at === 'position' ? start.position : this.#positionOf(from),
      resumed,
      gap,
      rows,
      states: statesOf(state, rows),
      unread: state.unread,
      parked: state.parked.length
    }
  }

  #rowsAfter(offset: number, { limit, bytes = Number.POSITIVE_INFINITY }: Pick<ReadCommand, 'limit' | 'bytes'>): Buffer[] {
    const { rows, floor } = this.#state
    const first = offset - floor
    let end = first
    for (let sum = 0; end < rows.length && end - first < limit && sum < bytes; end++) sum += (rows[end] as Buffer).length
    return rows.slice(first, end)
  }

  #locate(start: Start, deviceId: string): { from: number; gap: Backlog['gap']; resumed: boolean } {
    const state = this.#state
    if (start.at === 'position') return { ...this.#continue(start.position), resumed: true }
    if (start.at === 'latest') return { from: state.top, gap: undefined, resumed: false }
    if (start.at === 'unknown') return { ...this.#gap('unknown_id', '', this.#eventId(state.floor), 0), resumed: true }
    const cursor = start.at === 'device' ? state.cursors.get(deviceId) : undefined
    if (cursor !== undefined) return { ...this.#continue(cursor.position), resumed: true }
    let from = state.floor
    if (start.at === 'device') {
      for (const { position } of state.cursors.values()) {
        if (position.epoch === state.epoch && position.offset <= state.top) from = Math.max(from, position.offset)
      }
    }
    return { from, gap: undefined, resumed: false }
  }

  #continue(position: Position): { from: number; gap: Backlog['gap'] } {
    const state = this.#state
    const given = formatEventId(position)
    if (position.epoch !== state.epoch) return this.#gap('epoch', given, this.#eventId(state.floor), 0)
    if (position.offset > state.top) return this.#gap('ahead', this.#eventId(state.top + 1), given, position.offset - state.top)
    if (position.offset < state.floor) {
      return this.#gap('trimmed', this.#eventId(position.offset + 1), this.#eventId(state.floor), state.floor - position.offset)
    }
    const row = rowAt(state, position.offset)
    if (row !== undefined && position.id8 !== '' && rowId8(row) !== position.id8) {
      return this.#gap('fork', given, this.#eventId(state.top), 0)
    }
    return { from: position.offset, gap: undefined }
  }

  #gap(reason: GapReason, from: string, to: string, count: number): { from: number; gap: Backlog['gap'] } {
    return { from: this.#state.floor, gap: { reason, from, to, count } }
  }

  /** An event id without its last part. */
  #eventId(offset: number): string {
    return formatEventId({ epoch: this.#state.epoch, offset, id8: '' })
  }

  #positionOf(offset: number): Position {
    const row = rowAt(this.#state, offset)
    return { epoch: this.#state.epoch, offset, id8: row === undefined ? '' : rowId8(row) }
  }

  #item(offset: number): InboxItem | undefined {
    const row = rowAt(this.#state, offset) as Buffer
    if (rowKind(row) !== 'n') return undefined
    return { epoch: this.#state.epoch, offset, row, state: this.#state.states.get(rowId(row)) ?? 'unread' }
  }

  #indexOf(id: string): number {
    return this.#state.rows.findIndex((row) => rowKind(row) === 'n' && rowId(row) === id)
  }

  /** The offset of the digest that names the id; 0: none does. */
  #digestOf(id: string): number {
    const index = this.#state.rows.findIndex((row) => rowKind(row) === 'd' && idsIn(row).includes(id))
    return index < 0 ? 0 : this.#state.floor + 1 + index
  }
}
