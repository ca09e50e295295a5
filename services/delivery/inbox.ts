import { errors } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import { formatEventId, type Notification, parseEventId, type State } from '../protocol/index.ts'
import { notificationIn, rowId8 } from '../store/row.ts'
import type { Durability, MarkResult, Store, InboxItem as StoredItem } from '../store/store.ts'

export interface InboxItem extends Notification {
  state: State
  eventId: string
}

export interface InboxPage {
  items: InboxItem[]
  nextCursor: string | null
  unread: number
}

/** The ids whose state changed, the count after it, and how safe both are. */
export interface MarkAnswer extends MarkResult {
  durability: Durability
}

/** A notification wherever it is. */
export type FoundNotification =
  | InboxItem
  | (Notification & { state: 'parked'; releaseAt: number })
  | { id: string; state: 'folded'; eventId: string }

/** The queue of a user. `head` and `first` are the newest row and the oldest retained row, '' while there is no log. */
export interface QueueAnswer {
  head: string
  first: string
  parked: number
  unread: number
  /** `eventId` is the cursor, `lag` the number of rows after it, `acknowledgedAt` the time it last moved, Unix milliseconds. */
  devices: { deviceId: string; eventId: string; lag: number; acknowledgedAt: number }[]
}

/** The retained notifications of a user with their state, as REST shows them. */
export class Inbox {
  readonly #store: Store
  readonly #counters: Counters

  constructor(store: Store, counters: Counters) {
    this.#store = store
    this.#counters = counters
  }

  /**
   * Lists newest first. Asking for `unread` includes `seen`, so that the list and the count agree.
   *
   * @param query `cursor` is the `nextCursor` of the page before
   * @throws LogRestarted if the cursor is of an earlier log
   */
  async list(user: string, query: { state?: State; limit: number; cursor?: string }): Promise<InboxPage> {
    const { state, limit, cursor } = query
    const states: State[] | undefined = state === undefined ? undefined : state === 'unread' ? ['unread', 'seen'] : [state]
    const [epoch = '', offset] = (cursor ?? '').split('.')
    const before = cursor === undefined ? undefined : { epoch, offset: Number(offset) }
    const page = await this.#store.inbox({ user, states, before, limit })
    if (page === 'restarted') throw new errors.LogRestarted()
    const { items, next, unread } = page
    return { items: items.map(itemOf), nextCursor: next === undefined ? null : `${next.epoch}.${next.offset}`, unread }
  }

  /** @throws NotFound */
  async get(user: string, id: string): Promise<FoundNotification> {
    const found = await this.#store.find(user, id)
    switch (found?.in) {
      case 'log':
        return itemOf(found.item)
      case 'parked':
        return { ...notificationIn(found.row), state: 'parked', releaseAt: found.releaseAt }
      case 'digest':
        return { id, state: 'folded', eventId: formatEventId(found.position) }
      default:
        throw new errors.NotFound('There is no such notification')
    }
  }

  /** @throws InvalidRequest if there are neither or both of `ids` and `upTo`; LogRestarted if `upTo` is of an earlier log */
  async mark(user: string, request: { ids?: string[]; upTo?: string; state: State; ageMs?: number }): Promise<MarkAnswer> {
    const { ids, upTo, state, ageMs } = request
    if ((ids === undefined) === (upTo === undefined)) throw new errors.InvalidRequest('give either ids or upTo')
    const position = ids === undefined ? parseEventId(upTo ?? '') : undefined
    if (ids === undefined && position === undefined) throw new errors.InvalidRequest('upTo is not an event id')
    const target = position === undefined ? { ids: ids ?? [] } : { upTo: position }
    const result = await this.#store.mark({ user, target, state, ageMs })
    if (result === 'restarted') throw new errors.LogRestarted()
    return { ...result, durability: this.#store.status().durability }
  }

  /**
   * Takes a notification back: parked or pending, it never appears; shown, it is retracted on every device.
   *
   * @returns how safely it is taken back
   * @throws NotFound if there is no such notification, or only as part of a digest
   */
  async recall(user: string, id: string): Promise<Durability> {
    const result = await this.#store.retract(user, id, 'recalled')
    if (result === 'unknown' || result === 'folded') throw new errors.NotFound('There is no such notification')
    this.#counters.recalled += 1
    return this.#store.status().durability
  }

  /** Returns the state of the log, the number of parked notifications, and the cursor of each device. */
  async queue(user: string): Promise<QueueAnswer> {
    const { head, first, parked, unread, devices } = await this.#store.queue(user)
    return {
      head: formatEventId(head),
      first: formatEventId(first),
      parked,
      unread,
      devices: devices.map(({ deviceId, position, lag, at }) => ({ deviceId, eventId: formatEventId(position), lag, acknowledgedAt: at }))
    }
  }
}

function itemOf({ epoch, offset, row, state }: StoredItem): InboxItem {
  return { ...notificationIn(row), state, eventId: formatEventId({ epoch, offset, id8: rowId8(row) }) }
}
