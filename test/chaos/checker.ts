import { formatEventId, type Position, parseEventId } from '../../services/protocol/index.ts'
import { checkBroadcasts } from './broadcast-rules.ts'
import { publishesOf, recallsOf } from './broadcasts.ts'
import { checkClients } from './client-rules.ts'
import type { Attempt, DeviceJournal, Journal, Publish, UserLog } from './journal.ts'
import { KnownOptions } from './known-options.ts'
import { lateness } from './lateness.ts'
import { checkOptions } from './option-rules.ts'
import { checkReach } from './reach-rules.ts'
import { checkCounts } from './recount.ts'
import { gapsOf, shownOf, UserView } from './user-view.ts'

/** The rules that a run must hold, by name. */
export const rules = {
  lost: 'every accepted publish reaches every device, or is in a gap that the device was told of',
  stored: 'every accepted publish is in the log of the store',
  gap: 'no gap is reported when nothing was lost',
  duplicate: 'a device is shown no id twice, unless it expired on the device and was answered in time',
  order: 'a device is shown rows in the order of the log',
  phantom: 'every row that a device was shown is in the log',
  bounds: 'a log keeps as many notifications as its bound allows, whatever other rows it has, and at most a tenth more',
  contiguous: 'offsets have no holes, and the log has as many rows as its positions say',
  identical: 'all devices of a user are shown the same notifications',
  rate: 'no rolling window of the store’s time has more notifications than the limit',
  parked: 'the log has each publisher’s notifications without options in the order they were published',
  urgency: 'of the parked notifications, more urgent ones are released first',
  expired: 'a notification is not shown, and is taken back from every device that showed it, 2 s after it expired, unless it was answered',
  collapsed: 'one notification of a collapse key is in the log, and no device shows two',
  answer: 'a notification has one answer, which every device and every device that answered agree on, and does not expire after it',
  scheduled: 'a scheduled notification is not shown early, and is in the log or parked 2 s after its time',
  unread: 'at every row with an unread count, and on every device at the end, the count equals a recount of the log',
  unseen: 'the same for the notifications that are not even seen',
  state: 'the states in the store equal those of the log’s rows',
  idempotency:
    'one Idempotency-Key with one body makes one notification, a request without a key at most one, a refused request none; one id has one place in the log',
  answered: 'a repeat is answered with the outcome of the first request: no id that does not exist, and not parked if it was recalled',
  member: 'only the members of a topic at the time of a broadcast get it',
  progress: 'a broadcast ends, and its counts add up to its members',
  cancelled: 'a cancelled broadcast is in no log at the end',
  owed: 'every push and every fallback that was owed is taken by its receiver',
  unwanted: 'no push or fallback comes early, for what was looked at in time, or longer after a look than the faults explain',
  callId: 'all attempts of a webhook have one webhook-id',
  erased: 'nothing is sent for a user after their erasure',
  ended: 'nothing is pushed to a subscription after its push service answered 410',
  away: 'nothing is accepted while the store is down',
  recall: 'a recalled notification is removed on every device that showed it',
  cursor: 'no cursor is beyond what was written to its client’s socket',
  again: 'a row that was acknowledged two seconds before the connection ended is not sent again',
  stalled: 'every client that acknowledges at half of its window gets caughtUp',
  ghost: 'the registry is empty 35 s after the last connection',
  late: 'no notification arrives more than 2.5 s late while only wake-ups are lost',
  unhealed: 'after the last fault the service recovers, and every device reaches the end of its log',
  terminal: 'no device gets a close code that forbids reconnecting'
} as const

export type Rule = keyof typeof rules

export interface Breach {
  rule: Rule
  text: string
}

/** Checks a journal against every rule. Pure: the same journal gives the same breaches. */
export function check(journal: Journal): Breach[] {
  const breaches: Breach[] = []
  const breach = (rule: Rule, text: string): void => {
    breaches.push({ rule, text })
  }
  const devices = byUser(journal.devices)
  // A store that lost rows may have lost members, too.
  const broadcasts = journal.lossy ? [] : journal.broadcasts
  const publishes = byUser([...journal.publishes, ...publishesOf(broadcasts)])
  const recalls = [...journal.recalls, ...recallsOf(broadcasts)]
  const recalled = new Set(recalls.map(({ user, id }) => `${user} ${id}`))
  for (const log of journal.logs) {
    const { user } = log
    const own = devices.get(user) ?? []
    const known = new KnownOptions(log, own, publishes.get(user) ?? [], journal.endedAt)
    const view = new UserView(log, own, publishes.get(user) ?? [], known, (id) => recalled.has(`${user} ${id}`))
    checkLog(log, journal, breach)
    if (!journal.isAging && !journal.lossy) checkBounds(log, journal.maxEntries, breach)
    checkCounts(log, known, journal.lossy || (log.floor > 0 && journal.isAging) ? [] : own, breach)
    checkPublishes(view, journal, breach)
    for (const device of own) checkDevice(view, device, journal.lossy, breach)
    checkIdentical(view, breach)
    if (!journal.lossy) checkOptions(view, journal, breach)
  }
  checkAway(journal, breach)
  checkClients(journal, breach)
  if (!journal.lossy) {
    checkRecalls({ ...journal, recalls }, breach)
    checkBroadcasts(broadcasts, journal.logs, journal.devices, breach)
    checkGaps(journal, breach)
    checkRepeats(journal, breach)
    checkReach(journal, breach)
  }
  for (const { user, what } of journal.ghosts) breach('ghost', `${user}: ${what}`)
  for (const text of journal.unhealed) breach('unhealed', text)
  for (const text of lateness(journal).breaches) breach('late', text)
  return breaches
}

function byUser<Item extends { user: string }>(items: Item[]): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const group = groups.get(item.user)
    if (group === undefined) groups.set(item.user, [item])
    else group.push(item)
  }
  return groups
}

type Report = (rule: Rule, text: string) => void
/** Returns the first attempt that a node answered with a result, or undefined. */
export function takenBy({ attempts }: Publish): (Attempt & { result: NonNullable<Attempt['result']> }) | undefined {
  return attempts.find((attempt): attempt is Attempt & { result: NonNullable<Attempt['result']> } => attempt.result !== undefined)
}

function checkBounds({ user, rows, floor }: UserLog, maxEntries: number, breach: Report): void {
  const entries = rows.filter(({ kind }) => kind === 'n' || kind === 'd').length
  const recalled = rows.filter(({ kind }) => kind === 'x').length
  if (floor > 0 && entries + recalled < maxEntries)
    breach('bounds', `${user}: ${entries} notifications are left, and ${recalled} recalled ones`)
  if (entries > 1.1 * maxEntries + 1) breach('bounds', `${user}: ${entries} notifications are in the log`)
}

function checkLog({ user, rows, top, floor, parked }: UserLog, { limit, windowMs }: Journal, breach: Report): void {
  if (rows.length !== top - floor) breach('contiguous', `${user}: ${rows.length} rows between ${floor} and ${top}`)
  if (parked !== 0) breach('unhealed', `${user}: ${parked} notifications are still parked`)
  const times: number[] = []
  const seen = new Set<string>()
  let latest = 0
  for (const [index, { kind, at, id }] of rows.entries()) {
    const offset = floor + 1 + index
    if (at < latest && kind !== 'x') breach('order', `${user}: row ${offset} is older than the one before it`)
    latest = Math.max(latest, at)
    if (kind === 'n' || kind === 'x') {
      if (seen.has(id)) breach('idempotency', `${user}: ${id} is in the log twice`)
      seen.add(id)
    }
    if (kind === 'n' || kind === 'x' || kind === 'd') times.push(at)
  }
  for (let i = limit; i < times.length; i++) {
    const span = (times[i] as number) - (times[i - limit] as number)
    if (span < windowMs) breach('rate', `${user}: ${limit + 1} within ${span} ms up to ${times[i]}`)
  }
}

/**
 * Checks the publishes of one user. If a store lost rows, a repeat may append a notification again, after later ones, and is refused if another
 * body took the key first.
 */
function checkPublishes(view: UserView, { lossy, conflicts, away }: Journal, breach: Report): void {
  const { user, floor } = view.log
  const countByTitle = new Map<string, number>()
  for (const { title } of view.log.rows) if (title !== undefined) countByTitle.set(title, (countByTitle.get(title) ?? 0) + 1)
  const last = new Map<string, { sequence: number; offset: number }>()
  for (const publish of view.publishes) {
    const ids = new Set(publish.attempts.flatMap(({ result }) => (result === undefined ? [] : [result.id])))
    if (ids.size > 1) breach('idempotency', `${user}: ${publish.key} was answered with ${[...ids].join(' and ')}`)
    const isTaken = lossy && conflicts.some(({ key, status }) => key === publish.key && (status < 400 || status >= 500))
    if (!isTaken && publish.attempts.some(({ code }) => code === 'BELFRY_ERR_IDEMPOTENCY_CONFLICT'))
      breach('idempotency', `${user}: ${publish.key} was refused as a conflict`)
    const copies = countByTitle.get(publish.key) ?? 0
    if (publish.isUnkeyed && copies > 1)
      breach('idempotency', `${user}: ${publish.key}, sent once without a key, is in the log ${copies} times`)
    const taken = takenBy(publish)
    if (copies > 0 && publish.attempts.every(({ status }) => status >= 400 && status < 500))
      breach('idempotency', `${user}: ${publish.key} was refused, but is in the log`)
    if (taken === undefined) continue
    const { id } = taken.result
    const offset = view.offsets.get(id)
    const trimmed = (view.position(id)?.offset ?? 0) <= floor && floor > 0
    if (offset === undefined) {
      if (!lossy && !trimmed && !view.mayBeMissing(id))
        breach('stored', `${user}: ${publish.key} (${id}) was ${taken.result.status}, but is not in the log`)
      continue
    }
    if (publish.sequence === undefined || Object.keys(publish.options ?? {}).length > 0) continue
    if (lossy && away.some(({ from }) => taken.sentAt < from && publish.attempts.some(({ repeat, doneAt }) => repeat && doneAt > from)))
      continue
    const before = last.get(publish.publisher)
    if (before !== undefined && offset < before.offset)
      breach('parked', `${user}: ${publish.publisher} published ${publish.sequence} after ${before.sequence}, but the log has it before`)
    last.set(publish.publisher, { sequence: publish.sequence, offset })
  }
  for (const device of view.devices) {
    const shown = new Set(shownOf(device).map(({ id }) => id))
    for (const publish of view.publishes) {
      const { id, status } = takenBy(publish)?.result ?? {}
      // A notification that was lost while parked never had a place in the log, so that no gap covers it.
      if (id === undefined || (lossy && status === 'parked' && view.position(id) === undefined)) continue
      if (shown.has(id) || view.mayBeMissing(id) || view.known.mayBeUnseen(id) || view.inGap(device, id)) continue
      breach('lost', `${user} ${device.device}: ${publish.key} (${id}, offset ${view.offsets.get(id)}) never arrived`)
    }
  }
}

/**
 * Checks one device. If a store lost rows, a shown notification may be missing or have another offset, and is no phantom. The store may have
 * lost the device's cursor, too: a connection that starts there sends the rows that took the place of lost ones, without a gap, after the
 * newest row that the device was shown and the log still has.
 */
function checkDevice(view: UserView, device: DeviceJournal, lossy: boolean, breach: Report): void {
  const { log } = view
  const name = `${device.user} ${device.device}`
  const seen = new Set<string>()
  /** Ids that were shown and then expired on the device. One that was answered in time is shown once more. */
  const expired = new Set<string>()
  let last: Position | undefined
  /** The newest position shown whose row is still in the log. */
  let kept: Position | undefined
  for (const event of device.events) {
    if (event.type === 'gap') last = kept = undefined
    else if (event.type === 'connected' && event.atCursor && lossy) last = kept
    else if (event.type === 'retract' && event.reason === 'expired' && seen.has(event.id)) expired.add(event.id)
    else if (event.type === 'terminal') breach('terminal', `${name}: ${event.code} ${event.reason}`)
    else if (event.type === 'shown') {
      const { id, eventId } = event
      if (event.answer !== undefined && expired.delete(id)) continue
      if (seen.has(id)) breach('duplicate', `${name}: ${id} twice`)
      seen.add(id)
      const at = parseEventId(eventId)
      if (at === undefined) {
        breach('phantom', `${name}: ${id} has the event id ${eventId}`)
        continue
      }
      if (last !== undefined && at.epoch === last.epoch && at.offset <= last.offset)
        breach('order', `${name}: ${eventId} after ${formatEventId(last)}`)
      last = at
      if (!view.isLost(at)) kept = at
      const offset = view.offsets.get(id)
      const mayBeMissing =
        at.epoch !== log.epoch || at.offset <= log.floor || view.inGap(device, id) || view.devices.some((other) => view.inGap(other, id))
      if (!lossy && offset !== at.offset && !(offset === undefined && mayBeMissing))
        breach('phantom', `${name}: ${id} was shown as ${eventId}, the log has it at ${offset}`)
    }
  }
}

/** Checks that all devices were shown the same, except for recalls, expiries and replacements, which may overtake, and for rows in reported gaps. */
function checkIdentical(view: UserView, breach: Report): void {
  const shown = view.devices.map((device) => new Set(shownOf(device).map(({ id }) => id)))
  const all = new Set(shown.flatMap((ids) => [...ids]))
  for (const [index, device] of view.devices.entries()) {
    const missing = [...all].filter(
      (id) => !shown[index]?.has(id) && !view.mayBeMissing(id) && !view.known.mayBeUnseen(id) && !view.inGap(device, id)
    )
    if (missing.length > 0)
      breach(
        'identical',
        `${device.user} ${device.device}: was not shown ${missing.length} notifications that another device was: ${missing.slice(0, 3).join(' ')}`
      )
  }
}

function checkAway({ publishes, away }: Journal, breach: Report): void {
  for (const { user, key, attempts } of publishes) {
    for (const { sentAt, doneAt, result } of attempts) {
      if (result === undefined) continue
      const during = away.find(({ from, to, users }) => sentAt >= from && doneAt <= to && (users === undefined || users.includes(user)))
      if (during !== undefined) breach('away', `${user}: ${key} was ${result.status} ${sentAt - during.from} ms after the store went down`)
    }
  }
}

function checkRecalls({ recalls, devices, logs }: Journal, breach: Report): void {
  for (const { user, id, status } of recalls) {
    if (status !== 204) continue
    if (logs.find((log) => log.user === user)?.rows.some((row) => row.kind === 'n' && row.id === id))
      breach('recall', `${user}: ${id} was recalled, but is in the log`)
    for (const device of devices) {
      if (device.user !== user || !device.events.some((event) => event.type === 'shown' && event.id === id)) continue
      if (gapsOf(device).length === 0 && !device.events.some((event) => event.type === 'retract' && event.id === id))
        breach('recall', `${user} ${device.device}: ${id} was recalled, but the device still shows it`)
    }
  }
}

function checkRepeats({ publishes, recalls, conflicts, logs }: Journal, breach: Report): void {
  const floors = new Map(logs.map(({ user, floor }) => [user, floor]))
  for (const { user, key, status } of conflicts) {
    // The store forgets a key when it trims the row.
    if (status >= 200 && status < 300 && floors.get(user) === 0) breach('idempotency', `${user}: ${key} was accepted with another body`)
  }
  const recalled = new Map(recalls.filter(({ status }) => status === 204).map(({ user, id, doneAt }) => [`${user} ${id}`, doneAt]))
  for (const publish of publishes) {
    const { user, key, attempts } = publish
    const first = takenBy(publish)?.result.id
    for (const { repeat, sentAt, result } of attempts) {
      if (!repeat || result === undefined) continue
      const recalledAt = recalled.get(`${user} ${result.id}`) ?? Number.POSITIVE_INFINITY
      const place = parseEventId(result.eventId)?.offset
      const named = logs.find((log) => log.user === user)
      const row = named?.rows[(place ?? 0) - named.floor - 1]
      // A notification that took the turn of a parked one is where the key of the first one leads.
      const mayTakeTurn = publish.options?.collapseKey !== undefined
      if (row !== undefined && (row.kind === 'n' || row.kind === 'x') && row.id !== result.id && !mayTakeTurn)
        breach('answered', `${user}: ${key} (${result.id}) was answered with offset ${place}, where ${row.id} is`)
      if (result.id !== first) breach('answered', `${user}: ${key} was answered with ${first}, and again with ${result.id}`)
      if (result.status === 'parked' && sentAt > recalledAt) breach('answered', `${user}: ${key} was recalled, but was answered parked`)
    }
  }
}

function checkGaps({ devices, logs }: Journal, breach: Report): void {
  for (const device of devices) {
    const floor = logs.find(({ user }) => user === device.user)?.floor ?? 0
    for (const { reason, from, to, count } of gapsOf(device)) {
      if (reason === 'trimmed' && floor > 0) continue
      breach('gap', `${device.user} ${device.device}: ${reason} from ${from} to ${to}, ${count}`)
    }
  }
}
