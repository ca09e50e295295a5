import type { GapReason, Position, State } from '../../protocol/index.ts'
import type { AttachResult, Backlog, FindResult, InboxItem, InboxPage, MarkResult, PublishResult, QueueInfo, Start } from '../store.ts'
import { bytes, list, number, type Reply, text } from './reply.ts'

// Decodes the replies of the scripts into the results of `store.ts`.

/** Reads the line that `publish-full` and `publish-usual` reply with. */
export function publishResult(line: string): PublishResult {
  const [status = '', a = '', b = '', c = '', d = '', e = ''] = line.split(' ')
  switch (status) {
    case 'accepted':
      return { status: 'accepted', epoch: a, offset: Number(b), id8: e, nodes: Number(c), replayed: d === '1' }
    case 'parked':
      return { status: 'parked', releaseAt: Number(a), replayed: b === '1' }
    case 'recalled':
      return { status: 'recalled', replayed: true }
    case 'full':
      return { status: 'full', retryAfterMs: Number(a) }
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
  const [, , epochText, top, topId8, offset, id8, resumed, unread, parked, rows, states, gapParts, , , expires] = list(reply)
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
    unread: number(unread),
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

export function markResult(reply: Reply): MarkResult | 'restarted' {
  const [unread, ids] = list(reply)
  return unread === undefined ? 'restarted' : { ids: list(ids).map(text), unread: number(unread) }
}

export function inboxPage(reply: Reply): InboxPage | 'restarted' {
  const [epochText, unread, next, ...parts] = list(reply)
  if (epochText === undefined) return 'restarted'
  const epoch = text(epochText)
  const items: InboxItem[] = []
  for (let i = 0; i < parts.length; i += 3) {
    items.push({ epoch, offset: number(parts[i]), row: bytes(parts[i + 1]), state: text(parts[i + 2]) as State })
  }
  return { items, next: next === 0 ? undefined : { epoch, offset: number(next) }, unread: number(unread) }
}

export function findResult(reply: Reply): FindResult | undefined {
  const [place, a, b, c, d] = list(reply)
  if (place === undefined) return undefined
  switch (text(place)) {
    case 'log':
      return { in: 'log', item: { epoch: text(a), offset: number(b), row: bytes(c), state: text(d) as State } }
    case 'parked':
      return { in: 'parked', row: bytes(a), releaseAt: number(b) }
    default:
      return { in: 'digest', position: { epoch: text(a), offset: number(b), id8: text(c) } }
  }
}

export function queueInfo(reply: Reply): QueueInfo {
  const [epochText, topReply, topId8, floorReply, firstId8, parked, unread, ...cursors] = list(reply)
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
  return { head: { epoch, offset: top, id8: text(topId8) }, first, parked: number(parked), unread: number(unread), devices }
}
