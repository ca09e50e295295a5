import { errors } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import { type Answer, formatEventId, type Notification, type Position, parseEventId, type State } from '../protocol/index.ts'
import { notificationIn, rowId8, type UnreadCounts } from '../store/row.ts'
import type { CallReceipt, Durability, FindResult, MarkResult, Store, InboxItem as StoredItem } from '../store/store.ts'
import { listedStates, typePatterns } from './inbox-filter.ts'

export interface InboxItem extends Notification {
  state: State
  eventId: string
  answer?: Answer
}

export interface InboxPage extends UnreadCounts {
  items: InboxItem[]
  nextCursor: string | null
  /** Number of the notifications in all pages, if the query asks for it. */
  count?: number
}

/** A request for a page of the inbox, in the form of a URL's query. */
interface InboxRequest {
  /** States, separated by commas. */
  state?: string
  /** Types, or prefixes of types that end in `*`, separated by commas. */
  type?: string
  count?: boolean
  limit: number
  /** The `nextCursor` of the previous page. */
  cursor?: string
}

/** The ids whose state changed, the counts after the change, and the durability of the write. */
interface MarkAnswer extends MarkResult {
  durability: Durability
}

interface MarkRequest {
  ids?: string[]
  /** The event id up to which notifications are marked. */
  upTo?: string
  state: State
  only?: State
  ageMs?: number
}

/** A notification in the log, a parked or a scheduled one, or one that a digest took the place of. */
type FoundNotification =
  | InboxItem
  | (Notification & { state: 'parked'; releaseAt: number })
  | (Notification & { state: 'scheduled'; deliverAt: number })
  | { id: string; state: 'folded'; eventId: string }

/** The queue of a user. `head` and `first` are the newest row and the oldest retained row, '' while there is no log. */
interface QueueAnswer extends UnreadCounts {
  head: string
  first: string
  parked: number
  scheduled: number
  /** `eventId` is the cursor, `lag` the number of rows after it, `acknowledgedAt` the time it last moved, Unix milliseconds. */
  devices: { deviceId: string; eventId: string; lag: number; acknowledgedAt: number }[]
}

/** One page of the scheduled notifications, in the order of their delivery. */
interface ScheduledPage {
  items: (Notification & { deliverAt: number })[]
  nextCursor: string | null
}

/** The latest outcome of a call. `at` is when it came; of a call that is `waiting`, when it was made. Unix milliseconds. */
type Outcome = Pick<CallReceipt, 'status' | 'at'>

/** The state of one notification, the devices that have received it, and the calls for it. `answer` is null while there is none. */
interface Receipts {
  id: string
  state: FoundNotification['state']
  answer: Answer | null
  /** `received`: the cursor of the device has passed the notification. `lastAckAt`: when that cursor last moved, Unix milliseconds. */
  devices: { deviceId: string; received: boolean; lastAckAt: number }[]
  /** The pushes, by device. */
  push: (Outcome & { deviceId: string })[]
  /** null while no fallback was due. */
  fallback: Outcome | null
}

/** Reads, marks, recalls and erases the notifications of a user, in the form that REST shows. */
export class Inbox {
  readonly #store: Store
  readonly #counters: Counters

  constructor(store: Store, counters: Counters) {
    this.#store = store
    this.#counters = counters
  }

  /**
   * Lists notifications, newest first. The state `unread` includes `seen`, so that the list agrees with the unread count.
   *
   * @throws InvalidRequest if `state` or `type` is not valid; LogRestarted if the cursor belongs to an earlier log
   */
  async list(user: string, { state, type, count: isCounted, limit, cursor }: InboxRequest): Promise<InboxPage> {
    const states = state === undefined ? undefined : listedStates(state)
    const types = type === undefined ? undefined : typePatterns(type)
    const [epoch = '', offset] = (cursor ?? '').split('.')
    const before = cursor === undefined ? undefined : { epoch, offset: Number(offset) }
    const page = await this.#store.inbox({ user, states, types, before, limit, isCounted })
    if (page === 'restarted') throw new errors.LogRestarted()
    const { items, next, ...counts } = page
    return { items: items.map(itemOf), nextCursor: next === undefined ? null : `${next.epoch}.${next.offset}`, ...counts }
  }

  /** @throws NotFound */
  async get(user: string, id: string): Promise<FoundNotification> {
    return shown(id, await this.#find(user, id))
  }

  /** @throws InvalidRequest unless exactly one of `ids` and `upTo` is given; LogRestarted if `upTo` belongs to an earlier log */
  async mark(user: string, request: MarkRequest): Promise<MarkAnswer> {
    const { ids, upTo, state, only, ageMs } = request
    if ((ids === undefined) === (upTo === undefined)) throw new errors.InvalidRequest('give either ids or upTo')
    const position = ids === undefined ? parseEventId(upTo ?? '') : undefined
    if (ids === undefined && position === undefined) throw new errors.InvalidRequest('upTo is not an event id')
    const target = position === undefined ? { ids: ids ?? [] } : { upTo: position }
    const result = await this.#store.mark({ user, target, state, only, ageMs })
    if (result === 'restarted') throw new errors.LogRestarted()
    return { ...result, durability: this.#store.status().durability }
  }

  /**
   * Recalls a notification. A parked or pending one never appears; one that was shown is retracted on every device.
   *
   * @param only a notification that is not scheduled stays
   * @returns the durability of the recall
   * @throws NotFound if there is no such notification, if it is part of a digest, or with `only` if it is not scheduled
   */
  async recall(user: string, id: string, only?: 'scheduled'): Promise<Durability> {
    const result = await this.#store.retract(user, id, 'recalled', undefined, only)
    const what = only === undefined ? 'notification' : 'scheduled notification'
    if (result === 'unknown' || result === 'folded') throw new errors.NotFound(`There is no such ${what}`)
    this.#counters.recalled += 1
    return this.#store.status().durability
  }

  /**
   * Returns which devices have received a notification, and what became of the calls for it. The devices are derived from the cursors: a delivery
   * writes nothing else.
   *
   * @throws NotFound
   */
  async receipts(user: string, id: string): Promise<Receipts> {
    const stored = await this.#find(user, id)
    const found = shown(id, stored)
    const receipts = stored.in === 'log' ? stored.receipts : []
    const fallback = receipts.find(({ event }) => event === 'notification.fallback')
    const place = 'eventId' in found ? parseEventId(found.eventId) : undefined
    const { devices } = await this.#store.queue(user)
    const hasReceived = ({ epoch, offset }: Position): boolean => place !== undefined && epoch === place.epoch && offset >= place.offset
    return {
      id,
      state: found.state,
      answer: ('answer' in found ? found.answer : undefined) ?? null,
      devices: devices.map(({ deviceId, position, at }) => ({ deviceId, received: hasReceived(position), lastAckAt: at })),
      push: receipts.flatMap(({ event, deviceId, status, at }) => (event === 'push' ? [{ deviceId, status, at }] : [])),
      fallback: fallback === undefined ? null : { status: fallback.status, at: fallback.at }
    }
  }

  /**
   * Lists the scheduled notifications in the order of their delivery.
   *
   * @param query `cursor` is the `nextCursor` of the previous page
   */
  async scheduled(user: string, { limit, cursor }: { limit: number; cursor?: string }): Promise<ScheduledPage> {
    const [deliverAt, no] = (cursor ?? '').split('.').map(Number)
    const after = deliverAt === undefined || no === undefined ? undefined : { deliverAt, no }
    const { items, next } = await this.#store.scheduled({ user, after, limit })
    return {
      items: items.map(({ deliverAt, row }) => ({ ...notificationIn(row), deliverAt })),
      nextCursor: next === undefined ? null : `${next.deliverAt}.${next.no}`
    }
  }

  /** Removes everything of a user, closes their connections, and refuses the tokens issued to them up to now. */
  async erase(user: string): Promise<void> {
    await this.#store.erase(user)
  }

  /** Returns the state of the log, the number of parked notifications, and the cursor of each device. */
  async queue(user: string): Promise<QueueAnswer> {
    const { head, first, parked, scheduled, unread, unseen, devices } = await this.#store.queue(user)
    return {
      head: formatEventId(head),
      first: formatEventId(first),
      parked,
      scheduled,
      unread,
      unseen,
      devices: devices.map(({ deviceId, position, lag, at }) => ({ deviceId, eventId: formatEventId(position), lag, acknowledgedAt: at }))
    }
  }

  /** @throws NotFound */
  async #find(user: string, id: string): Promise<FindResult> {
    const found = await this.#store.find(user, id)
    if (found === undefined) throw new errors.NotFound('There is no such notification')
    return found
  }
}

/** Returns a notification in the form that REST shows. */
function shown(id: string, found: FindResult): FoundNotification {
  switch (found.in) {
    case 'log':
      return itemOf(found.item)
    case 'parked':
      return { ...notificationIn(found.row), state: 'parked', releaseAt: found.releaseAt }
    case 'scheduled':
      return { ...notificationIn(found.row), state: 'scheduled', deliverAt: found.deliverAt }
    case 'digest':
      return { id, state: 'folded', eventId: formatEventId(found.position) }
  }
}

function itemOf({ answer, epoch, offset, row, state }: StoredItem): InboxItem {
  const eventId = formatEventId({ epoch, offset, id8: rowId8(row) })
  return { ...notificationIn(row), state, eventId, ...(answer !== undefined && { answer }) }
}
