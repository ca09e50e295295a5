import { errors } from '../errors.ts'
import { formatEventId, type Notification, parseEventId, type State } from '../protocol/index.ts'
import { rowId, rowId8, rowTail } from '../store/row.ts'
import type { MarkResult, Store, InboxItem as StoredItem } from '../store/store.ts'

export interface InboxItem extends Notification {
  state: State
  eventId: string
}

export interface InboxPage {
  items: InboxItem[]
  nextCursor: string | null
  unread: number
}

/** A notification wherever it is. */
export type FoundNotification =
  | InboxItem
  | (Notification & { state: 'parked'; releaseAt: number })
  | { id: string; state: 'folded'; eventId: string }

/** The retained notifications of a user with their state, as REST shows them. */
export class Inbox {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Newest first. Asking for `unread` includes `seen`, so that the list and the count agree. */
  async list(user: string, query: { state?: State; limit: number; cursor?: string }): Promise<InboxPage> {
    const { state, limit, cursor } = query
    const states: State[] | undefined = state === undefined ? undefined : state === 'unread' ? ['unread', 'seen'] : [state]
    const before = cursor === undefined ? undefined : Number(cursor)
    const page = await this.#store.inbox({ user, states, before, limit })
    return { items: page.items.map(itemOf), nextCursor: page.next === undefined ? null : String(page.next), unread: page.unread }
  }

  /** @throws NotFound */
  async get(user: string, id: string): Promise<FoundNotification> {
    const found = await this.#store.find(user, id)
    switch (found?.in) {
      case 'log':
        return itemOf(found.item)
      case 'parked':
        return { ...notificationOf(found.row), state: 'parked', releaseAt: found.releaseAt }
      case 'digest':
        return { id, state: 'folded', eventId: formatEventId(found.position) }
      default:
        throw new errors.NotFound('There is no such notification')
    }
  }

  /** @throws InvalidRequest when there are neither or both of `ids` and `upTo` */
  async mark(user: string, request: { ids?: string[]; upTo?: string; state: State; ageMs?: number }): Promise<MarkResult> {
    const { ids, upTo, state, ageMs } = request
    if ((ids === undefined) === (upTo === undefined)) throw new errors.InvalidRequest('give either ids or upTo')
    if (ids !== undefined) return this.#store.mark({ user, target: { ids }, state, ageMs })
    const position = parseEventId(upTo ?? '')
    if (position === undefined) throw new errors.InvalidRequest('upTo is not an event id')
    return this.#store.mark({ user, target: { upTo: position }, state, ageMs })
  }

  /**
   * Takes a notification back: parked or pending, it never appears; shown, it is retracted on every device.
   *
   * @throws NotFound when there is no such notification, or only as part of a digest
   */
  async recall(user: string, id: string): Promise<void> {
    const result = await this.#store.retract(user, id, 'recalled')
    if (result === 'unknown' || result === 'folded') throw new errors.NotFound('There is no such notification')
  }
}

function itemOf({ epoch, offset, row, state }: StoredItem): InboxItem {
  return { ...notificationOf(row), state, eventId: formatEventId({ epoch, offset, id8: rowId8(row) }) }
}

function notificationOf(row: Buffer): Notification {
  return JSON.parse(`{"id":"${rowId(row)}",${rowTail(row)}`) as Notification
}
