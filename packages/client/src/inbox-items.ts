import type { Answer, Notification, State } from '../../../services/protocol/index.ts'
import { isAfter, isAtOrBefore, isEventId } from './order.ts'
import type { NotificationContext } from './types.ts'

/** A notification with its state and its position in the log. */
export interface InboxItem extends Notification {
  state: State
  eventId: string
  /** The first answer, of any device. */
  answer?: Answer
  /** The action by which this page is answering the notification: there is no answer yet. */
  answering?: string
}

export interface InboxEvents {
  /** The list or the unread count changed. */
  change: { items: readonly InboxItem[]; unread: number }
}

/** The fields that change after the notification arrived. */
export type Change = Partial<Pick<InboxItem, 'state' | 'answer' | 'answering'>>

/** The notifications that an inbox knows, newest first. Adding, changing and removing one does not read the others: a replay does it thousands of times. */
export class KnownItems {
  readonly #items: InboxItem[] = []
  readonly #byId = new Map<string, InboxItem>()
  readonly #idByKey = new Map<string, string>()
  /** The items are of several logs, or have no event id: not all can be compared. */
  #isMixed = false
  #list: readonly InboxItem[] | undefined = []

  get(id: string): InboxItem | undefined {
    return this.#byId.get(id)
  }

  /** Returns the items. Every change makes a new array; items that did not change stay the same objects. */
  list(): readonly InboxItem[] {
    this.#list ??= this.#items.slice()
    return this.#list
  }

  /** Adds an item, in place of those that it replaces. If no comparison is possible, an `older` item goes to the end, others to the top. */
  add(item: InboxItem, older: boolean): void {
    const items = this.#items
    const { id, eventId, replaces, collapseKey } = item
    this.remove([id, replaces], collapseKey)
    this.#isMixed = (items.length > 0 && this.#isMixed) || !isEventId(eventId) || epochOf(eventId) !== epochOf((items[0] ?? item).eventId)
    const isOld = older || isAtOrBefore(eventId, items[0]?.eventId ?? '')
    const at = this.#placeOf(eventId)
    items.splice(at < items.length || isOld ? at : 0, 0, item)
    this.#byId.set(id, item)
    if (collapseKey) this.#idByKey.set(collapseKey, id)
    this.#list = undefined
  }

  change(ids: Iterable<string>, change: Change): void {
    for (const id of ids) {
      const item = this.#byId.get(id)
      if (!item) continue
      const now = withChange(item, change)
      this.#items[this.#indexOf(item)] = now
      this.#byId.set(id, now)
      this.#list = undefined
    }
  }

  /** Removes the items that an id or the collapse key names. */
  remove(ids: Iterable<string | undefined>, collapseKey?: string): void {
    for (const id of [...ids, collapseKey && this.#idByKey.get(collapseKey)]) {
      const item = this.#byId.get(id ?? '')
      if (!item) continue
      this.#items.splice(this.#indexOf(item), 1)
      this.#byId.delete(item.id)
      if (item.collapseKey) this.#idByKey.delete(item.collapseKey)
      this.#list = undefined
    }
  }

  /** Removes the oldest items over a number. */
  truncate(max: number): void {
    this.remove(this.#items.slice(max).map(({ id }) => id))
  }

  /** Returns the index of the first item that is older than the event id; the number of items if there is none. */
  #placeOf(eventId: string): number {
    const items = this.#items
    let from = 0
    let to = items.length
    while (from < to) {
      const at = this.#isMixed ? from : (from + to) >> 1
      if (isAfter(eventId, (items[at] as InboxItem).eventId)) to = at
      else from = at + 1
    }
    return from
  }

  #indexOf(item: InboxItem): number {
    const before = this.#placeOf(item.eventId) - 1
    return this.#items[before] === item ? before : this.#items.indexOf(item)
  }
}

export function itemOf({ notification, state, eventId, answered }: NotificationContext): InboxItem {
  return { ...notification, state, eventId, ...(answered && { answer: answered }) }
}

/** Returns the same object if it has the values already. */
export function withChange(item: InboxItem, change: Change | undefined): InboxItem {
  const isSame = !change || (Object.keys(change) as (keyof Change)[]).every((key) => change[key] === item[key])
  return isSame ? item : { ...item, ...change }
}

function epochOf(eventId: string): string | undefined {
  return eventId.split('.')[0]
}
