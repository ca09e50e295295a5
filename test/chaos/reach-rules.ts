import type { Unless } from '../../services/store/store.ts'
import type { Journal, OwedPublish, ReachJournal, ReceivedCall, UserLog, Window } from './journal.ts'
import { deadlineOf } from './option-rules.ts'

export type ReachRule = 'owed' | 'unwanted' | 'callId' | 'erased' | 'ended'

type Report = (rule: ReachRule, text: string) => void
type Latest = (at: number) => number

/** Time by which the clocks of a row and of a check may differ, milliseconds: rows never go back in time, checks follow the clock. */
const CLOCK_MS = 200
/** Time from a fault until every call that it held up was made: the rest of a lease, and two retries, milliseconds. */
const CALL_HEALS_MS = 45_000
/** Time after which a call of a node that died is leased again, and the longest attempt, milliseconds. */
const LEASE_MS = 30_000
const ATTEMPT_MS = 10_000
/** Delays before the attempts after the first of a webhook and of a push, milliseconds. */
const WEBHOOK_DELAYS_MS = [5, 30, 120, 600].map((seconds) => seconds * 1000)
const PUSH_DELAYS_MS = [5, 10, 20, 40, 80, 160, 320].map((seconds) => seconds * 1000)
/** Largest part by which a delay is longer than that. */
const JITTER = 0.2
const FALLBACK = 'notification.fallback'

/** Checks the pushes and the webhooks that left the service. Only on a store that loses nothing. */
export function checkReach(journal: Journal, breach: Report): void {
  const { reach } = journal
  if (reach === undefined) return
  const windows = [...journal.windows, ...reach.windows].filter(({ wakeUpsOnly }) => wakeUpsOnly === undefined)
  const healed = windows.map((window): Window => ({ kind: window.kind, from: window.from, to: window.to + CALL_HEALS_MS }))
  const callsById = groupBy(reach.calls, ({ user, id }) => `${user} ${id}`)
  for (const log of journal.logs) {
    const view = new SleeperView(log, reach)
    for (const publish of reach.owed.filter(({ user }) => user === log.user)) {
      const calls = callsById.get(`${log.user} ${publish.id}`) ?? []
      checkUnwanted(view, publish, calls, (at) => deadlineOf(at, windows, journal.stallMs), breach)
      const prompt = (at: number): number => deadlineOf(at, windows, journal.stallMs)
      const late = (at: number, delaysMs: number[]): number => takenBy(at, delaysMs, windows, journal.stallMs)
      checkOwed(view, publish, calls, prompt, late, breach)
      const callIds = new Set(calls.filter(({ event }) => event === FALLBACK).map(({ callId }) => callId))
      if (callIds.size > 1) breach('callId', `${log.user}: the fallback for ${publish.id} came as ${[...callIds].join(' and ')}`)
    }
  }
  for (const { user, at } of reach.erasures) {
    const late = reach.calls.filter((call) => call.user === user && call.at > deadlineOf(at, windows, journal.stallMs))
    for (const call of late) breach('erased', `${user}: ${call.event} for ${call.id} came ${call.at - at} ms after the erasure`)
  }
  checkEnded(reach, (at) => deadlineOf(at, healed, journal.stallMs), breach)
}

function groupBy<Item>(items: Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}

/** The log of a sleeper, with the times at which their notifications were looked at for certain. */
class SleeperView {
  readonly user: string
  readonly log: UserLog
  readonly reach: ReachJournal
  /** Row by id. */
  readonly #rows = new Map<string, { at: number; offset: number; isThere: boolean }>()
  /** Time by id at which a notification was seen, read, or left the log. */
  readonly #seen = new Map<string, number>()
  readonly #read = new Map<string, number>()
  readonly #left = new Map<string, number>()

  constructor(log: UserLog, reach: ReachJournal) {
    this.user = log.user
    this.log = log
    this.reach = reach
    for (const [index, { kind, id, at, ids = [], state, options }] of log.rows.entries()) {
      if (kind === 'n' || kind === 'x') this.#rows.set(id, { at, offset: log.floor + 1 + index, isThere: kind === 'n' })
      if (kind === 'n' && options?.replaces !== undefined) this.#left.set(options.replaces, at)
      if (kind === 'r') for (const named of ids) this.#left.set(named, at)
      if (kind === 's' && state !== 'unread') for (const named of ids) (state === 'seen' ? this.#seen : this.#read).set(named, at)
    }
  }

  rowOf(id: string): { at: number; offset: number; isThere: boolean } | undefined {
    return this.#rows.get(id)
  }

  /** Returns the time by which somebody had looked at a notification for certain, as far as `unless` asks; Infinity if nobody is known to have. */
  lookedAt(id: string, unless: Unless): number {
    const times = [this.#left.get(id), this.#read.get(id)]
    if (unless !== 'read') times.push(this.#seen.get(id))
    if (unless === 'delivered') times.push(this.#receivedAt(id))
    return Math.min(...times.map((time) => time ?? Number.POSITIVE_INFINITY))
  }

  /** Returns true if nobody has looked at a notification to the end, nor tried to. */
  isUntouched(id: string, unless: Unless): boolean {
    const row = this.rowOf(id)
    if (row === undefined || !row.isThere || this.lookedAt(id, unless) !== Number.POSITIVE_INFINITY) return false
    if (this.log.states[id] === 'read' || this.log.states[id] === 'archived') return false
    if (unless !== 'read' && this.log.states[id] !== undefined) return false
    return unless !== 'delivered' || !this.reach.looks.some(({ user, endedAt }) => user === this.user && endedAt > row.at)
  }

  /** Returns true if a notification was in the log until a time, and the sleeper did not begin to look before. */
  isUntouchedUntil(id: string, until: number): boolean {
    const row = this.rowOf(id)
    if (row === undefined || (this.#left.get(id) ?? Number.POSITIVE_INFINITY) < until) return false
    return !this.reach.looks.some(({ user, begunAt, endedAt }) => user === this.user && begunAt < until && endedAt > row.at)
  }

  #receivedAt(id: string): number | undefined {
    const { epoch } = this.log
    const offset = this.rowOf(id)?.offset ?? Number.POSITIVE_INFINITY
    const looks = this.reach.looks.filter(
      (look) => look.user === this.user && look.doneAt > 0 && look.epoch === epoch && look.offset >= offset
    )
    return looks.length === 0 ? undefined : Math.min(...looks.map(({ doneAt }) => doneAt))
  }
}

/** Checks that no call was made for what was looked at in time, and that none left after a look older than the faults explain. */
function checkUnwanted(view: SleeperView, publish: OwedPublish, calls: ReceivedCall[], latest: Latest, breach: Report): void {
  const row = view.rowOf(publish.id)
  if (row === undefined) return
  for (const { event, at } of calls) {
    const rule = event === 'push' ? { afterMs: view.reach.pushAfterMs, unless: 'delivered' as const } : ruleOf(publish)
    if (rule === undefined || (event === 'push' && !publish.isPushed)) {
      breach('unwanted', `${view.user}: ${event} for ${publish.id}, which asked for none`)
      continue
    }
    const due = row.at + rule.afterMs
    const lookedAt = view.lookedAt(publish.id, rule.unless)
    if (at < due - CLOCK_MS) breach('unwanted', `${view.user}: ${event} for ${publish.id} came ${due - at} ms early`)
    if (lookedAt < due - CLOCK_MS)
      breach('unwanted', `${view.user}: ${event} for ${publish.id}, which was looked at ${due - lookedAt} ms before it was due`)
    else if (at > latest(lookedAt))
      breach('unwanted', `${view.user}: ${event} for ${publish.id} came ${at - lookedAt} ms after it was looked at`)
  }
}

/**
 * Returns the latest time at which a call that is due at `at` is taken by its receiver. Each attempt that a fault can reach fails, and the next
 * one follows after its delay. Infinity if a fault can reach the attempt after the last delay.
 */
function takenBy(at: number, delaysMs: number[], windows: Window[], stallMs: number): number {
  let from = at
  let to = deadlineOf(at, windows, stallMs)
  for (const delayMs of delaysMs) {
    const faults = windows.filter((window) => window.from < to && window.to > from)
    if (faults.length === 0) return to
    const heldMs = faults.every(({ kind }) => kind.startsWith('receiver')) ? ATTEMPT_MS : LEASE_MS
    from += delayMs
    to = deadlineOf(to + heldMs + delayMs * (1 + JITTER), windows, stallMs)
  }
  return Number.POSITIVE_INFINITY
}

/**
 * Checks that calls for what nobody has looked at were made: taken by their receiver if nobody has looked to the end; attempted if somebody looked
 * later than the faults explain.
 *
 * @param prompt returns the latest time at which a call that is due at a time is made, if it waits for no receiver
 * @param late the same for a call with these delays before its further attempts
 */
function checkOwed(
  view: SleeperView,
  publish: OwedPublish,
  calls: ReceivedCall[],
  prompt: Latest,
  late: (at: number, delaysMs: number[]) => number,
  breach: Report
): void {
  const { reach, user } = view
  const { id } = publish
  const row = view.rowOf(id)
  if (row === undefined) return
  const isWaiting = reach.waiting.includes(`${user} ${id}`)
  const isOwed = (unless: Unless, due: number, lateAt: number, isCall: (call: ReceivedCall) => boolean): boolean => {
    const own = calls.filter(isCall)
    const isLate = reach.endedAt > (isWaiting ? lateAt : prompt(due))
    if (view.isUntouched(id, unless) && isLate) return !own.some(({ status }) => status === 204)
    return view.isUntouchedUntil(id, lateAt) && reach.endedAt > lateAt && own.length === 0
  }
  const rule = ruleOf(publish)
  const fallbackAt = row.at + (rule?.afterMs ?? 0)
  if (rule !== undefined && isOwed(rule.unless, fallbackAt, late(fallbackAt, WEBHOOK_DELAYS_MS), ({ event }) => event === FALLBACK))
    breach('owed', `${user}: the fallback for ${id} was due ${reach.endedAt - fallbackAt} ms ago`)
  if (!publish.isPushed) return
  const pushAt = row.at + reach.pushAfterMs
  const latePushAt = late(pushAt, PUSH_DELAYS_MS)
  for (const { path, user, from, to } of reach.periods) {
    if (user !== view.user || from > row.at - CLOCK_MS || to < latePushAt) continue
    if (isOwed('delivered', pushAt, latePushAt, ({ callId }) => callId === path)) breach('owed', `${user}: ${id} was not pushed to ${path}`)
  }
}

function ruleOf({ fallback }: OwedPublish): { afterMs: number; unless: Unless } | undefined {
  return fallback === undefined ? undefined : { afterMs: fallback.after * 1000, unless: fallback.unless }
}

/** Checks that nothing is pushed to a subscription some time after its push service answered 410. */
function checkEnded({ periods, calls }: ReachJournal, latest: Latest, breach: Report): void {
  for (const { path, user } of periods) {
    const own = calls.filter(({ callId }) => callId === path)
    const first = own.find(({ status }) => status === 410)?.at
    const late = own.filter(({ at }) => first !== undefined && at > latest(first))
    for (const { id, at } of late) breach('ended', `${user}: ${id} was pushed to ${path} ${at - (first ?? 0)} ms after the first 410`)
  }
}
