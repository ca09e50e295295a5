import type { Answer } from '../../services/protocol/index.ts'
import type { AnswerAttempt, DeviceEvent, DeviceJournal, Journal, LogRow, Publish, UserLog, Window } from './journal.ts'
import type { KnownOptions } from './known-options.ts'
import { excuses, LATE_MS } from './lateness.ts'

/** Time in which an expiry or a delivery is carried out while the store can be used, milliseconds. */
const PROMPT_MS = 2000

export type OptionRule = 'expired' | 'collapsed' | 'answer' | 'scheduled' | 'urgency'

type Report = (rule: OptionRule, text: string) => void
type Shown = Extract<DeviceEvent, { type: 'shown' }>

/** One user of a run. */
export interface OptionView {
  log: UserLog
  devices: DeviceJournal[]
  publishes: Publish[]
  known: KnownOptions
  recalled(id: string): boolean
  folded: Set<string>
}

/** Checks expiry, replacement, answers, the schedule and urgency of one user. Only on a store that loses nothing. */
export function checkOptions(view: OptionView, journal: Journal, breach: Report): void {
  const answers = journal.answers.filter(({ user }) => user === view.log.user)
  checkExpiries(view, journal, breach)
  checkKeys(view, breach)
  checkAnswers(view, answers, breach)
  checkSchedule(view, journal, breach)
  checkUrgency(view, breach)
  for (const device of view.devices) checkShown(view, device, journal, breach)
}

/** Returns the latest time at which an expiry or a delivery that is due at `at` is carried out: two seconds later, faults excepted. */
export function deadlineOf(at: number, windows: Window[], stallMs: number): number {
  let deadline = at + PROMPT_MS + stallMs
  for (const { from, to, wakeUpsOnly } of [...windows].sort((a, b) => a.from - b.from)) {
    if (wakeUpsOnly === undefined && from < deadline && to > at) deadline = Math.max(deadline, to + PROMPT_MS + stallMs)
  }
  return deadline
}

function checkExpiries({ log, known, recalled }: OptionView, { windows, stallMs, endedAt }: Journal, breach: Report): void {
  const { user, rows, floor } = log
  const answered = new Set<string>()
  for (const [index, { kind, id, at, ids = [], reason }] of rows.entries()) {
    const offset = floor + 1 + index
    const expiresAt = known.expiryOf(id)
    if (kind === 'n' && expiresAt > 0 && at > expiresAt + PROMPT_MS)
      breach('expired', `${user}: ${id} was appended at ${offset}, ${at - expiresAt} ms after it expired`)
    if (kind === 'n' && expiresAt > 0 && endedAt > deadlineOf(expiresAt, windows, stallMs) && !recalled(id))
      breach('expired', `${user}: ${id} at ${offset} expired ${endedAt - expiresAt} ms ago, but is in the log`)
    if (kind === 'a') for (const named of ids) answered.add(named)
    if (kind !== 'r' || reason !== 'expired') continue
    for (const named of ids) {
      const due = known.expiryOf(named)
      if (answered.has(named)) breach('answer', `${user}: ${named} was answered, and expired at ${offset}`)
      else if (due === 0 && known.ids.has(named)) breach('expired', `${user}: ${named} expired at ${offset}, but was to stay`)
      else if (due > 0 && at > deadlineOf(due, windows, stallMs)) breach('expired', `${user}: ${named} expired ${at - due} ms late`)
    }
  }
}

/** Checks that one of a key is in the log: not two, and not none if nothing explains that. */
function checkKeys({ log, known, recalled, folded }: OptionView, breach: Report): void {
  const present = new Set(log.rows.filter(({ kind }) => kind === 'n').map(({ id }) => id))
  for (const [collapseKey, ids] of known.groups()) {
    const left = ids.filter((id) => present.has(id))
    if (left.length > 1) breach('collapsed', `${log.user}: ${left.join(' and ')} are in the log, both with the key ${collapseKey}`)
    const mayBeNone = log.floor > 0 || ids.some((id) => !known.ids.has(id) || known.expiryOf(id) > 0 || recalled(id) || folded.has(id))
    if (left.length === 0 && !mayBeNone) breach('collapsed', `${log.user}: none of ${ids.length} with the key ${collapseKey} is in the log`)
  }
}

const textOf = ({ action, deviceId, answeredAt }: Answer): string => `${action} by ${deviceId} at ${answeredAt}`

function checkAnswers({ log, devices, known }: OptionView, attempts: AnswerAttempt[], breach: Report): void {
  const { user, floor, rows, answers } = log
  const told = new Map<string, Answer>()
  const compare = (id: string, answer: Answer | undefined, by: string): void => {
    if (answer === undefined) return
    const first = told.get(id)
    if (first === undefined) told.set(id, answer)
    else if (textOf(first) !== textOf(answer))
      breach('answer', `${user}: ${id} was answered ${textOf(first)}, but ${by} has ${textOf(answer)}`)
  }
  const seen = new Set<string>()
  for (const { kind, ids = [], options = {} } of rows) {
    if (kind !== 'a') continue
    for (const id of ids) {
      if (seen.has(id)) breach('answer', `${user}: ${id} has two answers in the log`)
      seen.add(id)
      compare(id, options.answer, 'a row')
    }
  }
  for (const [id, answer] of Object.entries(answers)) compare(id, answer, 'the store')
  for (const { id, device, action, outcome, answer } of attempts) {
    compare(id, answer, `the reply to ${device}`)
    if (outcome !== 'first') continue
    if (answer?.deviceId !== device || answer.action !== action) breach('answer', `${user}: ${device} won ${id} with the answer of another`)
    if (floor === 0 && !known.answers.has(id)) breach('answer', `${user}: ${device} answered ${id}, but no row tells so`)
  }
  for (const { device, events } of devices) {
    for (const event of events) {
      if (event.type === 'answered' || event.type === 'shown') compare(event.id, event.answer, device)
    }
  }
}

/** Checks the times of scheduled notifications in the log. One that is parked when it is due waits for the rate after that. */
function checkSchedule({ log, publishes }: OptionView, { windows, windowMs, stallMs }: Journal, breach: Report): void {
  const { user, rows, scheduled } = log
  if (scheduled !== 0) breach('scheduled', `${user}: ${scheduled} notifications are still scheduled`)
  const dueById = new Map<string, number>()
  for (const { key, attempts } of publishes) {
    const times = new Set(attempts.flatMap(({ result }) => result?.deliverAt ?? []))
    if (times.size > 1) breach('scheduled', `${user}: ${key} was answered with ${[...times].join(' and ')}`)
    for (const { result } of attempts) if (result?.deliverAt !== undefined) dueById.set(result.id, result.deliverAt)
  }
  let before = 0
  for (const { kind, id, at } of rows) {
    if (!isEntry(kind)) continue
    const due = dueById.get(id)
    if (due !== undefined && at < due) breach('scheduled', `${user}: ${id} was appended ${due - at} ms early`)
    if (due !== undefined && at > deadlineOf(Math.max(due, before + windowMs), windows, stallMs))
      breach('scheduled', `${user}: ${id} was appended ${at - due} ms late, ${at - before} ms after the notification before it`)
    before = at
  }
}

function isEntry(kind: LogRow['kind']): boolean {
  return kind === 'n' || kind === 'x' || kind === 'd'
}

const LEVELS: Record<string, number> = { high: 1, low: -1, 'very-low': -2 }

/**
 * Checks that a notification was released before less urgent ones that were parked with it. Those with a collapse key are left out, because
 * they may take the turn of another one; so are scheduled ones, whose time of parking is not known.
 */
function checkUrgency({ log, publishes }: OptionView, breach: Report): void {
  const places = new Map<string, { offset: number; at: number }>()
  for (const [offset, { kind, id, at }] of log.rows.entries()) if (kind === 'n' || kind === 'x') places.set(id, { offset, at })
  const parked = publishes.flatMap(({ attempts, options = {} }) => {
    const taken = attempts.find(({ result }) => result !== undefined)
    const place = places.get(taken?.result?.id ?? '')
    if (taken?.result?.status !== 'parked' || place === undefined) return []
    if (options.collapseKey !== undefined || options.deliverAt !== undefined) return []
    const level = LEVELS[options.urgency ?? ''] ?? 0
    return [{ id: taken.result.id, parkedAt: taken.doneAt, level, ...place }]
  })
  for (const one of parked) {
    for (const other of parked) {
      if (other.level <= one.level || other.parkedAt >= one.at || other.offset < one.offset) continue
      breach(
        'urgency',
        `${log.user}: ${other.id} of the level ${other.level} was parked when ${one.id} of the level ${one.level} was released`
      )
    }
  }
}

/** Checks what a device was shown, and that it stopped showing what expired or was replaced. */
function checkShown({ log, known, recalled }: OptionView, device: DeviceJournal, journal: Journal, breach: Report): void {
  const { windows, stallMs, endedAt } = journal
  const name = `${device.user} ${device.device}`
  const since = excuses(device, journal)
  const isWhole = log.floor === 0 && !device.events.some(({ type }) => type === 'gap')
  const shown = new Map<string, Shown>()
  const left = new Map<string, number>()
  /** Start of the attempt to connect, and the earliest time at which the node may have read the replay. */
  let soughtAt = 0
  let openedAt = 0
  let slowUntil = Number.NEGATIVE_INFINITY
  const leave = (id: string, at: number): void => {
    if (shown.delete(id)) left.set(id, at)
  }
  const leaveOf = (collapseKey: string | undefined, at: number): void => {
    if (collapseKey === undefined) return
    for (const [id, { collapseKey: of }] of shown) if (of === collapseKey) leave(id, at)
  }
  const dueById = dueTimes(journal, device.user)
  for (const event of device.events) {
    if (event.type === 'connecting') soughtAt = event.at
    if (event.type === 'slow') slowUntil = Number.POSITIVE_INFINITY
    if (event.type === 'brisk') slowUntil = event.at
    // If the device read nothing, `hello` and the replay waited in its socket.
    if (event.type === 'connected') openedAt = slowUntil < soughtAt ? event.at : soughtAt
    if (event.type === 'retract') {
      leave(event.id, event.at)
      leaveOf(event.collapseKey, event.at)
    }
    if (event.type !== 'shown') continue
    const { id, at, replay, collapseKey, expiresAt, replaces } = event
    if (at < (dueById.get(id) ?? 0)) breach('scheduled', `${name}: ${id} was shown ${(dueById.get(id) ?? 0) - at} ms early`)
    if (expiresAt !== undefined && known.expiryOf(id) > 0) {
      const isExcused = !replay && since(expiresAt, at) === undefined
      const isLate = device.dropsExpired
        ? at > expiresAt + PROMPT_MS + stallMs
        : !isExcused && (replay ? openedAt : at) > deadlineOf(expiresAt, windows, stallMs)
      if (isLate) breach('expired', `${name}: ${id} was shown ${at - expiresAt} ms after it expired`)
    }
    if (replaces !== undefined) leave(replaces, at)
    // A replay may skip the notification that replaced the one shown. A live row names it.
    if (!replay && isWhole) {
      for (const [other, { collapseKey: of }] of shown) {
        if (collapseKey !== undefined && of === collapseKey)
          breach('collapsed', `${name}: ${id} and ${other} of the key ${of} are both shown`)
      }
    }
    leaveOf(collapseKey, at)
    shown.set(id, event)
  }
  if (!isWhole) return
  for (const [id, { expiresAt = 0 }] of shown) {
    if (known.expiryOf(id) > 0 && !recalled(id) && endedAt > deadlineOf(expiresAt, windows, stallMs) + LATE_MS)
      breach('expired', `${name}: ${id} expired ${endedAt - expiresAt} ms ago, but the device still shows it`)
  }
  for (const { type, at, id } of retractsOf(device)) {
    const expiresAt = known.expiryOf(id)
    const from = type === 'expired' && left.get(id) === at ? since(expiresAt, at) : undefined
    if (from === undefined) continue
    const deadline = Math.max(deadlineOf(expiresAt, windows, stallMs), from === expiresAt ? 0 : from + LATE_MS + stallMs)
    if (at > deadline) breach('expired', `${name}: the retraction of ${id} came ${at - expiresAt} ms after it expired`)
  }
}

function retractsOf({ events }: DeviceJournal): { type: string; at: number; id: string }[] {
  return events.flatMap((event) => (event.type === 'retract' ? [{ type: event.reason ?? '', at: event.at, id: event.id }] : []))
}

/** Returns the time of delivery of the user's notifications that were answered as scheduled, by id. */
function dueTimes({ publishes }: Journal, user: string): Map<string, number> {
  const dueById = new Map<string, number>()
  for (const publish of publishes) {
    if (publish.user !== user || publish.options?.deliverAt === undefined) continue
    for (const { result } of publish.attempts) if (result !== undefined) dueById.set(result.id, publish.options.deliverAt)
  }
  return dueById
}
