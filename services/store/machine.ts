import { KEY_LENGTH } from '../ids.ts'
import type { Position } from '../protocol/index.ts'
import { markable, markableUpTo, markedAfter } from './marks.ts'
import { freeSlots, releaseAt, worthless } from './rate.ts'
import { backlogOf, expiresIn, positionOf } from './reading.ts'
import { floorByAge, floorByCount, superseded } from './retention.ts'
import { isRevoked } from './revocation.ts'
import { COUNT_ID, digestIn, emptyRow, encodeRow, LOST_ID, NO_TAG, type RowKind, rowId, rowKind, rowTail, tagAfter, tails } from './row.ts'
import { countsAsUnread, type Effect, evolve, type KeyPlace, type Parked, rowAt, type UserState } from './state.ts'
import {
  type AttachCommand,
  type Backlog,
  COALESCE_EVERY,
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

/** What a step is given beside its arguments. */
export interface StepContext {
  /**
   * The store's clock, Unix milliseconds. If the clock ran back, rows take the log's latest time; the rate limit does not wait for it.
   */
  now: number
  /** The time up to which rows have aged: earlier than `now` after a step of the clock, which is not age. Default: `now`. */
  agedTo?: number
  /** The log's identity, if it has to be started afresh. */
  newEpoch: string
  /** 20 characters for the row of a mark or a retraction. */
  newId: string
  /** A connection of the user is registered: devices are told when trimming changes the unread count. */
  listening: boolean
}

/**
 * The log of one user as a deterministic state machine: the reference every driver must be equal to.
 *
 * Each method is one step. It changes `state` through `evolve` alone, leaves in `effects` what it changed, and depends on
 * nothing but the state, its arguments and its context, so that a step can be stored, replayed and compared.
 * The rows among the effects (`append`) are the wake-ups.
 *
 * Each step trims first: rows past retention, then those for which there is no room beside the row to come. So every count that
 * a row or an answer tells is the count after the step.
 */
export class Machine {
  readonly effects: Effect[] = []
  readonly #state: UserState
  readonly #settings: StoreSettings
  readonly #now: number
  readonly #wall: number
  readonly #agedTo: number
  readonly #context: StepContext

  constructor(state: UserState, settings: StoreSettings, context: StepContext) {
    this.#state = state
    this.#settings = settings
    this.#now = Math.max(context.now, state.lastMs)
    this.#wall = context.now
    this.#agedTo = Math.min(context.agedTo ?? context.now, context.now)
    this.#context = context
    this.#trim(floorByAge(state, settings, this.#agedTo))
    this.#clampLimiter()
  }

  publish(command: PublishCommand): PublishResult {
    const state = this.#state
    const key = command.id.slice(0, KEY_LENGTH)
    const place = command.keyed ? state.keys.get(key) : undefined
    if (place !== undefined) return this.#replayed(command.id, place)
    this.#begin()
    const body = command.id.slice(KEY_LENGTH)
    if (state.parked.length > 0 || freeSlots(state, this.#settings, this.#wall) === 0) {
      const releaseAt = this.#releaseAt(state.parked.length)
      if (state.parked.length >= this.#settings.parkedMax) return { status: 'full', retryAfterMs: releaseAt - this.#wall }
      const row = encodeRow('n', this.#now, command.id, NO_TAG, command.tail)
      const parked = { no: state.parkNo + 1, halfLife: command.halfLife, row }
      this.#emit({ type: 'park', parked })
      if (command.keyed) this.#emit({ type: 'key', key, place: { in: 'parked', at: parked.no, body } })
      return { status: 'parked', releaseAt, replayed: false }
    }
    this.#makeRoom('entry')
    if (command.keyed) this.#emit({ type: 'key', key, place: { in: 'log', at: state.top + 1, body } })
    this.#append('n', command.id, command.tail)
    return { status: 'accepted', ...positionOf(state, state.top), nodes: 0, replayed: false }
  }

  release(): ReleaseResult {
    const state = this.#state
    let released = 0
    let folded = 0
    while (state.parked.length > 0 && freeSlots(state, this.#settings, this.#wall) > 0 && released < RELEASE_BATCH) {
      this.#makeRoom('entry')
      const run = worthless(state, this.#agedTo)
      if (run.length > 0) {
        const ids = run.map((parked) => rowId(parked.row))
        for (const parked of run) this.#leave(parked, 'log', state.top + 1)
        this.#append('d', ids[0] as string, tails.digest(ids, state.unread))
        folded += run.length
      } else {
        const parked = state.parked[0] as Parked
        this.#leave(parked, 'log', state.top + 1)
        this.#append('n', rowId(parked.row), rowTail(parked.row).toString())
      }
      released += 1
    }
    return { released, folded, left: state.parked.length, nextAt: this.nextAt() }
  }

  /** When the next parked notification is due, Unix milliseconds; 0 when none is left. */
  nextAt(): number {
    return this.#state.parked.length === 0 ? 0 : this.#releaseAt(0)
  }

  /**
   * The log's part of an attach; 'revoked' when the token is too old. Who is registered is the driver's business.
   * A device that has no cursor gets the one it starts from: what it misses from now on is pending for it. Where it cannot start there
   * is a gap, and nothing is written.
   */
  attach(command: Pick<AttachCommand, 'deviceId' | 'start' | 'issuedAt' | 'seen' | 'limit' | 'bytes'>): Backlog | 'revoked' {
    if (isRevoked(command.issuedAt, this.#state.revokedBefore)) return 'revoked'
    this.#begin()
    this.#fence(command.seen)
    const { deviceId, start } = command
    const backlog = this.#backlog(start, deviceId, command)
    if (backlog.gap === undefined && !this.#state.cursors.has(deviceId)) {
      const position = positionOf(this.#state, backlog.start.offset)
      this.#emit({ type: 'cursor', deviceId, cursor: { position, at: this.#now } })
    }
    return backlog
  }

  read(command: Pick<ReadCommand, 'position' | 'seen' | 'limit' | 'bytes'>): Backlog {
    this.#begin()
    this.#fence(command.seen)
    return this.#backlog({ at: 'position', position: command.position }, '', command)
  }

  /** Says to every device that rows may be missing, by one that stands for them: the store was damaged. */
  lose(): void {
    this.#begin()
    this.#append('~', LOST_ID, '')
  }

  ack(deviceId: string, position: Position): void {
    const state = this.#state
    if (position.epoch !== state.epoch || position.offset > state.top) return
    const held = state.cursors.get(deviceId)?.position
    if (held?.epoch === position.epoch && held.offset >= position.offset && !this.#corrects(held, position)) return
    this.#emit({ type: 'cursor', deviceId, cursor: { position, at: this.#now } })
  }

  mark(command: Pick<MarkCommand, 'target' | 'state' | 'ageMs'>): MarkResult | 'restarted' {
    const state = this.#state
    const { target, ageMs = 0 } = command
    if ('upTo' in target && target.upTo.epoch !== state.epoch) return 'restarted'
    const later = markedAfter(state, this.#now - ageMs)
    const find = (): string[] => {
      const ids = 'ids' in target ? markable(state, target.ids, command.state) : markableUpTo(state, target.upTo, command.state)
      return ids.filter((id) => !later.has(id))
    }
    let ids = find()
    if (ids.length > 0 && this.#makeRoom('change')) ids = find()
    let unread = state.unread
    for (const id of ids) {
      if (countsAsUnread(state.states.get(id))) unread -= 1
      if (countsAsUnread(command.state)) unread += 1
      this.#emit({ type: 'state', id, state: command.state })
    }
    if (ids.length > 0) {
      this.#emit({ type: 'unread', unread })
      this.#append('s', this.#context.newId, tails.state(ids, command.state, unread))
    }
    return { ids, unread: state.unread }
  }

  retract(id: string, reason: string): RetractResult {
    const state = this.#state
    const parked = state.parked.find((candidate) => rowId(candidate.row) === id)
    if (parked !== undefined) {
      this.#leave(parked, 'recalled', state.top)
      return 'unparked'
    }
    let index = this.#indexOf(id)
    if (index >= 0 && this.#makeRoom('change')) index = this.#indexOf(id)
    if (index < 0) return this.#digestOf(id) > 0 ? 'folded' : 'unknown'
    const offset = state.floor + 1 + index
    const row = state.rows[index] as Buffer
    const unread = state.unread - (countsAsUnread(state.states.get(id)) ? 1 : 0)
    this.#emit({ type: 'replace', offset, row: emptyRow(row, 'x') })
    this.#emit({ type: 'state', id, state: 'unread' })
    this.#emit({ type: 'unread', unread })
    this.#append('r', this.#context.newId, tails.retract(offset, id, reason, unread))
    return 'retracted'
  }

  revoke(): void {
    this.#begin()
    this.#emit({ type: 'revoke', before: Math.max(this.#wall, this.#state.revokedBefore) })
  }

  inbox(query: Pick<InboxQuery, 'states' | 'before' | 'limit'>): InboxPage | 'restarted' {
    const state = this.#state
    if (query.before !== undefined && query.before.epoch !== state.epoch) return 'restarted'
    const items: InboxItem[] = []
    let offset = Math.min(state.top, (query.before?.offset ?? state.top + 1) - 1)
    for (; offset > state.floor; offset--) {
      const item = this.#item(offset)
      if (item === undefined || (query.states !== undefined && !query.states.includes(item.state))) continue
      if (items.length === query.limit) break
      items.push(item)
    }
    const last = items.at(-1)
    const next = offset > state.floor && last !== undefined ? { epoch: state.epoch, offset: last.offset } : undefined
    return { items, next, unread: state.unread }
  }

  find(id: string): Found | undefined {
    const state = this.#state
    const at = state.parked.findIndex((candidate) => rowId(candidate.row) === id)
    if (at >= 0) return { in: 'parked', row: (state.parked[at] as Parked).row, releaseAt: this.#releaseAt(at) }
    const index = this.#indexOf(id)
    if (index >= 0) return { in: 'log', item: this.#item(state.floor + 1 + index) as InboxItem }
    const digest = this.#digestOf(id)
    return digest > 0 ? { in: 'digest', position: positionOf(state, digest) } : undefined
  }

  queue(): QueueInfo {
    const state = this.#state
    const devices = [...state.cursors].map(([deviceId, { position, at }]) => {
      const from = position.epoch === state.epoch ? Math.max(position.offset, state.floor) : state.floor
      return { deviceId, position, lag: state.top - from, at }
    })
    devices.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
    const first = state.top > state.floor ? positionOf(state, state.floor + 1) : { epoch: state.epoch, offset: 0, id8: '' }
    return { head: positionOf(state, state.top), first, parked: state.parked.length, unread: state.unread, devices }
  }

  /** A cursor at a row that was lost has another tag than the row that took its place: an acknowledgement of that row puts it right. */
  #corrects(held: Position, position: Position): boolean {
    const { id8 } = position
    return held.offset === position.offset && held.id8 !== id8 && id8 !== '' && positionOf(this.#state, position.offset).id8 === id8
  }

  #emit(effect: Effect): void {
    evolve(this.#state, effect)
    this.effects.push(effect)
  }

  #begin(): void {
    if (this.#state.epoch === '') this.#reset()
  }

  /** Appends a row for which `#makeRoom` made room. */
  #append(kind: RowKind, id: string, tail: string): void {
    const state = this.#state
    const { rateLimit, rateWindowMs } = this.#settings
    const row = encodeRow(kind, this.#now, id, tagAfter(state.chain, this.#now, id), tail)
    this.#emit({ type: 'append', row, at: this.#wall, windowMs: rateLimit === 0 ? 0 : rateWindowMs })
    if (state.top % FORGET_EVERY === 0) this.#forget(Math.min(state.top - IDEMPOTENCY_WINDOW, state.floor), 'log', 'recalled')
    if (kind === 's' && state.changes % COALESCE_EVERY === 0) {
      for (const replaced of superseded(state)) this.#emit({ type: 'replace', ...replaced })
    }
  }

  /** Trims so that one more row fits; returns whether any left. */
  #makeRoom(added: 'entry' | 'change'): boolean {
    const { floor } = this.#state
    this.#trim(floorByCount(this.#state, this.#settings, added))
    return this.#state.floor > floor
  }

  #reset(): void {
    const state = this.#state
    this.#drop(state.top)
    this.#forget(state.top, 'log')
    for (const [key, place] of [...state.keys]) if (place.in === 'recalled') this.#emit({ type: 'key', key, place: { ...place, at: 0 } })
    if (state.unread > 0) this.#emit({ type: 'unread', unread: 0 })
    this.#emit({ type: 'reset', epoch: this.#context.newEpoch })
  }

  /** Drops the rows up to the floor. If that changes the unread count, a row of its own tells the devices that are connected. */
  #trim(floor: number): void {
    const state = this.#state
    const { unread } = state
    this.#drop(floor)
    if (state.unread !== unread && this.#context.listening) this.#append('s', COUNT_ID, tails.state([], 'read', state.unread))
  }

  #drop(floor: number): void {
    const state = this.#state
    if (floor === state.floor) return
    const leaving = state.states.size === 0 ? [] : state.rows.slice(0, floor - state.floor)
    const ids = leaving.filter((row) => rowKind(row) === 'n' && state.states.has(rowId(row))).map(rowId)
    this.#emit({ type: 'trim', floor, ids })
  }

  /** Forgets the keys in these places up to the offset. */
  #forget(offset: number, ...places: KeyPlace['in'][]): void {
    const keys: string[] = []
    for (const [key, place] of this.#state.keys) {
      if (place.in === 'parked') continue
      if (place.at > offset) break
      if (places.includes(place.in)) keys.push(key)
    }
    if (keys.length > 0) this.#emit({ type: 'forget', keys })
  }

  /** Offsets this node got and the store no longer has are marked lost, so that they are never handed out twice. */
  #fence(seen: Seen | undefined): void {
    const state = this.#state
    if (seen === undefined || seen.epoch !== state.epoch || seen.offset <= state.top) return
    if (seen.offset - state.top > MAX_FENCE) {
      this.#reset()
      return
    }
    while (state.top < seen.offset) this.#append('~', LOST_ID, '')
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

  /** Takes a notification off the parked ones; its key follows it. */
  #leave(parked: Parked, to: 'log' | 'recalled', at: number): void {
    const key = rowId(parked.row).slice(0, KEY_LENGTH)
    const place = this.#state.keys.get(key)
    this.#emit({ type: 'unpark', no: parked.no })
    if (place?.in === 'parked' && place.at === parked.no) this.#emit({ type: 'key', key, place: { ...place, in: to, at } })
  }

  #replayed(id: string, place: KeyPlace): PublishResult {
    const state = this.#state
    if (place.body !== id.slice(KEY_LENGTH)) return { status: 'conflict' }
    if (place.in === 'log') return { status: 'accepted', ...positionOf(state, place.at), nodes: 0, replayed: true }
    const index = place.in === 'recalled' ? -1 : state.parked.findIndex((parked) => parked.no === place.at)
    return index < 0 ? { status: 'recalled', replayed: true } : { status: 'parked', releaseAt: this.#releaseAt(index), replayed: true }
  }

  #backlog(start: Start, deviceId: string, bounds: Pick<ReadCommand, 'limit' | 'bytes'>): Backlog {
    const expiresInMs = expiresIn(this.#state, this.#settings.retentionMs, this.#agedTo)
    return backlogOf(this.#state, start, deviceId, bounds, expiresInMs)
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
    const index = this.#state.rows.findIndex((row) => rowKind(row) === 'd' && digestIn(row).ids.includes(id))
    return index < 0 ? 0 : this.#state.floor + 1 + index
  }
}
