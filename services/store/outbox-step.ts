import type { Answer } from '../protocol/index.ts'
import type { Expiry } from './due.ts'
import { CHECK_BATCH, LEASE_MS, MAX_CALLS, MAX_OVERDUE_MS, MAX_RECEIPTS, MAX_SUBSCRIPTIONS } from './limits.ts'
import type { Options } from './options.ts'
import {
  type CallOutcome,
  type CallReceipt,
  type LeasedCall,
  type LeaseResult,
  type PresenceChange,
  type PresenceEvent,
  type PushSubscription,
  type SettleCommand,
  WEBHOOK_LANE,
  type WebhookEvent
} from './outbox.ts'
import { type Call, type Check, isOfPresence } from './outbox-state.ts'
import { itemAt } from './queries.ts'
import type { ReachRule, Unless } from './reach-rule.ts'
import { notificationIn, rowId } from './row.ts'
import { type Effect, rowAt, type UserState, unreadCounts } from './state.ts'
import type { StoreSettings } from './store.ts'

/** The id of a call that is about no notification. */
const NO_ID = '-'

/** A call without the name of its user. */
type LeasedOfUser = LeasedCall extends infer Leased ? (Leased extends LeasedCall ? Omit<Leased, 'user'> : never) : never

/** The step of a user whose outbox changes. */
interface OutboxContext {
  readonly state: UserState
  readonly settings: StoreSettings
  readonly clockMs: number
  /** The user has a connection on a live node. */
  readonly isConnected: boolean
  /** The time from which the store has registered connections, Unix milliseconds. */
  readonly registersSince: number
  startLog(): void
  emit(effect: Effect): void
}

/**
 * The outbox of one user as a part of a step: checks, calls and push subscriptions. It is the specification of both drivers; `outbox.ts` says
 * what is promised.
 */
export class OutboxStep {
  readonly #step: OutboxContext
  /** Calls that the step made, and older ones that it dropped to make room for them. */
  called = 0
  dropped = 0
  readonly #lanes = new Set<string>()

  constructor(step: OutboxContext) {
    this.#step = step
  }

  /** Lanes in which the step made calls, in alphabetical order. */
  get lanes(): string[] {
    return [...this.#lanes].sort()
  }

  /** Keeps the checks of a notification that was appended at the top of the log. Returns the time of the first, Unix milliseconds; 0: none. */
  addChecks(id: string, { push, fallback }: Options): number {
    const { settings, state, clockMs } = this.#step
    let first = 0
    const add = (kind: Check['kind'], { afterMs, unless }: ReachRule): void => {
      const at = clockMs + afterMs
      this.#step.emit({ type: 'check', check: { kind, at, unless, id, offset: state.top } })
      first = first === 0 ? at : Math.min(first, at)
    }
    if (settings.push !== undefined && push !== false && state.subscriptions.size > 0) add('push', push ?? settings.push)
    if (fallback !== undefined && this.#isTold('notification.fallback')) add('fallback', fallback)
    return first
  }

  /** Removes the checks of the notification at an offset. */
  cancelChecks(offset: number): void {
    this.#cancelWhere((check) => check.offset === offset)
  }

  /** Removes what is kept of a notification that leaves the log. Its calls end when they are leased. */
  forget(offset: number): void {
    this.cancelChecks(offset)
    if (this.#step.state.receipts.has(offset)) this.#step.emit({ type: 'receipts', offset, receipts: [] })
  }

  /** Removes what is kept of notifications that leave the log: those up to an offset. */
  forgetUpTo(offset: number): void {
    this.#endOverdue()
    this.#cancelWhere((check) => check.offset <= offset)
    for (const of of [...this.#step.state.receipts.keys()].filter((of) => of <= offset))
      this.#step.emit({ type: 'receipts', offset: of, receipts: [] })
  }

  /** Carries out checks that are due, at most `CHECK_BATCH`. Returns how many. */
  carryOutChecks(): number {
    const { state, clockMs } = this.#step
    let checked = 0
    for (; checked < CHECK_BATCH; checked++) {
      const check = state.checks[0]
      if (check === undefined || check.at > clockMs) break
      this.#carryOut(check)
    }
    return checked
  }

  /** Removes the checks of a notification that was answered, and makes the call that tells of the answer. */
  noteAnswer(id: string, { action, answeredAt, deviceId }: Answer): void {
    const offset = this.#step.state.options.get(id)?.offset ?? 0
    this.cancelChecks(offset)
    if (this.#isTold('notification.answered')) this.#callWebhook('notification.answered', id, offset, { id, action, answeredAt, deviceId })
  }

  /**
   * Returns a function that makes the call which tells that a notification has expired, to be called when it is removed. The function makes no
   * call if a device has received the notification.
   */
  callOfExpiry({ id, offset }: Expiry): () => void {
    const { state } = this.#step
    const nothing = (): void => {}
    if (!this.#isTold('notification.expired')) return nothing
    const isInLog = offset !== Number.POSITIVE_INFINITY
    if (isInLog && isReceived(state, offset)) return nothing
    const row = isInLog ? rowAt(state, offset) : [...state.parked, ...state.scheduled].find(({ row }) => rowId(row) === id)?.row
    if (row === undefined) return nothing
    const { type } = notificationIn(row)
    return () => this.#callWebhook('notification.expired', id, isInLog ? offset : 0, { id, type })
  }

  /** Keeps a subscription, and moves the calls that wait for its device to its lane. */
  subscribe(subscription: PushSubscription): 'kept' | 'full' {
    this.#step.startLog()
    const { state } = this.#step
    const { deviceId, lane } = subscription
    const old = state.subscriptions.get(deviceId)
    if (old === undefined && state.subscriptions.size >= MAX_SUBSCRIPTIONS) return 'full'
    if (old !== undefined && isSame(old, subscription)) return 'kept'
    this.#step.emit({ type: 'subscribe', subscription })
    for (const call of callsTo(state, deviceId)) if (call.lane !== lane) this.#step.emit({ type: 'call', call: { ...call, lane } })
    return 'kept'
  }

  /** Removes a subscription, and the calls that wait for its device. Returns whether there was one. */
  unsubscribe(deviceId: string): boolean {
    const { state } = this.#step
    if (!state.subscriptions.has(deviceId)) return false
    this.#step.emit({ type: 'unsubscribe', deviceId })
    for (const { no } of callsTo(state, deviceId)) this.#step.emit({ type: 'endCall', no })
    return true
  }

  /** Returns the subscriptions in order of their devices. */
  subscriptions(): PushSubscription[] {
    return [...this.#step.state.subscriptions.values()].sort((one, other) => (one.deviceId < other.deviceId ? -1 : 1))
  }

  /** Leases calls of a lane that are due, those first that have been due longest. A call whose reason no longer holds is dropped instead. */
  lease(lane: string, limit: number): { calls: LeasedOfUser[]; dropped: number } {
    const { state, clockMs } = this.#step
    const due = [...state.calls.values()].filter((call) => call.lane === lane && call.at <= clockMs)
    due.sort((one, other) => one.at - other.at || one.no - other.no)
    const calls: LeasedOfUser[] = []
    let dropped = 0
    for (const call of due) {
      if (calls.length >= limit) break
      const leased = this.#leased(call)
      if (leased === undefined) {
        this.#end(call, 'dropped')
        dropped += 1
      } else {
        this.#step.emit({ type: 'call', call: { ...call, attempts: call.attempts + 1, at: clockMs + LEASE_MS } })
        calls.push(leased)
      }
    }
    return { calls, dropped }
  }

  /** Ends a call, or schedules its next attempt. */
  settle({ epoch, no, madeAt, attempt, outcome }: Omit<SettleCommand, 'user'>): boolean {
    const { state } = this.#step
    const call = state.calls.get(no)
    if (call === undefined || call.epoch !== epoch || call.madeAt !== madeAt) return false
    const subscription = state.subscriptions.get(call.deviceId)
    const isRenewed = outcome.status === 'gone' && subscription !== undefined && subscription.endpoint !== outcome.endpoint
    if ((isOfLeaseOnly(outcome) || isRenewed) && call.attempts !== attempt) return false
    if (outcome.status === 'retry') this.#step.emit({ type: 'call', call: { ...call, at: outcome.at } })
    else if (outcome.status === 'unsent')
      this.#step.emit({ type: 'call', call: { ...call, attempts: attempt - 1, at: this.#step.clockMs } })
    else if (isRenewed) this.#step.emit({ type: 'call', call: { ...call, at: this.#step.clockMs } })
    else this.#end(call, END_STATUS[outcome.status])
    if (outcome.status === 'gone' && !isRenewed) this.unsubscribe(call.deviceId)
    return true
  }

  /**
   * Notes that the user arrived on a node or left it. Returns whether that made a call. An arrival that comes late, when the user has no connection any
   * more, is ignored: the user may be erased by now.
   */
  notePresence(change: PresenceChange): boolean {
    const { settings, state, clockMs } = this.#step
    if (settings.presence === undefined) return false
    const { graceMs, checkMs } = settings.presence
    const check = state.checks.find(isOfPresence)
    if (change === 'left') {
      if (check?.kind === 'watch') this.#watch('leave', clockMs + graceMs)
    } else if (check?.kind !== 'watch' && this.#step.isConnected) {
      this.#step.startLog()
      this.#watch('watch', clockMs + checkMs)
      if (check === undefined) this.#tellPresence('user.online')
    }
    return this.called > 0
  }

  /**
   * Carries out a check of connections that is due. After `left` the grace is over. Else the node of the connections died: the grace began when the
   * user was last known to be connected, or when the store began to register connections, if that is later.
   */
  #checkPresence({ kind, at }: Check): void {
    const { settings, isConnected, registersSince, clockMs } = this.#step
    if (settings.presence === undefined) return
    const { graceMs, checkMs } = settings.presence
    if (isConnected) return this.#watch('watch', clockMs + checkMs)
    const endsAt = kind === 'leave' ? at : Math.max(at - checkMs, registersSince) + graceMs
    if (endsAt > clockMs) this.#watch('leave', endsAt)
    else this.#tellPresence('user.offline')
  }

  /** Sets the check of connections, in place of the one there was. */
  #watch(kind: 'watch' | 'leave', at: number): void {
    for (const { kind, offset } of this.#step.state.checks.filter(isOfPresence)) this.#step.emit({ type: 'endCheck', offset, kind })
    this.#step.emit({ type: 'check', check: { kind, at, unless: 'read', id: '', offset: 0 } })
  }

  #tellPresence(event: PresenceEvent): void {
    if (this.#isTold(event)) this.#callWebhook(event, NO_ID, 0, { at: this.#step.clockMs })
  }

  #cancelWhere(isCancelled: (check: Check) => boolean): void {
    const { checks } = this.#step.state
    if (checks.length === 0) return
    for (const { offset, kind } of checks.filter((check) => !isOfPresence(check) && isCancelled(check)))
      this.#step.emit({ type: 'endCheck', offset, kind })
  }

  #carryOut(check: Check): void {
    const { state } = this.#step
    const { id, kind, unless, offset } = check
    this.#step.emit({ type: 'endCheck', offset, kind })
    if (isOfPresence(check)) return this.#checkPresence(check)
    if (isLookedAt(state, id, offset, unless)) return
    const call = { id, offset, unless, data: '' }
    if (kind === 'fallback') this.#call({ ...call, lane: WEBHOOK_LANE, event: 'notification.fallback', deviceId: '' })
    else for (const { deviceId, lane } of this.subscriptions()) this.#call({ ...call, lane, event: 'push', deviceId })
  }

  /** Ends a call, and keeps the receipt if its notification is in the log. */
  #end({ no, epoch, event, id, offset, deviceId }: Call, status: CallReceipt['status']): void {
    const { state, clockMs } = this.#step
    this.#step.emit({ type: 'endCall', no })
    if (event !== 'push' && event !== 'notification.fallback') return
    if (epoch !== state.epoch || !isInLog(state, id, offset)) return
    const receipt: CallReceipt = { event, deviceId, status, at: clockMs }
    this.#step.emit({ type: 'receipts', offset, receipts: [...(state.receipts.get(offset) ?? []), receipt] })
    const count = [...state.receipts.values()].reduce((sum, { length }) => sum + length, 0)
    if (count > MAX_RECEIPTS) this.#step.emit({ type: 'receipts', offset: Math.min(...state.receipts.keys()), receipts: [] })
  }

  /** Ends the calls that nobody has leased for `MAX_OVERDUE_MS`. */
  #endOverdue(): void {
    const { state, clockMs } = this.#step
    for (const call of [...state.calls.values()]) if (call.at <= clockMs - MAX_OVERDUE_MS) this.#end(call, 'failed')
  }

  #callWebhook(event: WebhookEvent, id: string, offset: number, data: object): void {
    this.#call({ lane: WEBHOOK_LANE, event, id, offset, deviceId: '', unless: undefined, data: JSON.stringify(data) })
  }

  /** Makes a call that is due now. */
  #call(call: Pick<Call, 'lane' | 'event' | 'id' | 'offset' | 'deviceId' | 'unless' | 'data'>): void {
    const { state, clockMs } = this.#step
    this.#endOverdue()
    const [oldest] = state.calls.keys()
    if (oldest !== undefined && state.calls.size >= MAX_CALLS) {
      this.#step.emit({ type: 'endCall', no: oldest })
      this.dropped += 1
    }
    const { epoch, parkNo } = state
    this.#step.emit({ type: 'call', call: { ...call, no: parkNo + 1, epoch, attempts: 0, madeAt: clockMs, at: clockMs } })
    this.called += 1
    this.#lanes.add(call.lane)
  }

  /** Returns what the node needs to carry out a call; undefined if the reason for it no longer holds. */
  #leased({ no, epoch, lane, event, id, offset, deviceId, unless, data, attempts, madeAt, at: dueAt }: Call): LeasedOfUser | undefined {
    const { state } = this.#step
    const common = { epoch, no, lane, attempt: attempts + 1, dueAt, madeAt }
    if (event !== 'push' && event !== 'notification.fallback') return { ...common, event, data }
    const item = epoch === state.epoch && isInLog(state, id, offset) ? itemAt(state, offset) : undefined
    if (item === undefined || isLookedAt(state, id, offset, unless as Unless)) return undefined
    if (event === 'notification.fallback') return { ...common, event, item, devices: devicesOf(state, offset) }
    const subscription = state.subscriptions.get(deviceId)
    return subscription === undefined ? undefined : { ...common, event, item, ...unreadCounts(state), subscription }
  }

  #isTold(event: WebhookEvent): boolean {
    return this.#step.settings.webhookEvents?.includes(event) === true
  }
}

const END_STATUS = { done: 'sent', givenUp: 'failed', gone: 'gone' } as const

/** Returns whether the outcome of an attempt means nothing once the call was leased again. */
function isOfLeaseOnly({ status }: CallOutcome): boolean {
  return status === 'retry' || status === 'unsent' || status === 'givenUp'
}

/** Returns the result of a lease for a user. */
export function leaseResult(user: string, { calls, dropped }: { calls: LeasedOfUser[]; dropped: number }): LeaseResult {
  return { calls: calls.map((call) => ({ user, ...call })), dropped }
}

function callsTo({ calls }: UserState, deviceId: string): Call[] {
  return [...calls.values()].filter((call) => call.event === 'push' && call.deviceId === deviceId)
}

function isSame(one: PushSubscription, other: PushSubscription): boolean {
  return (Object.keys(one) as (keyof PushSubscription)[]).every((name) => one[name] === other[name])
}

/** Returns whether the row at an offset is the notification with this id. */
function isInLog(state: UserState, id: string, offset: number): boolean {
  const item = itemAt(state, offset)
  return item !== undefined && rowId(item.row) === id
}

/** Returns whether somebody has looked at a notification in the log, as far as the rule asks. An answered one was looked at. */
function isLookedAt(state: UserState, id: string, offset: number, unless: Unless): boolean {
  const current = state.states.get(id) ?? 'unread'
  if (state.answers.has(id) || current === 'read' || current === 'archived') return true
  if (unless === 'read') return false
  return current === 'seen' || (unless === 'delivered' && isReceived(state, offset))
}

/** Returns whether some device has received the row at an offset. */
function isReceived({ cursors, epoch }: UserState, offset: number): boolean {
  return [...cursors.values()].some(({ position }) => position.epoch === epoch && position.offset >= offset)
}

function devicesOf({ cursors, epoch }: UserState, offset: number): { deviceId: string; received: boolean; at: number }[] {
  const devices = [...cursors].map(([deviceId, { position, at }]) => {
    return { deviceId, received: position.epoch === epoch && position.offset >= offset, at }
  })
  return devices.sort((one, other) => (one.deviceId < other.deviceId ? -1 : 1))
}
