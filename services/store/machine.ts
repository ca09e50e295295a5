import { KEY_LENGTH } from '../ids.ts'
import type { Answer, Position } from '../protocol/index.ts'
import { findByCollapseKey, nearestTime } from './due.ts'
import { DELIVER_BATCH, RELEASE_BATCH } from './limits.ts'
import { markable, markedAfter } from './marks.ts'
import { isPlain, logOptionsOf, type Options, optionsOf } from './options.ts'
import type { OutboxStep } from './outbox-step.ts'
import { findNotification, inboxPage, offsetOf, queueInfo, replayedResult, scheduledPage } from './queries.ts'
import { worthless } from './rate.ts'
import { backlogOf, expiresIn, positionOf } from './reading.ts'
import { endOfSecond } from './revocation.ts'
import { encodeRow, LOST_ID, NO_TAG, rowId, rowTail, tails } from './row.ts'
import { countsAsUnread, type Effect, type Parked, type UserState, unreadCounts } from './state.ts'
import { Step, type StepContext } from './step.ts'
import type {
  AdvanceResult,
  AnswerCommand,
  AnswerResult,
  AttachCommand,
  Backlog,
  FindResult,
  InboxPage,
  InboxQuery,
  MarkCommand,
  MarkResult,
  PublishCommand,
  PublishResult,
  QueueInfo,
  ReadBounds,
  ReadCommand,
  RetractResult,
  ScheduledPage,
  ScheduledQuery,
  Start,
  StoreSettings
} from './store.ts'

/** A notification to append, park or schedule: its content, its options, and the idempotency keys that refer to it. */
interface Accepted {
  id: string
  tail: string
  level: number
  halfLife: number
  options: Options
  keys: { key: string; body: string }[]
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
 * - **Never twice.** Within an epoch no offset is given to two rows, not even after the store lost the first (`Step.fence`).
 * - **One of a key.** At most one notification of a collapse key is in the log, at most one is parked, and at most one is scheduled.
 * - **Never late.** A step removes what has expired before anything else: no result shows it, and no count includes it.
 * - **Trim first.** A step trims rows past retention, then those in the way of the row it appends, before it reads a count. Each count in a row or
 *   a result is therefore the count after the step.
 * - **Two clocks.** The times of rows never run backwards (`logTimeMs`); the rate limit follows the store's clock (`clockMs`).
 * - **Publish order.** While notifications are parked, a new one is parked too, after those of its urgency.
 */
export class Machine {
  readonly #step: Step
  readonly #state: UserState
  readonly #settings: StoreSettings

  constructor(state: UserState, settings: StoreSettings, context: StepContext) {
    this.#step = new Step(state, settings, context)
    this.#state = state
    this.#settings = settings
  }

  get effects(): Effect[] {
    return this.#step.effects
  }

  get outbox(): OutboxStep {
    return this.#step.outbox
  }

  /**
   * Publishes a notification. If the idempotency key is known, returns the outcome of the first publish. If the notification has expired,
   * refuses it. If `deliverAt` is in the future, schedules it. If the rate has no free slot, or others are parked, parks it, or refuses it when
   * `parkedMax` are parked. Otherwise appends it.
   */
  publish(command: PublishCommand): PublishResult {
    const state = this.#state
    const { id, keyed, tail, halfLife, options = {}, broadcastAt } = command
    if (this.#isErasedSince(broadcastAt)) return { status: 'erased' }
    const key = id.slice(0, KEY_LENGTH)
    const body = id.slice(KEY_LENGTH)
    const place = keyed ? state.keys.get(key) : undefined
    if (place !== undefined) return replayedResult(state, body, place, (index) => this.#step.releaseAt(index))
    const { level = 0, deliverAt = 0, expiresAt = 0 } = options
    if (expiresAt > 0 && expiresAt <= this.#step.clockMs) return { status: 'expired' }
    this.#step.startLog()
    const accepted: Accepted = {
      id,
      tail,
      level,
      halfLife,
      options: optionsOf(options),
      keys: keyed ? [{ key, body }] : []
    }
    return deliverAt > this.#step.clockMs ? this.#schedule(accepted, deliverAt) : this.#accept(accepted)
  }

  /**
   * Delivers the scheduled notifications that are due, releases parked ones within the rate, then carries out the checks that are due. Every step
   * has removed the expired notifications before.
   */
  advance(): AdvanceResult {
    const delivered = this.#deliver()
    const released = this.#release()
    const checked = this.outbox.carryOutChecks()
    const { expired, outbox } = this.#step
    const { called, dropped, lanes } = outbox
    const waiting = this.#state.parked.length + this.#state.scheduled.length
    return { ...released, delivered, expired, checked, called, dropped, waiting, nextAt: this.nextAt(), lanes }
  }

  /** Returns when the next release, delivery, expiry or check is due, see {@link AdvanceResult}. */
  nextAt(): number {
    const { parked, scheduled, expiries, checks } = this.#state
    // A delivery that waits for room among the parked is next when one of them is released.
    const isFull = parked.length >= this.#settings.parkedMax
    const deliverable = isFull ? scheduled.filter(({ at }) => at > this.#step.clockMs) : scheduled
    const release = this.nextRelease()
    const time = nearestTime({ expiries, scheduled: deliverable, checks: checks.filter(({ kind }) => kind !== 'watch') })
    return release > 0 && time > 0 ? Math.min(release, time) : release + time
  }

  /** Returns when the next parked notification is due, Unix milliseconds; 0 if there is none. */
  nextRelease(): number {
    return this.#state.parked.length === 0 ? 0 : this.#step.releaseAt(0)
  }

  /**
   * Fences lost offsets off, then reads the backlog. A device without a cursor gets the one it starts from, so that what it misses from
   * now on is pending for it; but not if there is a gap. If the cursor was lost while a connection is open, the device gets back the position
   * that it has received for certain, so that a gap is told again until it acknowledges. The driver keeps the registry, and asks `admit` before.
   */
  attach(command: Pick<AttachCommand, 'deviceId' | 'start' | 'received'> & ReadBounds): Backlog {
    const { deviceId, start, received } = command
    this.#step.startLog()
    this.#step.fence(command.seen)
    const backlog = this.#backlog(start, deviceId, command)
    const first = received ?? (backlog.gap === undefined ? positionOf(this.#state, backlog.start.offset) : undefined)
    if (first !== undefined && !this.#state.cursors.has(deviceId)) this.#step.moveCursor(deviceId, first)
    return backlog
  }

  /** Fences lost offsets off, then reads the backlog. */
  read(command: Pick<ReadCommand, 'position'> & ReadBounds): Backlog {
    this.#step.startLog()
    this.#step.fence(command.seen)
    return this.#backlog({ at: 'position', position: command.position }, '', command)
  }

  /** Appends a lost row, which tells every device that rows may be missing. For a driver that found damage. */
  lose(): void {
    this.#step.startLog()
    this.#step.append('~', LOST_ID, '')
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
    if (!isPassed || this.#correctsTag(cursor, position)) this.#step.moveCursor(deviceId, position)
  }

  /** Sets the state of each markable id that was not marked after the mark was made, and appends one row that names those ids. */
  mark(command: Omit<MarkCommand, 'user'>): MarkResult | 'restarted' {
    const { target, state: to, ageMs = 0 } = command
    const state = this.#state
    if ('upTo' in target && target.upTo.epoch !== state.epoch) return 'restarted'
    const markedLater = markedAfter(state, this.#step.logTimeMs - ageMs)
    const find = (): string[] => markable(state, command).filter((id) => !markedLater.has(id))
    let ids = find()
    if (ids.length > 0 && this.#step.makeRoom('change')) ids = find()
    let { unread } = state
    for (const id of ids) {
      if (countsAsUnread(state.states.get(id))) unread -= 1
      if (countsAsUnread(to)) unread += 1
      this.#step.emit({ type: 'state', id, state: to })
    }
    if (ids.length > 0) {
      this.#step.emit({ type: 'unread', unread })
      this.#step.append('s', this.#step.newId, tails.state(ids, to, unreadCounts(state)))
    }
    return { ids, ...unreadCounts(state) }
  }

  /** Answers a notification. The first answer wins: it marks the notification as read, cancels its expiry, and appends an `a` row. */
  answer({ id, action, deviceId, byLink = false }: Omit<AnswerCommand, 'user'>): AnswerResult {
    const state = this.#state
    const offered = state.options.get(id)?.actions
    if (offered === undefined) return { status: byLink || offsetOf(state, id) === undefined ? 'unknown' : 'notOffered' }
    if (!offered.includes(action)) return { status: 'notOffered' }
    const first = state.answers.get(id)
    if (first !== undefined) {
      const isSame = first.action === action && first.deviceId === deviceId
      return isSame ? { status: 'answered', answer: first, replayed: true } : { status: 'already', answer: first }
    }
    if (this.#step.makeRoom('change') && !state.options.has(id)) return { status: 'unknown' }
    const answer: Answer = { action, answeredAt: this.#step.logTimeMs, deviceId }
    this.#step.emit({ type: 'answer', id, answer })
    if (countsAsUnread(state.states.get(id))) {
      this.#step.emit({ type: 'state', id, state: 'read' })
      this.#step.emit({ type: 'unread', unread: state.unread - 1 })
    }
    this.#step.append('a', this.#step.newId, tails.answered(id, answer, unreadCounts(state)))
    this.outbox.noteAnswer(id, answer)
    return { status: 'answered', answer, replayed: false }
  }

  retract(id: string, reason: string, broadcastAt?: number, only?: 'scheduled'): RetractResult {
    if (only === 'scheduled') return this.#step.unschedule(id)
    const result = this.#step.retract(id, reason, this.#step.newId)
    if (broadcastAt !== undefined && result === 'unknown' && !this.#isErasedSince(broadcastAt)) this.#step.bar(id)
    return result
  }

  revoke(): void {
    this.#step.startLog()
    this.#step.emit({ type: 'revoke', before: Math.max(this.#step.clockMs, this.#state.revokedBefore) })
  }

  /** Removes everything of the user except the times of the erasure, which refuse older tokens and older broadcasts. */
  erase(): void {
    const at = Math.max(this.#step.clockMs, this.#state.erasedAt)
    const before = Math.max(endOfSecond(this.#step.clockMs), this.#state.revokedBefore)
    this.#step.emit({ type: 'erase', at, before, erased: { ...this.#state } })
  }

  inbox(query: Omit<InboxQuery, 'user'>): InboxPage | 'restarted' {
    const isOfThisLog = query.before === undefined || query.before.epoch === this.#state.epoch
    return isOfThisLog ? inboxPage(this.#state, query) : 'restarted'
  }

  /** Returns the scheduled notifications in order of delivery. */
  scheduled(query: Pick<ScheduledQuery, 'after' | 'limit'>): ScheduledPage {
    return scheduledPage(this.#state, query)
  }

  find(id: string): FindResult | undefined {
    return findNotification(this.#state, id, (index) => this.#step.releaseAt(index))
  }

  queue(): QueueInfo {
    return queueInfo(this.#state)
  }

  /** Appends a notification whose time has come, or parks it over the rate. */
  #accept(accepted: Accepted): PublishResult {
    const state = this.#state
    const { id, tail, options, keys } = accepted
    if (this.#mustPark()) return this.#park(accepted)
    this.#step.makeRoom('entry')
    for (const { key, body } of keys) this.#step.emit({ type: 'key', key, place: { in: 'log', at: state.top + 1, body, deliverAt: 0 } })
    const { position, checkAt } = this.#appendNotification(id, tail, options)
    return { status: 'accepted', ...position, nodes: 0, replayed: false, ...(checkAt > 0 && { checkAt }) }
  }

  /** Returns whether the user was erased after the start of a broadcast. */
  #isErasedSince(broadcastAt: number | undefined): boolean {
    const { erasedAt } = this.#state
    return broadcastAt !== undefined && erasedAt > 0 && erasedAt >= broadcastAt
  }

  #mustPark(): boolean {
    return this.#state.parked.length > 0 || this.#step.freeSlots() === 0
  }

  /** Parks a notification. It takes the turn of the parked one with the same collapse key, if there is one. */
  #park({ id, tail, level, halfLife, options, keys }: Accepted): PublishResult {
    const state = this.#state
    const turn = findByCollapseKey(state.parked, options.collapseKey)
    if (turn === undefined && state.parked.length >= this.#settings.parkedMax) {
      return { status: 'full', retryAfterMs: this.#step.releaseAt(state.parked.length) - this.#step.clockMs }
    }
    if (turn !== undefined) this.#step.emit({ type: 'unpark', no: turn.no })
    const row = encodeRow('n', this.#step.logTimeMs, id, NO_TAG, tail)
    const parked = { no: turn?.no ?? state.parkNo + 1, level: turn?.level ?? level, halfLife, options, row }
    this.#step.emit({ type: 'park', parked })
    for (const { key, body } of keys) this.#step.emit({ type: 'key', key, place: { in: 'parked', at: parked.no, body, deliverAt: 0 } })
    return { status: 'parked', releaseAt: this.#step.releaseAt(state.parked.indexOf(parked)), replayed: false }
  }

  /** Schedules a notification. It takes the turn of the scheduled one with the same collapse key, if there is one. */
  #schedule({ id, tail, level, halfLife, options, keys }: Accepted, deliverAt: number): PublishResult {
    const state = this.#state
    const turn = findByCollapseKey(state.scheduled, options.collapseKey)
    if (turn === undefined && state.scheduled.length >= this.#settings.scheduledMax) {
      return { status: 'scheduledFull', retryAfterMs: Math.max(0, (state.scheduled[0]?.at ?? 0) - this.#step.clockMs) }
    }
    if (turn !== undefined) this.#step.emit({ type: 'unschedule', no: turn.no })
    const row = encodeRow('n', this.#step.logTimeMs, id, NO_TAG, tail)
    const no = turn?.no ?? state.parkNo + 1
    this.#step.emit({ type: 'schedule', scheduled: { at: deliverAt, no, level, halfLife, options, row } })
    for (const { key, body } of keys) this.#step.emit({ type: 'key', key, place: { in: 'scheduled', at: no, body, deliverAt } })
    return { status: 'scheduled', deliverAt, replayed: false }
  }

  #deliver(): number {
    const state = this.#state
    let delivered = 0
    while (delivered < DELIVER_BATCH) {
      const next = state.scheduled[0]
      if (next === undefined || next.at > this.#step.clockMs) break
      const isFull = state.parked.length >= this.#settings.parkedMax
      if (isFull && this.#mustPark() && findByCollapseKey(state.parked, next.options.collapseKey) === undefined) break
      const keys = this.#step.keysOfTurn(next, 'scheduled')
      this.#step.emit({ type: 'unschedule', no: next.no })
      const { level, halfLife, options, row } = next
      this.#accept({
        id: rowId(row),
        tail: rowTail(row).toString(),
        level,
        halfLife,
        options,
        keys: keys.map(([key, { body }]) => ({ key, body }))
      })
      delivered += 1
    }
    return delivered
  }

  #release(): { released: number; folded: number } {
    const state = this.#state
    let released = 0
    let folded = 0
    while (state.parked.length > 0 && this.#step.freeSlots() > 0 && released < RELEASE_BATCH) {
      this.#step.makeRoom('entry')
      const run = worthless(state, this.#step.agedToMs)
      if (run.length > 0) {
        const ids = run.map(({ row }) => rowId(row))
        for (const parked of run) this.#step.removeWaiting(parked, 'parked', 'log', state.top + 1)
        this.#step.append('d', ids[0] as string, tails.digest(ids, unreadCounts(state)))
        folded += run.length
      } else {
        const parked = state.parked[0] as Parked
        this.#step.removeWaiting(parked, 'parked', 'log', state.top + 1)
        this.#appendNotification(rowId(parked.row), rowTail(parked.row).toString(), parked.options)
      }
      released += 1
    }
    return { released, folded }
  }

  /**
   * Appends a notification, for which `makeRoom` has made room, in place of the one with the same collapse key. If that one was not unread, devices
   * that do not know it cannot tell which counts grow, so a row tells them. Also returns the time of its first check, Unix milliseconds; 0 if it has
   * none.
   */
  #appendNotification(id: string, tail: string, options: Options): { position: Position; checkAt: number } {
    const state = this.#state
    const { unseen } = unreadCounts(state)
    const replaced = options.collapseKey === '' ? undefined : state.collapsed.get(options.collapseKey)
    if (replaced !== undefined) this.#step.remove(replaced, offsetOf(state, replaced) as number)
    const wasUnseen = unreadCounts(state).unseen < unseen
    this.#step.append('n', id, replaced === undefined ? tail : tails.replacing(replaced, tail))
    const position = positionOf(state, state.top)
    if (!isPlain(options)) this.#step.emit({ type: 'options', id, options: logOptionsOf(options, state.top) })
    const checkAt = this.outbox.addChecks(id, options)
    if (replaced !== undefined && !wasUnseen) this.#step.tellUnread()
    return { position, checkAt }
  }

  #backlog(start: Start, deviceId: string, bounds: ReadBounds): Backlog {
    const expiresInMs = expiresIn(this.#state, this.#settings.retentionMs, this.#step.agedToMs)
    return backlogOf(this.#state, start, deviceId, bounds, expiresInMs)
  }

  #correctsTag(cursor: Position, { offset, id8 }: Position): boolean {
    return cursor.offset === offset && cursor.id8 !== id8 && id8 !== '' && positionOf(this.#state, offset).id8 === id8
  }
}
