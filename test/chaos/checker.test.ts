import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Answer } from '../../services/protocol/index.ts'
import { check, type Rule, rules } from './checker.ts'
import { drawOptions } from './draw-options.ts'
import { figures, rulesTable } from './figures.ts'
import type {
  Broadcast,
  ClientConnection,
  ClientJournal,
  DeviceEvent,
  DeviceJournal,
  Journal,
  LogRow,
  Publish,
  PublishedOptions,
  ReachJournal,
  UserLog
} from './journal.ts'
import { lateness } from './lateness.ts'
import { summarize } from './report.ts'
import { dice, type FaultKind, faultKinds, schedule, storeKinds } from './schedule.ts'
import { ShownList } from './shown-list.ts'

const START = 1_800_000_000_000

const idOf = (number: number): string => `notification-${String(number).padStart(7, '0')}`
const eventIdOf = (number: number): string => `e.${number}.${idOf(number).slice(0, 8)}`

function publish(number: number, status: 'accepted' | 'parked' = 'accepted'): Publish {
  const at = START + number * 200
  const result = {
    id: idOf(number),
    status,
    eventId: status === 'accepted' ? eventIdOf(number) : '',
    durability: 'fsync',
    nodes: 1
  } as const
  return {
    publisher: 'p',
    user: 'alice',
    sequence: number,
    key: `key-${number}`,
    attempts: [{ sentAt: at - 5, doneAt: at + 5, node: 0, status: 202, result }]
  }
}

function device(name: string): DeviceJournal {
  const shown = [1, 2, 3, 4, 5].map((number) => ({
    type: 'shown' as const,
    at: START + number * 200 + 10,
    id: idOf(number),
    eventId: eventIdOf(number),
    replay: false
  }))
  const begin = { type: 'caughtUp' as const, at: START, node: 0 }
  return { user: 'alice', device: name, events: [begin, ...shown], unread: 4, lastEventId: 'e.6' }
}

/** A broadcast to the topic of alice. */
function broadcastOf(number: number): Broadcast {
  const ids = { id: `00${idOf(number).slice(-20)}`, notificationId: idOf(number) }
  const end = { status: 'done', members: 1, accepted: 1, parked: 0, rejected: 0 } as const
  const audience = { members: ['alice'], others: [], isCancelled: false }
  return { queue: 'team', sequence: number, key: `team-${number}`, ...ids, ...audience, answeredAt: START + number * 200, end }
}

/** A journal of five notifications on two devices; one notification is marked as read. */
function clean(): Journal {
  const rows: LogRow[] = [1, 2, 3, 4, 5].map((number) => ({ kind: 'n', at: START + number * 200, id: idOf(number) }))
  rows.push({ kind: 's', at: START + 1100, id: idOf(99), ids: [idOf(2)], state: 'read', unread: 4, unseen: 4 })
  const log: UserLog = {
    user: 'alice',
    epoch: 'e',
    top: 6,
    floor: 0,
    parked: 0,
    scheduled: 0,
    unread: 4,
    unseen: 4,
    rows,
    states: { [idOf(2)]: 'read' },
    answers: {}
  }
  return {
    seed: 1,
    seconds: 2,
    store: 'redis',
    bus: 'redis',
    limit: 10,
    windowMs: 1000,
    lossy: false,
    maxEntries: 1000,
    isAging: false,
    startedAt: START,
    faults: [],
    publishes: [1, 2, 3, 4, 5].map((number) => publish(number)),
    recalls: [],
    conflicts: [],
    answers: [],
    broadcasts: [],
    clients: [],
    devices: [device('phone'), device('laptop')],
    logs: [log],
    endedAt: START + 20_000,
    windows: [],
    away: [],
    ghosts: [],
    unhealed: [],
    stallMs: 0,
    reach: cleanReach()
  }
}

/** The first notification was pushed to one subscription, and nobody has read it. */
function cleanReach(): ReachJournal {
  const call = { user: 'alice', id: idOf(1), status: 204 }
  return {
    owed: [{ user: 'alice', id: idOf(1), isPushed: true, fallback: { after: 1, unless: 'read' } }],
    looks: [],
    periods: [{ user: 'alice', endpoint: 'https://push.test/1', path: '/1', from: START - 1000, to: Number.MAX_SAFE_INTEGER }],
    erasures: [{ user: 'erased', at: START }],
    calls: [
      { ...call, event: 'push', at: START + 1210, callId: '/1' },
      { ...call, event: 'notification.fallback', at: START + 1220, callId: 'msg_1' }
    ],
    windows: [],
    pushAfterMs: 1000,
    waiting: [],
    endedAt: START + 20_000
  }
}

interface Parts {
  journal: Journal
  phone: DeviceJournal
  log: UserLog
  rows: LogRow[]
  publishes: Publish[]
}

/** Returns the rules that a clean journal breaks after the change. */
function broken(change: (parts: Parts) => void): Rule[] {
  const journal = clean()
  const [phone] = journal.devices as [DeviceJournal]
  const [log] = journal.logs as [UserLog]
  change({ journal, phone, log, rows: log.rows, publishes: journal.publishes })
  return [...new Set(check(journal).map(({ rule }) => rule))].sort()
}

const without = (events: DeviceJournal['events'], number: number): DeviceJournal['events'] =>
  events.filter((event) => event.type !== 'shown' || event.id !== idOf(number))

t.test('a clean journal breaks nothing', async (t) => {
  t.same(check(clean()), [])
  const journal = clean()
  journal.broadcasts.push(broadcastOf(4), broadcastOf(5))
  t.same(check(journal), [], 'with two broadcasts to one topic')
  journal.broadcasts.reverse()
  t.match(check(journal), [{ rule: 'parked' }], 'in the wrong order')
})

/** Marks the second notification as seen, not as read. */
function markAsSeen({ journal, log, rows }: Parts): void {
  Object.assign(rows[5] as LogRow, { state: 'seen', unread: 5 })
  Object.assign(log, { unread: 5, states: { [idOf(2)]: 'seen' } })
  for (const each of journal.devices) Object.assign(each, { unread: 5, unseen: 4 })
}

/** Recalls the fourth notification, in the log and on all devices. */
function recallFourth(journal: Journal): void {
  const [log] = journal.logs as [UserLog]
  journal.recalls.push({ user: 'alice', id: idOf(4), status: 204, doneAt: START + 1150 })
  ;(log.rows[3] as LogRow).kind = 'x'
  log.rows.push({ kind: 'r', at: START + 1150, id: idOf(98), ids: [idOf(4)], unread: 3, unseen: 3 })
  log.top = 7
  Object.assign(log, { unread: 3, unseen: 3 })
  for (const each of journal.devices) {
    each.unread = 3
    each.events.push({ type: 'retract', at: START + 1160, id: idOf(4) })
  }
}

/** Gives the third notification an expiry, in the log and on all devices. */
function limitThird(journal: Journal, expiresAt: number): void {
  const [log] = journal.logs as [UserLog]
  ;(log.rows[2] as LogRow).options = { expiresAt }
  for (const { events } of journal.devices) Object.assign(events[3] as DeviceEvent, { expiresAt })
}

/** Removes the third notification from the log and from all devices, at a time after the last row. */
function expireThird(journal: Journal, at: number): void {
  const [log] = journal.logs as [UserLog]
  ;(log.rows[2] as LogRow).kind = 'x'
  log.rows.push({ kind: 'r', at, id: idOf(3), ids: [idOf(3)], unread: 3, unseen: 3, reason: 'expired' })
  log.top = 7
  Object.assign(log, { unread: 3, unseen: 3 })
  for (const each of journal.devices) {
    each.unread = 3
    each.events.push({ type: 'retract', at: at + 10, id: idOf(3), reason: 'expired' })
  }
}

const answerOf = (deviceId: string): Answer => ({ action: 'approve', answeredAt: START + 1200, deviceId })

/** Answers the third notification by the phone, in the log and on all devices. */
function answerThird(journal: Journal): void {
  const [log] = journal.logs as [UserLog]
  const answer = answerOf('phone')
  log.rows.push({ kind: 'a', at: START + 1200, id: idOf(97), ids: [idOf(3)], unread: 3, unseen: 3, options: { answer } })
  log.top = 7
  Object.assign(log, { unread: 3, unseen: 3 })
  log.states[idOf(3)] = 'read'
  log.answers[idOf(3)] = answer
  const attempt = { user: 'alice', id: idOf(3), action: 'approve', sentAt: START + 1190, doneAt: START + 1210, answer }
  journal.answers.push({ ...attempt, device: 'phone', outcome: 'first' }, { ...attempt, device: 'laptop', outcome: 'late' })
  for (const each of journal.devices) {
    each.unread = 3
    each.events.push({ type: 'answered', at: START + 1210, id: idOf(3), answer })
  }
}

/** Gives the second and the fourth notification one collapse key. The fourth names the second one if `replaces`. */
function collapse(journal: Journal, replaces: boolean): void {
  const [log] = journal.logs as [UserLog]
  const [collapseKey, replaced] = ['key', replaces ? { replaces: idOf(2) } : {}]
  ;(log.rows[1] as LogRow).options = { collapseKey }
  ;(log.rows[3] as LogRow).options = { collapseKey, ...replaced }
  for (const { events } of journal.devices) {
    Object.assign(events[2] as DeviceEvent, { collapseKey })
    Object.assign(events[4] as DeviceEvent, { collapseKey, ...replaced })
  }
}

/** Returns a connection that received the notifications after `from`, up to and including `through`. */
function connection(from: number, through: number, end: ClientConnection['end'] = 'closed', inFlight?: number): ClientConnection {
  const received = [1, 2, 3, 4, 5].filter((number) => number > from && number <= through).map(idOf)
  const place = { epoch: 'e', offset: from, id8: '' }
  return { node: 0, openedAt: START, asked: false, from: place, through, received, bytes: 150, end, endedAt: START + 2000, inFlight }
}

/** Adds a client without acknowledgements. Its first connection ended after the third notification; the next one skips some. */
function reader([end, inFlight]: [ClientConnection['end'], number | undefined], skipped: number): ClientJournal {
  const connections = [connection(0, 3, end, inFlight), connection(3 + skipped, 6, 'closed', 0)]
  return { user: 'alice', device: 'default', acknowledges: false, connections, gaps: [], isCaughtUp: true }
}

/** A change that breaks each rule. Some breaches cannot occur alone. */
const cases: Record<Rule, { also?: Rule[]; change: (parts: Parts) => void }> = {
  owed: {
    change: ({ journal }) => {
      journal.reach?.calls.pop()
    }
  },
  unwanted: {
    change: ({ journal: { reach } }) => {
      reach?.owed.push({ user: 'alice', id: idOf(2), isPushed: false, fallback: { after: 1, unless: 'read' } })
      reach?.calls.push({ event: 'notification.fallback', at: START + 1410, user: 'alice', id: idOf(2), callId: 'msg_2', status: 204 })
    }
  },
  callId: {
    change: ({ journal: { reach } }) => {
      reach?.calls.push({ event: 'notification.fallback', at: START + 1410, user: 'alice', id: idOf(1), callId: 'msg_2', status: 204 })
    }
  },
  erased: {
    change: ({ journal: { reach } }) => {
      reach?.calls.push({ event: 'push', at: START + 3000, user: 'erased', id: 'x', callId: '/2', status: 204 })
    }
  },
  ended: {
    change: ({ journal: { reach } }) => {
      reach?.periods.push({ user: 'alice', endpoint: 'https://push.test/2', path: '/2', from: START, to: START })
      for (const [at, status] of [
        [START + 1210, 410],
        [START + 60_000, 410]
      ] as const)
        reach?.calls.push({ event: 'push', at, user: 'alice', id: idOf(1), callId: '/2', status })
    }
  },
  lost: {
    also: ['identical'],
    change: ({ phone }) => {
      phone.events = without(phone.events, 3)
    }
  },
  stored: {
    also: ['lost'],
    change: ({ publishes }) => {
      publishes.push(publish(7, 'parked'))
    }
  },
  gap: {
    change: ({ phone }) => {
      phone.events.push({ type: 'gap', at: START + 1200, reason: 'ahead', from: 'e.7', to: 'e.9', count: 3 })
    }
  },
  duplicate: {
    also: ['order'],
    change: ({ phone }) => {
      phone.events.push({ type: 'shown', at: START + 1200, id: idOf(5), eventId: eventIdOf(5), replay: true })
    }
  },
  order: {
    change: ({ phone }) => {
      phone.events.push(...phone.events.splice(2, 1))
    }
  },
  phantom: {
    also: ['identical'],
    change: ({ phone }) => {
      phone.events.push({ type: 'shown', at: START + 1200, id: idOf(8), eventId: 'e.8.notifica', replay: false })
    }
  },
  bounds: {
    change: ({ journal }) => {
      journal.maxEntries = 3
    }
  },
  contiguous: {
    change: ({ log }) => {
      log.top = 7
    }
  },
  member: {
    change: ({ journal }) => {
      journal.broadcasts.push({ ...broadcastOf(4), members: ['bob'] })
    }
  },
  progress: {
    change: ({ journal }) => {
      journal.broadcasts.push({ ...broadcastOf(5), sequence: 6, end: { status: 'done', members: 1, accepted: 0, parked: 0, rejected: 0 } })
    }
  },
  cancelled: {
    also: ['recall'],
    change: ({ journal }) => {
      journal.broadcasts.push({ ...broadcastOf(5), sequence: 6, isCancelled: true })
    }
  },
  identical: {
    change: ({ journal, phone, rows, log }) => {
      rows.splice(5, 0, { kind: 'n', at: START + 1050, id: idOf(6) })
      log.top = 7
      Object.assign(log, { unread: 5, unseen: 5 })
      Object.assign(rows[6] as LogRow, { unread: 5, unseen: 5 })
      for (const each of journal.devices) each.unread = 5
      phone.events.push({ type: 'shown', at: START + 1060, id: idOf(6), eventId: eventIdOf(6), replay: false })
    }
  },
  rate: {
    change: ({ journal }) => {
      journal.limit = 4
    }
  },
  parked: {
    change: ({ publishes }) => {
      ;(publishes[1] as Publish).sequence = 3
      ;(publishes[2] as Publish).sequence = 2
      publishes.sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
    }
  },
  urgency: {
    change: ({ publishes, rows }) => {
      for (const [index, urgency] of [undefined, 'high' as const].entries()) {
        const each = publishes[index + 1] as Publish
        each.options = urgency === undefined ? {} : { urgency }
        Object.assign(each.attempts[0]?.result ?? {}, { status: 'parked', eventId: '' })
        ;(rows[index + 1] as LogRow).at = START + 700 + index
      }
    }
  },
  expired: {
    change: ({ journal }) => limitThird(journal, START + 1100)
  },
  collapsed: {
    change: ({ journal }) => collapse(journal, false)
  },
  answer: {
    change: ({ journal, phone }) => {
      answerThird(journal)
      Object.assign(phone.events.at(-1) as DeviceEvent, { answer: answerOf('laptop') })
    }
  },
  scheduled: {
    change: ({ publishes }) => {
      Object.assign(publishes[2]?.attempts[0]?.result ?? {}, { status: 'scheduled', eventId: '', deliverAt: START + 700 })
    }
  },
  unread: {
    change: ({ rows }) => {
      ;(rows[5] as LogRow).unread = 5
    }
  },
  unseen: {
    change: (parts) => {
      markAsSeen(parts)
      Object.assign(parts.rows[5] as LogRow, { unseen: 5 })
    }
  },
  state: {
    change: ({ log }) => {
      log.states = {}
    }
  },
  idempotency: {
    change: ({ publishes }) => {
      const [{ attempts }] = publishes as [Publish]
      const [{ result, ...rest }] = attempts as [Required<Publish['attempts'][number]>]
      attempts.push({ ...rest, result: { ...result, id: idOf(2) } })
    }
  },
  away: {
    change: ({ journal }) => {
      journal.away.push({ from: START + 590, to: START + 610 })
    }
  },
  recall: {
    change: ({ journal }) => {
      recallFourth(journal)
      for (const each of journal.devices) each.events.pop()
    }
  },
  answered: {
    change: ({ journal, publishes }) => {
      recallFourth(journal)
      const [{ result, ...rest }] = (publishes[3] as Publish).attempts as [Required<Publish['attempts'][number]>]
      const sentAt = START + 1300
      publishes[3]?.attempts.push({
        ...rest,
        sentAt,
        doneAt: sentAt + 5,
        repeat: true,
        result: { ...result, status: 'parked', eventId: '' }
      })
    }
  },
  cursor: {
    change: ({ journal }) => {
      journal.clients.push(reader(['closed', 0], 2))
    }
  },
  again: {
    change: ({ journal }) => {
      const first = { ...connection(0, 6, 'closed', 0), acknowledged: [{ offset: 6, at: START }], endedAt: START + 2500 }
      journal.clients.push({ ...reader(['closed', 0], 0), acknowledges: true, connections: [first, connection(5, 6, 'closed', 0)] })
    }
  },
  stalled: {
    change: ({ journal }) => {
      journal.clients.push({ ...reader(['closed', 0], 0), isCaughtUp: false })
    }
  },
  ghost: {
    change: ({ journal }) => {
      journal.ghosts.push({ user: 'alice', what: '1 nodes were woken for nobody' })
    }
  },
  late: {
    change: ({ phone }) => {
      const [last] = phone.events.slice(-1) as [DeviceJournal['events'][number]]
      last.at += 2600
    }
  },
  unhealed: {
    change: ({ log }) => {
      log.parked = 1
    }
  },
  terminal: {
    change: ({ phone }) => {
      phone.events.push({ type: 'terminal', at: START + 1300, code: 4001, reason: 'token_invalid' })
    }
  }
}

for (const [rule, { also = [], change }] of Object.entries(cases)) {
  t.test(`${rule}: ${rules[rule as Rule]}`, async (t) => {
    t.same(broken(change), [rule, ...also].sort())
  })
}

/** Adds 106 notifications to the log. A client's connection was reset after the third one; 101 never arrived at the client. */
const manyLost =
  (inFlight: number) =>
  ({ journal, log, rows }: Parts): void => {
    const added = Array.from({ length: 106 }, (_, index) => idOf(200 + index))
    for (const [index, id] of added.entries()) rows.push({ kind: 'n', at: START + 1300 + index * 150, id })
    log.top += added.length
    Object.assign(log, { unread: log.unread + added.length, unseen: log.unseen + added.length })
    for (const each of journal.devices) each.unread = log.unread
    const reset = { ...connection(0, 3, 'reset', inFlight), endedAt: START + 30_000 }
    const next = { ...connection(105, 112, 'closed', 0), received: added.slice(99) }
    journal.clients.push({ ...reader(['closed', 0], 0), connections: [reset, next] })
  }

/** A gap from the first of three logs, and the rules that break. */
const restarts: [reason: 'epoch' | 'fresh', to: string, expected: Rule[]][] = [
  ['epoch', 'z.0', ['identical', 'lost']],
  ['fresh', 'z.0', ['identical', 'lost']],
  ['fresh', 'z.1', []],
  ['epoch', 'z.1', ['identical', 'lost']],
  ['fresh', 'y.9', ['identical', 'lost']]
]

/** Makes a store that returned empty twice: the third notification was in the log `y`, the later ones in `z`. The phone was not shown 3 and 4. */
function restartedTwice(reason: 'epoch' | 'fresh', to: string) {
  const places = ['', 'e.1', 'e.2', 'y.1', 'z.1', 'z.2']
  return ({ journal, phone, log, publishes }: Parts): void => {
    journal.lossy = true
    Object.assign(log, { epoch: 'z', rows: log.rows.slice(3, 5), top: 2, unread: 2, unseen: 2, states: {} })
    for (const [index, { attempts }] of publishes.entries()) {
      for (const { result } of attempts) if (result !== undefined) result.eventId = places[index + 1] as string
    }
    for (const { events } of journal.devices)
      for (const [number, event] of events.entries()) if (event.type === 'shown') event.eventId = places[number] as string
    phone.events = without(without(phone.events, 3), 4)
    phone.events.splice(-1, 0, { type: 'gap', at: START + 900, reason, from: 'e.2', to, count: 0 })
  }
}

t.test('an excuse covers no more than it should', async (t) => {
  const gapOver = (from: number, to: number) => (parts: Parts) => {
    parts.journal.lossy = true
    parts.phone.events = without(parts.phone.events, 3)
    parts.phone.events.push({ type: 'gap', at: START + 1200, reason: 'lost', from: `e.${from}`, to: `e.${to}`, count: to - from + 1 })
  }
  t.same(broken(gapOver(3, 3)), [], 'a reported gap covers what lies in it')
  t.same(broken(gapOver(4, 5)), ['identical', 'lost'], 'and nothing beside it')
  for (const [reason, to, expected] of restarts)
    t.same(broken(restartedTwice(reason, to)), expected, `${reason} to ${to} in the last of three logs`)
  t.same(
    broken(({ journal }) => recallFourth(journal)),
    [],
    'a recall that was taken back everywhere'
  )
  t.same(
    broken(({ journal }) => {
      journal.away.push({ from: START + 590, to: START + 610, users: ['bob'] })
    }),
    [],
    'another part of the store was away'
  )
  t.same(
    broken(({ publishes }) => {
      publishes.push({ ...publish(7), attempts: [{ sentAt: START, doneAt: START + 1, node: 0, status: 503 }] })
    }),
    [],
    'a publish that nobody took'
  )
  const skips = (end: ClientConnection['end'], inFlight: number | undefined, skipped: number) => (parts: Parts) => {
    parts.journal.clients.push(reader([end, inFlight], skipped))
  }
  t.same(broken(skips('reset', 0, 1)), [], 'a row that was written as the reset arrived')
  t.same(broken(manyLost(149)), ['cursor'], 'one row more than a window has, and too few bytes in flight for it')
  t.same(broken(manyLost(150)), [], 'one row more than a window has, which was in flight')
  t.same(broken(skips('broken', undefined, 2)), [], 'a client that read nothing when its connection broke')
  const ended = (at: number) => (parts: Parts) => {
    const client = reader(['broken', undefined], 2)
    ;(client.connections[0] as ClientConnection).endedAt = START + at
    parts.journal.clients.push(client)
  }
  t.same(broken(ended(500)), ['cursor'], 'rows that were published after the end')
  t.same(broken(skips('closed', 0, 0)), [], 'a client that came back at its place')
  t.same(
    broken((parts) => {
      cases.again.change(parts)
      parts.journal.windows.push({ kind: 'storeKill', from: START + 1000, to: START + 1500 })
    }),
    [],
    'an acknowledgement while the store was away'
  )
  t.same(
    broken((parts) => {
      cases.again.change(parts)
      ;(parts.journal.clients[0]?.connections[1] as ClientConnection).asked = true
    }),
    [],
    'a client that asked for an earlier place'
  )
  t.same(
    broken(({ journal }) => journal.conflicts.push({ user: 'alice', key: 'key-2', status: 422, sentAt: START })),
    []
  )
  t.same(
    broken(({ journal }) => journal.conflicts.push({ user: 'alice', key: 'key-2', status: 202, sentAt: START })),
    ['idempotency'],
    'another body was taken'
  )
  const trimmed = (kept: number) => (parts: Parts) => {
    parts.log.floor = 5 - kept
    parts.rows.splice(0, 5 - kept)
    Object.assign(parts.log, { unread: kept, unseen: kept })
    parts.log.states = {}
    for (const each of parts.journal.devices) each.unread = kept
    parts.journal.maxEntries = 3
  }
  t.same(broken(trimmed(3)), [], 'as many as may be kept')
  t.same(broken(trimmed(2)), ['bounds'], 'fewer')
  t.same(
    broken(({ publishes }) => {
      const [attempt] = (publishes[0] as Publish).attempts as [Required<Publish['attempts'][number]>]
      publishes[0]?.attempts.push({ ...attempt, repeat: true, result: { ...attempt.result, eventId: eventIdOf(2) } })
    }),
    ['answered'],
    'a repeat is answered with the place of another notification'
  )
  const late = (spoil: (parts: Parts) => void) => (parts: Parts) => {
    cases.late.change(parts)
    spoil(parts)
  }
  const window = (from: number, node?: number) =>
    late(({ journal }) =>
      journal.windows.push({ kind: 'x', from: START + from, to: START + from + 10, ...(node === undefined ? {} : { node }) })
    )
  t.same(broken(window(1500)), [], 'late while something was broken')
  t.same(broken(window(1500, 0)), [], 'late while its node was cut off')
  t.same(broken(window(1500, 1)), ['late'], 'late while another node was')
  const swallowed = (to: number) =>
    late(({ journal }) => journal.windows.push({ kind: 'x', from: START + 900, to: START + to, node: 0, wakeUpsOnly: true }))
  t.same(broken(swallowed(1200)), [], 'late, and not so late since wake-ups came again')
  const elsewhere = late(({ journal }) =>
    journal.windows.push({ kind: 'x', from: START + 900, to: START + 1200, node: 1, wakeUpsOnly: true })
  )
  t.same(broken(elsewhere), ['late'], 'late, while another node lost wake-ups')
  t.same(broken(swallowed(1050)), ['late'], 'late even from then')
  t.same(broken(window(100)), ['late'], 'late, and something had been broken before')
  t.same(
    broken(late(({ phone }) => phone.events.splice(2, 0, { type: 'connecting', at: START + 300, node: 0 }))),
    [],
    'late while not connected'
  )
  t.equal(lateness(clean()).measured, 10)
})

t.test('a store that lost rows: a device that starts at its cursor gets what took their place, and its publishers repeat', async (t) => {
  /** The fourth row was lost after every device was shown it and the fifth one. The sixth notification took its place; the fifth was repeated. */
  const forked =
    ({ atCursor = true, from = 4, lossy = true }: { atCursor?: boolean; from?: number; lossy?: boolean } = {}) =>
    ({ journal, rows, phone, log }: Parts): void => {
      journal.lossy = lossy
      Object.assign(log, { unread: 5, unseen: 5, states: {}, top: 5 })
      rows.pop()
      for (const [index, row] of rows.entries()) row.tag = index < 3 ? idOf(index).slice(0, 8) : `taken--${index}`
      Object.assign(rows[3] as LogRow, { id: idOf(6) })
      for (const each of journal.devices) {
        const gap: DeviceEvent = { type: 'gap', at: START + 1200, reason: 'fork', from: eventIdOf(5), to: 'e.5', count: 0 }
        const shown = { type: 'shown' as const, at: START + 1210, replay: true }
        each.events.push({ type: 'connected', at: START + 1200, node: 0, ...(each === phone && atCursor && { atCursor: true }) })
        if (each !== phone) each.events.push(gap)
        each.events.push({ ...shown, id: idOf(6), eventId: `e.${each === phone ? from : 4}.taken--3` })
      }
    }
  t.same(broken(forked()), [], 'the row follows the newest one that is still in the log')
  t.same(broken(forked({ atCursor: false })), ['order'], 'a device that named a lost position is told of the loss')
  t.same(broken(forked({ from: 3 })), ['order'], 'a row in front of one that is still in the log')
  t.ok(broken(forked({ lossy: false })).includes('order'), 'nothing was lost')
  const swapped = (parts: Parts): void => {
    forked()(parts)
    parts.phone.events.push({ type: 'shown', at: START + 1220, id: idOf(7), eventId: 'e.4.another-', replay: true })
  }
  t.ok(broken(swapped).includes('order'), 'within the connection')

  const conflicting = ({ lossy = true, status = 202, key = 'key-2' } = {}) =>
    broken(({ journal, publishes }) => {
      Object.assign(journal, { lossy })
      journal.conflicts.push({ user: 'alice', key, status, sentAt: START + 1200 })
      const code = 'BELFRY_ERR_IDEMPOTENCY_CONFLICT'
      publishes[1]?.attempts.push({ sentAt: START + 1300, doneAt: START + 1305, node: 0, status: 422, repeat: true, code })
    })
  t.same(conflicting(), [], 'another body took the key after the loss')
  t.same(conflicting({ status: 422 }), ['idempotency'], 'the other body was refused')
  t.same(conflicting({ key: 'key-3' }), ['idempotency'], 'it took another key')
  t.same(conflicting({ lossy: false }), ['idempotency'], 'nothing was lost')

  const repeated = (lostAt: number, lossy = true) =>
    broken(({ journal, publishes, rows }) => {
      Object.assign(journal, { lossy })
      journal.away.push({ from: START + lostAt, to: START + lostAt + 10 })
      ;(publishes[0] as Publish).sequence = 9
      const [{ result, ...first }] = (publishes[0] as Publish).attempts as [Required<Publish['attempts'][number]>]
      publishes[0]?.attempts.push({ ...first, sentAt: START + 1200, doneAt: START + 1205, result, repeat: true })
      publishes.push(...publishes.splice(0, 1))
      t.equal(rows.length, 6)
    })
  t.same(repeated(1100), [], 'a repeat after the loss appends the notification again')
  t.same(repeated(1300), ['parked'], 'a repeat before the loss')
  t.same(repeated(1100, false), ['parked'], 'nothing was lost')
})

t.test('expiry: a row and each device have two seconds, and the time of a fault', async (t) => {
  const expired =
    (lateMs: number, change: (parts: Parts) => void = () => undefined) =>
    (parts: Parts) => {
      limitThird(parts.journal, START + 1300)
      expireThird(parts.journal, START + 1300 + lateMs)
      change(parts)
    }
  t.same(broken(expired(1900)), [])
  t.same(broken(expired(2100)), ['expired'], 'the row is late')
  const window = { kind: 'storeKill', from: START + 3000, to: START + 4000 }
  t.same(broken(expired(4600, ({ journal }) => journal.windows.push(window))), [], 'two seconds after a fault')
  t.same(broken(expired(4800, ({ journal }) => journal.windows.push(window))), ['expired'])
  t.same(
    broken(expired(1900, ({ phone }) => Object.assign(phone.events.at(-1) as DeviceEvent, { at: START + 3400 }))),
    ['expired'],
    'a device is late'
  )
  const twoConnections = ({ phone }: Parts): void => {
    const [retract] = phone.events.splice(-1)
    phone.events.push({ type: 'connecting', at: START + 1250, node: 0 }, { type: 'connected', at: START + 9000, node: 0 })
    phone.events.push({ ...(retract as DeviceEvent), at: START + 9100 }, { type: 'caughtUp', at: START + 9200, node: 0 })
  }
  t.same(broken(expired(1900, twoConnections)), [], 'a device that was not connected')
  t.same(
    broken(({ journal }) => expireThird(journal, START + 1300)),
    ['expired'],
    'a notification without an expiry'
  )
  const shownLate = (replay: boolean) => (parts: Parts) => {
    limitThird(parts.journal, START + 650)
    expireThird(parts.journal, START + 1300)
    const [shown] = parts.phone.events.splice(3, 1)
    const connected = { type: 'connected' as const, at: START + 3500, node: 0 }
    const [retract] = parts.phone.events.splice(-1)
    parts.phone.events.splice(3, 2)
    parts.journal.publishes.splice(3)
    parts.journal.devices[1]?.events.splice(4, 2)
    parts.log.rows.splice(3, 2)
    parts.log.top = 5
    for (const row of parts.rows.slice(3)) {
      const count = row.kind === 's' ? 2 : 1
      Object.assign(row, { unread: count, unseen: count })
    }
    Object.assign(parts.log, { unread: 1, unseen: 1 })
    for (const each of parts.journal.devices) each.unread = 1
    parts.phone.events.push(connected, { ...(shown as DeviceEvent), at: START + 3600, replay } as DeviceEvent)
    parts.phone.events.push({ ...(retract as DeviceEvent), at: START + 3700 })
  }
  t.same(broken(shownLate(true)), ['expired'], 'a device that connected later is shown an expired notification')
  const stalled =
    (soughtAt: number, slowAt: number, briskAt: number, change: (parts: Parts) => void = () => undefined) =>
    (parts: Parts) => {
      shownLate(true)(parts)
      const { events } = parts.phone
      const at = events.findIndex(({ type }) => type === 'connected')
      const sought = { type: 'connecting' as const, at: START + soughtAt, node: 0 }
      const slow = { type: 'slow' as const, at: START + slowAt }
      events.splice(at, 0, ...(slowAt < soughtAt ? [slow, sought] : [sought, slow]), { type: 'brisk', at: START + briskAt })
      change(parts)
    }
  t.same(broken(stalled(1250, 1200, 3499)), [], 'the replay waited in a socket that the device did not read')
  t.same(broken(stalled(1250, 1260, 3499)), [], 'also one that stalled after it connected')
  t.same(broken(stalled(3350, 1200, 3499)), ['expired'], 'the node read the log after the expiry')
  t.same(broken(stalled(1250, 1200, 1240)), ['expired'], 'the device was slow before')
  const dropsExpired = ({ phone }: Parts): void => void Object.assign(phone, { dropsExpired: true })
  t.same(broken(stalled(1250, 1200, 3499, dropsExpired)), ['expired'], 'the SDK has a clock of its own')
})

t.test('a publish without a key is carried out at most once, and a refused one never', async (t) => {
  const sentOnce =
    (titles: (string | undefined)[], status: number) =>
    ({ rows, publishes }: Parts): void => {
      for (const [index, title] of titles.entries()) Object.assign(rows[index] as LogRow, { title })
      publishes.push({ publisher: 'p', user: 'alice', sequence: undefined, key: 'once', isUnkeyed: true, attempts: [] })
      publishes.at(-1)?.attempts.push({ sentAt: START, doneAt: START + 10, node: 0, status })
    }
  t.same(broken(sentOnce([], 0)), [])
  t.same(broken(sentOnce(['once'], 0)), [], 'its answer was lost')
  t.same(broken(sentOnce(['once', 'once'], 0)), ['idempotency'])
  t.same(broken(sentOnce([], 429)), [])
  t.same(broken(sentOnce(['once'], 429)), ['idempotency'], 'it was refused')
})

t.test('a notification that expired on a device and was answered in time is shown there once more', async (t) => {
  const shownAgain =
    (isAnswered: boolean, isExpired = true) =>
    ({ journal, phone }: Parts): void => {
      limitThird(journal, START + 1000)
      answerThird(journal)
      const answer = { answer: answerOf('phone') }
      if (isExpired) phone.events.push({ type: 'retract', at: START + 1220, id: idOf(3), reason: 'expired' })
      const again = { type: 'shown' as const, at: START + 1230, id: idOf(3), eventId: eventIdOf(3), replay: true }
      phone.events.push({ ...again, ...(isAnswered && answer) })
    }
  t.same(broken(shownAgain(true)), [])
  t.same(broken(shownAgain(false)), ['duplicate', 'order'])
  t.same(broken(shownAgain(true, false)), ['duplicate', 'order'])
})

t.test('answers: the first one counts, and ends the expiry', async (t) => {
  t.same(
    broken(({ journal }) => answerThird(journal)),
    []
  )
  const answeredThen = (change: (parts: Parts) => void) => (parts: Parts) => {
    answerThird(parts.journal)
    change(parts)
  }
  t.same(broken(answeredThen(({ journal }) => limitThird(journal, START + 1300))), [], 'it stays')
  t.same(
    broken(answeredThen(({ journal }) => Object.assign(journal.answers[1] ?? {}, { answer: answerOf('laptop'), outcome: 'first' }))),
    ['answer'],
    'two won'
  )
  t.same(
    broken(
      answeredThen(({ journal, log, rows }) => {
        limitThird(journal, START + 1300)
        expireThird(journal, START + 1400)
        log.top = 8
        delete log.states[idOf(3)]
        Object.assign(rows.at(-1) as LogRow, { unread: 3, unseen: 3 })
      })
    ),
    ['answer'],
    'it expired all the same'
  )
  t.same(
    broken(({ journal }) => {
      answerThird(journal)
      const [log] = journal.logs as [UserLog]
      log.rows.pop()
      log.top = 6
      Object.assign(log, { unread: 4, unseen: 4 })
      delete log.states[idOf(3)]
      for (const each of journal.devices) each.unread = 4
    }),
    ['answer'],
    'no row tells so'
  )
})

t.test('replacement: the old row is emptied, and counts no more', async (t) => {
  const replaced = (change: (parts: Parts) => void) => (parts: Parts) => {
    const { journal, log, rows } = parts
    collapse(journal, true)
    ;(rows[1] as LogRow).kind = 'x'
    // The mark came when the notification had left the log.
    rows.pop()
    log.top = 5
    log.states = {}
    Object.assign(publishOf(parts, 2), { options: { collapseKey: 'key' } })
    change(parts)
  }
  const publishOf = ({ publishes }: Parts, number: number): Publish => publishes[number - 1] as Publish
  const none = (): void => undefined
  t.same(broken(replaced(none)), [])
  t.same(broken(replaced(({ log }) => (log.unread = 5))), ['unread'], 'the replaced one is still counted')
  t.same(broken(replaced(({ phone }) => delete (phone.events[4] as { replaces?: string }).replaces)), ['collapsed'], 'a device is not told')
  t.same(
    broken(
      replaced(({ phone }) => {
        Object.assign(phone.events[4] as DeviceEvent, { replay: true })
        delete (phone.events[4] as { replaces?: string }).replaces
      })
    ),
    [],
    'in a replay the key is enough'
  )
  t.same(
    broken(
      replaced(({ rows, log, journal }) => {
        ;(rows[3] as LogRow).kind = 'x'
        Object.assign(log, { unread: 3, unseen: 3 })
        for (const each of journal.devices) each.unread = 3
      })
    ),
    ['collapsed', 'unread', 'unseen'],
    'none is left'
  )
  t.same(
    broken(
      replaced(({ rows, log, journal, publishes }) => {
        rows[3] = { kind: 'x', at: (rows[3] as LogRow).at, id: 'stranger' }
        const { result, ...unanswered } = (publishes[3] as Publish).attempts[0] as Publish['attempts'][number]
        Object.assign(publishes[3] as Publish, { attempts: [unanswered], options: { collapseKey: 'key' } })
        Object.assign(log, { unread: 3, unseen: 3 })
        for (const each of journal.devices) {
          each.unread = 3
          each.unseen = 3
          each.events = each.events.filter((event) => !('id' in event) || event.id !== idOf(4))
        }
      })
    ),
    [],
    'one that nobody knows took its place, and left'
  )
})

t.test('the schedule: on time, unless the rate or a fault delays it', async (t) => {
  const due =
    (at: number, change: (parts: Parts) => void = () => undefined) =>
    (parts: Parts) => {
      Object.assign(parts.publishes[4]?.attempts[0]?.result ?? {}, { status: 'scheduled', eventId: '', deliverAt: at })
      change(parts)
    }
  t.same(broken(due(START + 1000)), [])
  t.same(broken(due(START - 1200)), [], 'as late as the rate and two seconds make it')
  t.same(
    broken(
      due(START - 1200, ({ journal, rows, publishes, log }) => {
        rows.splice(0, 4)
        publishes.splice(0, 4)
        Object.assign(rows[1] as LogRow, { ids: [], unread: 1, unseen: 1 })
        log.top = 2
        Object.assign(log, { unread: 1, unseen: 1 })
        log.states = {}
        ;(publishes[0]?.attempts[0]?.result as { eventId: string }).eventId = ''
        for (const each of journal.devices) {
          each.unread = 1
          each.events.splice(1, 4)
          Object.assign(each.events[1] as DeviceEvent, { eventId: eventIdOf(5).replace('.5.', '.1.') })
        }
      })
    ),
    ['scheduled'],
    'late without a reason'
  )
  t.same(broken(due(START + 1000, ({ log }) => (log.scheduled = 1))), ['scheduled'], 'one is still scheduled')
})

t.test('a seen notification is unread, and not unseen', async (t) => {
  t.same(broken(markAsSeen), [])
  const seen = (change: (parts: Parts) => void) => (parts: Parts) => {
    markAsSeen(parts)
    change(parts)
  }
  t.same(broken(seen(({ log }) => Object.assign(log, { unseen: 5 }))), ['unseen'], 'the store counts it')
  t.same(broken(seen(({ phone }) => Object.assign(phone, { unseen: 5 }))), ['unseen'], 'a device counts it')
  t.same(broken(seen(({ phone }) => Object.assign(phone, { unseen: undefined }))), [], 'a client that counts no unseen ones')
  t.same(broken(seen(({ rows }) => Object.assign(rows[5] as LogRow, { unseen: undefined }))), [], 'a row of an earlier version')
})

t.test('the list of a client counts a live notification unless it takes the place of an unread one', async (t) => {
  const list = new ShownList()
  const showAll = (id: string, options: { collapseKey?: string; replaces?: string } = {}) =>
    list.apply({ type: 'notification', notification: { id, ...options } })
  const show = (...of: Parameters<typeof showAll>): number => showAll(...of).unread
  t.equal(show('one', { collapseKey: 'key' }), 1)
  t.equal(show('two', { collapseKey: 'key', replaces: 'one' }), 0)
  list.apply({ type: 'state', ids: ['two'], state: 'read' })
  t.equal(show('three', { collapseKey: 'key', replaces: 'two' }), 1)
  list.apply({ type: 'answered', id: 'three' })
  t.equal(show('four', { collapseKey: 'key', replaces: 'three' }), 1, 'an answered one is read')
  list.apply({ type: 'notification', state: 'archived', notification: { id: 'five' } })
  list.apply({ type: 'answered', id: 'five' })
  t.equal(show('six', { replaces: 'five' }), 1, 'an archived one stays archived')
  t.equal(show('seven', { replaces: 'unknown' }), 0, 'one that the client does not know is taken as unread')
  list.apply({ type: 'state', ids: ['seven'], state: 'seen' })
  t.same(showAll('eight', { replaces: 'seven' }), { unread: 0, unseen: 1 }, 'a seen one is unread, and not unseen')
  t.same(showAll('nine', { replaces: 'eight' }), { unread: 0, unseen: 0 })
  list.apply({ type: 'retract', id: 'other', collapseKey: 'key' })
  list.apply({ type: 'state', ids: ['four'], state: 'read' })
  t.equal(show('eight', { replaces: 'four' }), 0, 'a retraction removes those of its key, too')
})

t.test('a call after a look is explained by a receiver that hung, and one that is owed by a node that died', async (t) => {
  const looked = (journal: Journal): void => {
    journal.reach?.looks.push({ user: 'alice', begunAt: START + 1500, doneAt: START + 1600, endedAt: START + 1700, epoch: 'e', offset: 6 })
    journal.reach?.calls.push({ event: 'push', at: START + 9000, user: 'alice', id: idOf(1), callId: '/1', status: 204 })
  }
  t.same(
    broken(({ journal }) => looked(journal)),
    ['unwanted']
  )
  const hung = { kind: 'receiverHang', from: START + 1000, to: START + 10_000 }
  t.same(
    broken(({ journal }) => {
      looked(journal)
      journal.reach?.windows.push(hung)
    }),
    []
  )
})

t.test('a call that waits at the end is owed once an attempt between the faults has its time behind it', async (t) => {
  const waiting = (isWaiting: boolean, endedAt: number, ...faults: [kind: string, from: number, to: number][]) =>
    broken(({ journal: { reach } }) => {
      reach?.calls.pop()
      Object.assign(reach as object, { waiting: isWaiting ? [`alice ${idOf(1)}`] : [], endedAt: START + endedAt })
      for (const [kind, from, to] of faults) reach?.windows.push({ kind, from: START + from, to: START + to })
    })
  t.same(waiting(true, 20_000, ['nodeEnd', 1000, 3000]), [], 'its node was killed: the lease has not ended')
  t.same(waiting(false, 20_000, ['nodeEnd', 1000, 3000]), ['owed'], 'no call waits, so it was taken or is lost')
  t.same(waiting(true, 20_000), ['owed'], 'no fault')
  const dead: [string, number, number][] = [
    ['receiverKill', 1000, 3000],
    ['receiverKill', 6000, 9000]
  ]
  t.same(waiting(true, 50_000, ...dead), [], 'two attempts failed, and the third follows 30 s to 36 s later')
  t.same(waiting(true, 130_000, ...dead), ['owed'], 'the third attempt met no fault')
  t.same(waiting(true, 130_000, ...dead, ['receiverKill', 36_000, 37_000]), [], 'the third met a fault, too')
})

t.test('most notifications have no options, and those that have some expire and are due within seconds', async (t) => {
  const random = dice(1)
  const drawn = Array.from({ length: 2000 }, () => drawOptions(random, START))
  const part = (name: keyof PublishedOptions): number => drawn.filter((options) => options[name] !== undefined).length / drawn.length
  t.ok(drawn.filter((options) => Object.keys(options).length === 0).length > 0.7 * drawn.length)
  for (const name of ['expiresAt', 'ttl', 'collapseKey', 'urgency', 'deliverAt', 'actions'] as const) t.ok(part(name) > 0.015, name)
  for (const { deliverAt = START, expiresAt = deliverAt + 1, ttl = 1 } of drawn) {
    if (deliverAt > START + 5000 || expiresAt <= deliverAt || expiresAt > deliverAt + 4000 || ttl > 3)
      t.fail(`${deliverAt} ${expiresAt} ${ttl}`)
  }
})

t.test('the same seed gives the same schedule of a fault, whichever other faults are in it', async (t) => {
  for (const store of storeKinds) {
    const faults = schedule(42, 60, store)
    t.same(schedule(42, 60, store), faults)
    t.notSame(schedule(43, 60, store), faults)
    t.ok(faults.every(({ at }, i) => at >= 1500 && at < 60_000 && at >= (faults[i - 1]?.at ?? 0)))
    const kinds = new Set(faults.map(({ kind }) => kind))
    t.ok(kinds.has('nodeKill') && !kinds.has('lostTail') && !kinds.has('storeWipe'))
    t.equal(kinds.has('storeKill'), store !== 'embedded')
    t.equal(kinds.has('slotMove'), store === 'cluster')
    t.notOk(kinds.has('busKill'))
    const onNats = schedule(42, 60, store, { bus: 'nats' })
    t.same(
      onNats.filter(({ kind }) => !kind.startsWith('bus')),
      faults.filter(({ kind }) => !kind.startsWith('subscriber'))
    )
    t.equal(
      onNats.some(({ kind }) => kind === 'busKill'),
      store !== 'embedded'
    )
  }
  const all = schedule(42, 60, 'redis')
  const only: FaultKind[] = ['nodeKill', 'clientCut']
  t.same(
    schedule(42, 60, 'redis', { only }),
    all.filter(({ kind }) => only.includes(kind))
  )
  const count = (intensity: number): number => schedule(42, 60, 'redis', { only: ['nodeKill'], intensity }).length
  t.ok(count(1) >= 24 && count(1) <= 32, `${count(1)} kills a minute`)
  t.ok(count(4) > 3 * count(1))
  t.equal(schedule(1, 30, 'embedded', { only: faultKinds }).length > 0, true)
})

t.test('the page names every rule and every fault, and its figures come from the runs', async (t) => {
  const page = readFileSync('docs/explanation/chaos.md', 'utf8')
  t.ok(page.includes(rulesTable()))
  for (const kind of faultKinds) t.ok(page.includes(kind === 'scriptFlush' ? 'SCRIPT FLUSH' : `\`${kind}\``), kind)
  const summary = summarize(clean(), new Map([['nodeKill', 3]]), [])
  const outcome = { name: 'a defect', caughtBy: ['lost' as const], others: ['unread' as const], seconds: 9, failure: '' }
  const text = figures([summary], [outcome, { ...outcome, caughtBy: [] }])
  t.match(text, /faults: 3 nodeKill\npublished: 5 accepted \(0 of them parked\)/)
  t.match(text, /delivered: 10 shown/)
  t.match(text, /chaos: clean, 5 accepted/)
  t.match(text, /1 of 2 seeded defects were caught/)
  t.match(text, /\| a defect \| `lost` \(also unread\) \| 9 \|/)
})
