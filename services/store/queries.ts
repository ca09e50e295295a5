import { positionOf } from './reading.ts'
import { digestIn, rowId, rowKind } from './row.ts'
import { type KeyPlace, type Parked, rowAt, type Scheduled, type UserState, unreadCounts } from './state.ts'
import type {
  CallReceipt,
  FindResult,
  InboxItem,
  InboxPage,
  InboxQuery,
  PublishResult,
  QueueInfo,
  ScheduledPage,
  ScheduledQuery
} from './store.ts'
import { matchesType, typeBeginnings } from './type-filter.ts'

/** Returns the offset of a notification in the log, or undefined. */
export function offsetOf({ options, rows, floor }: UserState, id: string): number | undefined {
  const known = options.get(id)?.offset
  if (known !== undefined) return known
  const index = rows.findIndex((row) => rowKind(row) === 'n' && rowId(row) === id)
  return index < 0 ? undefined : floor + 1 + index
}

/** Returns the offset of the digest that names a notification, or undefined. */
export function digestOffsetOf({ rows, floor }: UserState, id: string): number | undefined {
  const index = rows.findIndex((row) => rowKind(row) === 'd' && digestIn(row).ids.includes(id))
  return index < 0 ? undefined : floor + 1 + index
}

/**
 * Finds a notification in the log, among the parked or scheduled ones, or in a digest.
 *
 * @param releaseAt returns when the parked notification at an index is due, Unix milliseconds
 */
export function findNotification(state: UserState, id: string, releaseAt: (index: number) => number): FindResult | undefined {
  const index = state.parked.findIndex(({ row }) => rowId(row) === id)
  if (index >= 0) return { in: 'parked', row: (state.parked[index] as Parked).row, releaseAt: releaseAt(index) }
  const scheduled = state.scheduled.find(({ row }) => rowId(row) === id)
  if (scheduled !== undefined) return { in: 'scheduled', row: scheduled.row, deliverAt: scheduled.at }
  const offset = offsetOf(state, id)
  if (offset !== undefined) return { in: 'log', item: itemAt(state, offset) as InboxItem, receipts: receiptsOf(state, id, offset) }
  const digest = digestOffsetOf(state, id)
  return digest === undefined ? undefined : { in: 'digest', position: positionOf(state, digest) }
}

/** Returns the receipts of the calls for a notification in the log: of those that wait, and of those that ended. */
function receiptsOf({ calls, epoch, receipts }: UserState, id: string, offset: number): CallReceipt[] {
  const found = [...(receipts.get(offset) ?? [])]
  for (const { event, epoch: of, id: about, deviceId, madeAt: at } of calls.values()) {
    if (about !== id || of !== epoch || (event !== 'push' && event !== 'notification.fallback')) continue
    found.push({ event, deviceId, status: 'waiting', at })
  }
  return sortedReceipts(found)
}

/** Sorts receipts by event, then by device. */
export function sortedReceipts(receipts: CallReceipt[]): CallReceipt[] {
  return receipts.sort((one, other) => {
    if (one.event !== other.event) return one.event < other.event ? -1 : 1
    return one.deviceId < other.deviceId ? -1 : 1
  })
}

/** Returns the notification at an offset with its state and answer, or undefined if the row is of another kind. */
export function itemAt(state: UserState, offset: number): InboxItem | undefined {
  const row = rowAt(state, offset)
  if (row === undefined || rowKind(row) !== 'n') return undefined
  const id = rowId(row)
  return { epoch: state.epoch, offset, row, state: state.states.get(id) ?? 'unread', answer: state.answers.get(id) }
}

/** Reads one page of the inbox. `before` must be of this log. */
export function inboxPage(state: UserState, query: Omit<InboxQuery, 'user'>): InboxPage {
  const { states, types, before, limit, isCounted = false } = query
  const beginnings = types === undefined ? undefined : typeBeginnings(types)
  const listedAt = (offset: number): InboxItem | undefined => {
    const item = itemAt(state, offset)
    if (item === undefined || (states !== undefined && !states.includes(item.state))) return undefined
    return beginnings === undefined || matchesType(item.row, beginnings) ? item : undefined
  }
  const items: InboxItem[] = []
  let offset = Math.min(state.top, (before?.offset ?? state.top + 1) - 1)
  for (; offset > state.floor; offset--) {
    const item = listedAt(offset)
    if (item === undefined) continue
    if (items.length === limit) break
    items.push(item)
  }
  const last = items.at(-1)
  const next = offset > state.floor && last !== undefined ? { epoch: state.epoch, offset: last.offset } : undefined
  if (!isCounted) return { items, next, ...unreadCounts(state) }
  const count = state.rows.filter((_row, index) => listedAt(state.floor + 1 + index) !== undefined).length
  return { items, next, ...unreadCounts(state), count }
}

/** Reads one page of the scheduled notifications, in the order of their delivery. */
export function scheduledPage({ scheduled }: UserState, { after, limit }: Pick<ScheduledQuery, 'after' | 'limit'>): ScheduledPage {
  const isAfter = ({ at, no }: Scheduled): boolean =>
    after === undefined || at > after.deliverAt || (at === after.deliverAt && no > after.no)
  const rest = scheduled.filter(isAfter)
  const page = rest.slice(0, limit)
  const last = page.at(-1)
  return {
    items: page.map(({ at, row }) => ({ deliverAt: at, row })),
    next: last !== undefined && rest.length > page.length ? { deliverAt: last.at, no: last.no } : undefined
  }
}

/** Describes the ends of the log and the cursors of the devices. The lag of a cursor of another log counts all rows. */
export function queueInfo(state: UserState): QueueInfo {
  const { epoch, top, floor, parked, scheduled } = state
  const devices = [...state.cursors].map(([deviceId, { position, at }]) => {
    const from = position.epoch === epoch ? Math.max(position.offset, floor) : floor
    return { deviceId, position, lag: top - from, at }
  })
  devices.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
  const first = top > floor ? positionOf(state, floor + 1) : { epoch, offset: 0, id8: '' }
  return { head: positionOf(state, top), first, parked: parked.length, scheduled: scheduled.length, ...unreadCounts(state), devices }
}

/**
 * Returns the outcome of an earlier publish with the same key.
 *
 * @param body the end of the id, which stands for the body of the request
 * @param releaseAt returns when the parked notification at an index is due, Unix milliseconds
 */
export function replayedResult(state: UserState, body: string, place: KeyPlace, releaseAt: (index: number) => number): PublishResult {
  if (place.body !== body) return { status: 'conflict' }
  switch (place.in) {
    case 'log':
      return { status: 'accepted', ...positionOf(state, place.at), nodes: 0, replayed: true }
    case 'scheduled':
      return { status: 'scheduled', deliverAt: place.deliverAt, replayed: true }
    case 'parked':
      return { status: 'parked', releaseAt: releaseAt(state.parked.findIndex(({ no }) => no === place.at)), replayed: true }
    case 'recalled':
      return { status: 'recalled', replayed: true }
  }
}
