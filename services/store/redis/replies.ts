import type { Answer, GapReason, Position, State } from '../../protocol/index.ts'
import { sortedReceipts } from '../queries.ts'
import type {
  AdvanceResult,
  AnswerResult,
  AttachResult,
  Backlog,
  CallReceipt,
  FindResult,
  InboxItem,
  InboxPage,
  MarkResult,
  PublishResult,
  QueueInfo,
  ScheduledPage,
  Start
} from '../store.ts'
import { bytes, list, number, type Reply, text } from './reply.ts'

// Decodes the replies of the scripts into the results of `store.ts`.

/** Reads the line that `publish-full` and `publish-usual` reply with. */
export function publishResult(line: string): PublishResult {
  const [status = '', a = '', b = '', c = '', d = '', e = '', f = ''] = line.split(' ')
  switch (status) {
    case 'accepted':
      return {
        status: 'accepted',
        epoch: a,
        offset: Number(b),
        id8: e,
        nodes: Number(c),
        replayed: d === '1',
        ...(f !== '' && { checkAt: Number(f) })
      }
    case 'parked':
      return { status: 'parked', releaseAt: Number(a), replayed: b === '1' }
    case 'recalled':
      return { status: 'recalled', replayed: true }
    case 'erased':
      return { status: 'erased' }
    case 'scheduled':
      return { status: 'scheduled', deliverAt: Number(a), replayed: b === '1' }
    case 'full':
      return { status: 'full', retryAfterMs: Number(a) }
    case 'expired':
      return { status: 'expired' }
    case 'scheduled-full':
      return { status: 'scheduledFull', retryAfterMs: Number(a) }
    default:
      return { status: 'conflict' }
  }
}

/** Result of an attach, the node's counter after it, and the node's connections that were told to close. */
export interface AttachReply {
  counter: number
  result: AttachResult
  kicks: { connectionId: string; reason: string }[]
}

export function attachResult(reply: Reply, start: Start): AttachReply {
  const status = text(list(reply)[0])
  if (status !== 'attached') return { counter: 0, result: { status: status === 'revoked' ? 'revoked' : 'limit' }, kicks: [] }
  const displaced = list(list(reply)[13]).map(text)
  const kicked = list(list(reply)[14]).map(text)
  const kicks: AttachReply['kicks'] = []
  for (let i = 0; i < kicked.length; i += 2) kicks.push({ connectionId: kicked[i] as string, reason: kicked[i + 1] as string })
  return { counter: number(list(reply)[1]), result: { status: 'attached', backlog: backlog(reply, start), displaced }, kicks }
}

export function backlog(reply: Reply, start: Start): Backlog {
  const [, , epochText, top, topId8, offset, id8, resumed, unread, parked, rows, states, gapParts, , , expires, answers, unseen] =
    list(reply)
  const epoch = text(epochText)
  const gap = gapOf(list(gapParts))
  const from: Position = { epoch, offset: number(offset), id8: text(id8) }
  return {
    epoch,
    top: number(top),
    topId8: text(topId8),
    start: gap === undefined && start.at === 'position' ? start.position : from,
    resumed: resumed === 1,
    gap,
    rows: list(rows).map(bytes),
    states: statesOf(list(states)),
    answers: answersOf(list(answers)),
    unread: number(unread),
    unseen: number(unseen),
    parked: number(parked),
    expiresInMs: number(expires)
  }
}

function gapOf(parts: Reply[]): Backlog['gap'] {
  if (parts.length === 0) return undefined
  const [reason, from, to, count] = parts
  return { reason: text(reason) as GapReason, from: text(from), to: text(to), count: number(count) }
}

function statesOf(pairs: Reply[]): Map<string, State> {
  const states = new Map<string, State>()
  for (let i = 0; i < pairs.length; i += 2) states.set(text(pairs[i]), text(pairs[i + 1]) as State)
  return states
}

function answersOf(pairs: Reply[]): Map<string, Answer> {
  const answers = new Map<string, Answer>()
  for (let i = 0; i < pairs.length; i += 2) {
    const answer = answerOf(text(pairs[i + 1]))
    if (answer !== undefined) answers.set(text(pairs[i]), answer)
  }
  return answers
}

/** Reads an answer as `prelude-options.lua` keeps it; undefined for ''. */
function answerOf(kept: string): Answer | undefined {
  const match = /^(\d+) ([^ ]+) (.*)$/s.exec(kept)
  return match === null ? undefined : { action: match[2] as string, answeredAt: Number(match[1]), deviceId: match[3] as string }
}

export function answerResult(reply: Reply): AnswerResult {
  const [status, kept, replayed] = list(reply)
  const answer = kept === undefined ? undefined : answerOf(text(kept))
  const word = text(status)
  if (answer === undefined) return { status: word === 'notOffered' ? 'notOffered' : 'unknown' }
  return word === 'already' ? { status: 'already', answer } : { status: 'answered', answer, replayed: replayed === 1 }
}

export function advanceResult(reply: Reply): AdvanceResult {
  const [counts, lanes] = list(reply)
  const [released = 0, folded = 0, delivered = 0, expired = 0, checked = 0, called = 0, dropped = 0, waiting = 0, nextAt = 0] =
    list(counts).map(number)
  return { released, folded, delivered, expired, checked, called, dropped, waiting, nextAt, lanes: list(lanes).map(text) }
}

export function scheduledPage(reply: Reply): ScheduledPage {
  const [nextAt, nextNo, ...parts] = list(reply)
  const items: ScheduledPage['items'] = []
  for (let i = 0; i < parts.length; i += 2) items.push({ deliverAt: number(parts[i]), row: bytes(parts[i + 1]) })
  return { items, next: nextAt === 0 ? undefined : { deliverAt: number(nextAt), no: number(nextNo) } }
}

export function markResult(reply: Reply): MarkResult | 'restarted' {
  const [unread, unseen, ids] = list(reply)
  return unread === undefined ? 'restarted' : { ids: list(ids).map(text), unread: number(unread), unseen: number(unseen) }
}

export function inboxPage(reply: Reply): InboxPage | 'restarted' {
  const [epochText, unread, unseen, count, next, ...parts] = list(reply)
  if (epochText === undefined) return 'restarted'
  const epoch = text(epochText)
  const items: InboxItem[] = []
  for (let i = 0; i < parts.length; i += 4) {
    const state = text(parts[i + 2]) as State
    items.push({ epoch, offset: number(parts[i]), row: bytes(parts[i + 1]), state, answer: answerOf(text(parts[i + 3])) })
  }
  const page = { items, next: next === 0 ? undefined : { epoch, offset: number(next) }, unread: number(unread), unseen: number(unseen) }
  return count === -1 ? page : { ...page, count: number(count) }
}

export function findResult(reply: Reply): FindResult | undefined {
  const [place, a, b, c, d, e, ...receipts] = list(reply)
  if (place === undefined) return undefined
  switch (text(place)) {
    case 'log':
      return {
        in: 'log',
        item: { epoch: text(a), offset: number(b), row: bytes(c), state: text(d) as State, answer: answerOf(text(e)) },
        receipts: sortedReceipts(receipts.map((receipt) => receiptOf(text(receipt))))
      }
    case 'parked':
      return { in: 'parked', row: bytes(a), releaseAt: number(b) }
    case 'scheduled':
      return { in: 'scheduled', row: bytes(a), deliverAt: number(b) }
    default:
      return { in: 'digest', position: { epoch: text(a), offset: number(b), id8: text(c) } }
  }
}

const RECEIPT_STATUSES: Record<string, CallReceipt['status']> = { w: 'waiting', s: 'sent', f: 'failed', g: 'gone', d: 'dropped' }

/** Reads a receipt as `Outbox.receipts_of` in `prelude-outbox.lua` returns it. */
function receiptOf(kept: string): CallReceipt {
  const end = kept.indexOf(' ')
  return {
    event: kept.startsWith('p') ? 'push' : 'notification.fallback',
    status: RECEIPT_STATUSES[kept.charAt(1)] as CallReceipt['status'],
    at: Number(kept.slice(2, end)),
    deviceId: kept.slice(end + 1)
  }
}

export function queueInfo(reply: Reply): QueueInfo {
  const [epochText, topReply, topId8, floorReply, firstId8, parked, scheduled, unread, unseen, ...cursors] = list(reply)
  const epoch = text(epochText)
  const top = number(topReply)
  const floor = number(floorReply)
  const devices: QueueInfo['devices'] = []
  for (let i = 0; i < cursors.length; i += 2) {
    const [cursorEpoch = '', offset = '0', id8 = '', at = '0'] = text(cursors[i + 1]).split(' ')
    const position = { epoch: cursorEpoch, offset: Number(offset), id8 }
    const from = position.epoch === epoch ? Math.max(position.offset, floor) : floor
    devices.push({ deviceId: text(cursors[i]), position, lag: top - from, at: Number(at) })
  }
  devices.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
  const first = top > floor ? { epoch, offset: floor + 1, id8: text(firstId8) } : { epoch, offset: 0, id8: '' }
  const head = { epoch, offset: top, id8: text(topId8) }
  const counts = { unread: number(unread), unseen: number(unseen) }
  return { head, first, parked: number(parked), scheduled: number(scheduled), ...counts, devices }
}
