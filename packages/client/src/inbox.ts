import { type Answer, type Notification, STATES, type State } from '../../../services/protocol/index.ts'
import { Events } from './events.ts'
import { isUnread } from './expiries.ts'
import type { Belfry } from './index.ts'
import { isAfter, isAtOrBefore } from './order.ts'
import { bindMembers } from './proxies.ts'
import { getJson } from './rest.ts'
import type { MarkTarget } from './types.ts'

/** The most live notifications that are kept before the first `load()`. */
const KEPT_UNLOADED = 1000

const PAGE = 50

/** A notification with its state and its position in the log. */
export interface InboxItem extends Notification {
  state: State
  eventId: string
  /** The first answer, of any device. */
  answer?: Answer
  /** The action by which this page is answering the notification: there is no answer yet. */
  answering?: string
}

/** The fields that change after the notification arrived. */
type Change = Partial<Pick<InboxItem, 'state' | 'answer' | 'answering'>>

export interface InboxEvents {
  /** The list or the unread count changed. */
  change: { items: readonly InboxItem[]; unread: number }
}

interface InboxPage {
  items: InboxItem[]
  nextCursor?: string | null
  unread: number
}

/** A mark that has no answer yet. */
interface PendingMark {
  /** By id: true until the service names a later state of the notification. */
  ids: Map<string, boolean>
  state: State
  /** The mark covers every notification, loaded or not. */
  all: boolean
}

/**
 * The user's inbox: live notifications, and pages of older ones on demand, in step with the user's other tabs and devices. A mark is shown
 * at once and taken back if it fails. When the user changes, the inbox is emptied.
 */
export class Inbox {
  readonly #belfry: Belfry
  readonly #events = new Events<InboxEvents>(() => {})
  readonly #unsubscribe: (() => void)[]
  /** Items with the states that the service named. */
  #served: readonly InboxItem[] = []
  /** The same items with the states of pending marks. */
  #items: readonly InboxItem[] = []
  #cursor: string | undefined
  #isLoaded = false
  #loading: Promise<void> | undefined
  /** There was a gap after the loaded pages were requested. */
  #isStale = false
  /** Changes after the page that is being loaded was requested; undefined for removed notifications. */
  #changedDuringLoad: Map<string, Change | undefined> | undefined
  /** In the order of the calls: the last mark of a notification decides its state. */
  readonly #pending = new Set<PendingMark>()
  /** The actions of pending answers, by notification id. */
  readonly #answering = new Map<string, string>()
  /** The service's unread count, without pending marks. */
  #servedUnread: number

  /** Follows the events of `belfry` from now on. */
  constructor(belfry: Belfry) {
    bindMembers(this)
    this.#belfry = belfry
    this.#servedUnread = belfry.unread
    this.#unsubscribe = [
      belfry.on('user', () => this.#clear()),
      belfry.on('notification', ({ notification, state, eventId, answered }) =>
        this.#arrived({ ...notification, state, eventId, ...(answered && { answer: answered }) })
      ),
      belfry.on('marked', ({ ids, state }) => this.#serve(ids, { state })),
      belfry.on('answered', ({ id, action, answeredAt, deviceId }) => this.#answered(id, { action, answeredAt, deviceId })),
      belfry.on('retract', ({ id, collapseKey }) => this.#remove([id], collapseKey)),
      belfry.on('digest', ({ ids }) => this.#remove(ids)),
      belfry.on('unread', ({ unread }) => this.#count(unread)),
      belfry.on('gap', () => {
        this.#isStale ||= this.#isLoaded || this.#loading !== undefined
        this.#reload()
      }),
      belfry.on('state', ({ state }) => state === 'connected' && this.#reload())
    ]
  }

  /** Calls the handler at every change. Returns a function that removes it. */
  on<E extends keyof InboxEvents>(event: E, handler: (ctx: InboxEvents[E]) => unknown): () => void {
    return this.#events.on(event, handler)
  }

  /** Stops following the client. */
  close(): void {
    for (const off of this.#unsubscribe) off()
  }

  /** The number of notifications that are unread or seen, loaded or not. Pending marks count as done. */
  get unread(): number {
    let unread = this.#servedUnread
    for (const { all } of this.#pending) if (all) return 0
    for (const [index, { state }] of this.#served.entries()) {
      unread += Number(isUnread((this.#items[index] as InboxItem).state)) - Number(isUnread(state))
    }
    return Math.max(0, unread)
  }

  /** True if the service has older notifications than the loaded ones. */
  get hasMore(): boolean {
    return !this.#isLoaded || this.#cursor !== undefined
  }

  /** Returns the notifications that were loaded or have arrived, newest first. Every change makes a new array. */
  list(): readonly InboxItem[] {
    return this.#items
  }

  /** Loads the first page, after the load in progress. Rejects with a `BelfryError`, or with the error of `fetch` or `getToken`. */
  async load(): Promise<void> {
    while (this.#loading) await this.#loading.catch(() => {})
    await this.#load(undefined)
  }

  /** Loads the next page, or the first. Does nothing if there is none. Rejects as `load()` does. */
  async more(): Promise<void> {
    if (!this.hasMore) return
    await this.#load(this.#cursor).catch((error: { code?: string }) => {
      if (error.code !== 'BELFRY_ERR_LOG_RESTARTED') throw error
      return this.load()
    })
  }

  /** Sets a state as `Belfry.mark()` does. If that fails, takes the change back and rejects with a `BelfryError`. */
  mark(target: MarkTarget, state: State = 'read'): Promise<void> {
    return this.#mark(target, state, false)
  }

  /** Marks all notifications that have arrived as read. Rejects as `mark()` does. */
  async markAllRead(): Promise<void> {
    const upTo = this.#belfry.lastEventId || this.#items[0]?.eventId
    if (upTo) await this.#mark({ upTo }, 'read', true)
  }

  /**
   * Answers a notification as `Belfry.answer()` does. Until the service has answered, the item has the action as `answering`. If another device was first, the item
   * has its answer, and this rejects with a `BelfryError`, which has it too.
   */
  async answer(id: string, action: string): Promise<Answer> {
    this.#answering.set(id, action)
    this.#changed()
    try {
      const answer = await this.#belfry.answer(id, action)
      this.#answered(id, answer)
      return answer
    } catch (error) {
      const { answer } = error as { answer?: Answer }
      if (answer) this.#answered(id, answer)
      throw error
    } finally {
      if (this.#answering.delete(id)) this.#changed()
    }
  }

  async #mark(target: MarkTarget, state: State, all: boolean): Promise<void> {
    const hit = (item: InboxItem): boolean =>
      typeof target === 'object' && 'upTo' in target
        ? raises(item.state, state) && isAtOrBefore(item.eventId, target.upTo)
        : [target].flat().includes(item.id) && changes(item.state, state)
    const pending: PendingMark = { ids: new Map(this.#items.filter(hit).map(({ id }) => [id, true])), state, all }
    this.#pending.add(pending)
    this.#changed()
    try {
      const unread = await this.#belfry.mark(target, state)
      if (!this.#pending.has(pending)) return
      this.#servedUnread = unread ?? this.#servedUnread
      this.#set((id) => (pending.ids.get(id) ? { state } : undefined))
    } finally {
      if (this.#pending.delete(pending)) this.#changed()
    }
  }

  #count(unread: number): void {
    this.#servedUnread = unread
    this.#changed()
  }

  /** Takes a notification in one change with the removal of those whose place it takes. */
  #arrived(item: InboxItem): void {
    const { id, state, replaces } = item
    this.#changedDuringLoad?.set(id, { state })
    if (replaces) this.#changedDuringLoad?.set(replaces, undefined)
    this.#insert(item, false)
    if (!this.#isLoaded) this.#served = this.#served.slice(0, KEPT_UNLOADED)
    this.#changed()
  }

  #remove(ids: string[], collapseKey?: string): void {
    for (const id of ids) this.#changedDuringLoad?.set(id, undefined)
    this.#served = without(this.#served, ids, collapseKey)
    this.#changed()
  }

  #answered(id: string, answer: Answer): void {
    this.#answering.delete(id)
    this.#serve([id], { state: 'read', answer })
  }

  /** Takes states that the service named. They stay if a pending mark fails; a pending mark that is older does not overwrite them. */
  #serve(ids: string[], change: Change): void {
    const changed = this.#changedDuringLoad
    for (const id of ids) if (!changed?.has(id) || changed.get(id)) changed?.set(id, { ...changed.get(id), ...change })
    this.#set((id) => (ids.includes(id) ? change : undefined))
    for (const pending of this.#pending) {
      for (const id of ids) if (pending.ids.has(id)) pending.ids.set(id, false)
      if (pending.state === change.state) pending.all = false
    }
    this.#changed()
  }

  /** Empties the inbox, because the user changed. A page in progress is requested again. */
  #clear(): void {
    this.#served = []
    this.#cursor = undefined
    this.#isLoaded = false
    this.#isStale = false
    this.#changedDuringLoad = undefined
    this.#pending.clear()
    this.#answering.clear()
    this.#count(0)
  }

  /** Loads the first page again after a gap. If that fails, the next connection tries again. */
  #reload(): void {
    if (!this.#isStale) return
    this.#isStale = false
    this.load().catch(() => {
      this.#isStale = true
    })
  }

  /** Loads a page, or returns the load in progress. */
  #load(cursor: string | undefined): Promise<void> {
    this.#loading ??= this.#fetch(cursor).finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #fetch(cursor: string | undefined): Promise<void> {
    const changed = new Map<string, Change | undefined>()
    this.#changedDuringLoad = changed
    const page = await this.#page(cursor).catch((error: unknown) => {
      if (this.#changedDuringLoad === changed) throw error
      return undefined
    })
    // The user changed. Load their first page.
    if (!page || this.#changedDuringLoad !== changed) return this.#fetch(undefined)
    if (cursor === undefined) this.#served = this.#served.filter(({ id }) => changed.has(id))
    for (const item of page.items) {
      const change = changed.has(item.id) ? changed.get(item.id) : {}
      const current = { ...item, ...change }
      if (change && this.#belfry.track(current)) this.#insert(current, true)
    }
    this.#changedDuringLoad = undefined
    this.#cursor = page.nextCursor ?? undefined
    this.#isLoaded = true
    if (this.#belfry.state !== 'connected') this.#servedUnread = page.unread
    this.#changed()
  }

  async #page(cursor: string | undefined): Promise<InboxPage> {
    const from = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`
    return (await getJson(this.#belfry, `/v1/me/notifications?limit=${PAGE}${from}`)) as InboxPage
  }

  /** Inserts an item by event id, newest first, in place of those that it replaces. If no comparison is possible, an `older` item goes to the end, others to the top. */
  #insert(item: InboxItem, older: boolean): void {
    const items = without(this.#served, [item.id, item.replaces], item.collapseKey)
    const index = items.findIndex((other) => isAfter(item.eventId, other.eventId))
    if (index >= 0) items.splice(index, 0, item)
    else if (older || isAtOrBefore(item.eventId, items[0]?.eventId ?? '')) items.push(item)
    else items.unshift(item)
    this.#served = items
  }

  #set(changeOf: (id: string) => Change | undefined): void {
    this.#served = withChanges(this.#served, changeOf)
  }

  #changed(): void {
    const changes = new Map<string, Change>()
    for (const { ids, state } of this.#pending) for (const id of ids.keys()) changes.set(id, { state })
    for (const [id, answering] of this.#answering) changes.set(id, { ...changes.get(id), answering })
    this.#items = withChanges(this.#served, (id) => changes.get(id))
    this.#events.emit('change', { items: this.#items, unread: this.unread })
  }
}

/** Returns a new array. Items that do not change stay the same objects. */
function withChanges(items: readonly InboxItem[], changeOf: (id: string) => Change | undefined): InboxItem[] {
  return items.map((item) => {
    const change = changeOf(item.id)
    const isSame = !change || (Object.keys(change) as (keyof Change)[]).every((key) => change[key] === item[key])
    return isSame ? item : { ...item, ...change }
  })
}

/** Returns a new array without the items that an id or the collapse key names. */
function without(items: readonly InboxItem[], ids: (string | undefined)[], collapseKey?: string): InboxItem[] {
  return items.filter((item) => !ids.includes(item.id) && !(collapseKey && item.collapseKey === collapseKey))
}

function changes(from: State, to: State): boolean {
  return from !== to && (to !== 'seen' || from === 'unread')
}

/** Returns true if `upTo` changes the state, by the rule of the service: states only rise (or fall to unread), archived ones stay. */
function raises(from: State, to: State): boolean {
  if (from === 'archived') return false
  return to === 'unread' ? from !== to : STATES.indexOf(from) < STATES.indexOf(to)
}
