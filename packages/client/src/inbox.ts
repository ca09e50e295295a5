import type { Notification, State } from '../../../services/protocol/index.ts'
import { Events } from './events.ts'
import type { Belfry } from './index.ts'
import { isAfter, isAtOrBefore } from './order.ts'
import { bindMembers } from './proxies.ts'
import { getJson } from './rest.ts'
import type { MarkTarget } from './types.ts'

/** Live arrivals kept while nobody has loaded the inbox. */
const KEPT_UNLOADED = 1000
/** In the order in which marking a whole stretch raises them. */
const STATES: State[] = ['unread', 'seen', 'read', 'archived']

const PAGE = 50

/** A notification with where it stands. */
export interface InboxItem extends Notification {
  state: State
  eventId: string
}

export interface InboxEvents {
  /** The list or the unread count changed. */
  change: { items: readonly InboxItem[]; unread: number }
}

interface InboxPage {
  items: InboxItem[]
  nextCursor?: string | null
  unread: number
}

/** A mark without its answer. */
interface Pending {
  /** The ids it changes; false once the service has told a state of the notification since. */
  ids: Map<string, boolean>
  state: State
  /** It takes in all there is, loaded or not. */
  all: boolean
}

/**
 * The user's inbox: what arrives, with pages of what came before when asked for, live over tabs and devices.
 * Marks made through it are shown at once and taken back when they fail. Another user's inbox starts empty.
 */
export class Inbox {
  readonly #belfry: Belfry
  readonly #events = new Events<InboxEvents>(() => {})
  readonly #off: (() => void)[]
  /** With the states the service told. */
  #known: readonly InboxItem[] = []
  /** With the states of marks under way. */
  #items: readonly InboxItem[] = []
  #cursor: string | undefined
  #loaded = false
  #loading: Promise<void> | undefined
  /** A gap has come since what is loaded was asked for. */
  #stale = false
  /** What happened since the load under way was asked for; undefined states are of those gone. */
  #meanwhile: Map<string, State | undefined> | undefined
  /** In the order they were made: the last one that names a notification is its state. */
  readonly #pending = new Set<Pending>()
  /** The service's unread count, marks under way aside. */
  #counted: number

  /** Follows from now on what `belfry` hears. */
  constructor(belfry: Belfry) {
    bindMembers(this)
    this.#belfry = belfry
    this.#counted = belfry.unread
    this.#off = [
      belfry.on('user', () => this.#clear()),
      belfry.on('notification', ({ notification, state, eventId }) => this.#arrived({ ...notification, state, eventId })),
      belfry.on('marked', ({ ids, state }) => this.#confirm(ids, state)),
      belfry.on('retract', ({ id }) => this.#remove([id])),
      belfry.on('digest', ({ ids }) => this.#remove(ids)),
      belfry.on('unread', ({ unread }) => this.#count(unread)),
      belfry.on('gap', () => {
        this.#stale ||= this.#loaded || this.#loading !== undefined
        this.#renew()
      }),
      belfry.on('state', ({ state }) => state === 'connected' && this.#renew())
    ]
  }

  /** Calls the handler at every change; returns a function that takes it off. */
  on<E extends keyof InboxEvents>(event: E, handler: (ctx: InboxEvents[E]) => unknown): () => void {
    return this.#events.on(event, handler)
  }

  /** Follows no more. */
  close(): void {
    for (const off of this.#off) off()
  }

  /** Notifications unread or seen, loaded or not; marks under way are counted as done. */
  get unread(): number {
    let unread = this.#counted
    for (const { all } of this.#pending) if (all) return 0
    for (const [index, { state }] of this.#known.entries()) {
      unread += Number(isUnread((this.#items[index] as InboxItem).state)) - Number(isUnread(state))
    }
    return Math.max(0, unread)
  }

  /** Whether the service has older ones than those loaded. */
  get hasMore(): boolean {
    return !this.#loaded || this.#cursor !== undefined
  }

  /** What has been loaded or has arrived, newest first. The array is another after every change. */
  list(): readonly InboxItem[] {
    return this.#items
  }

  /** Loads the first page, after the load under way. Rejects with a `BelfryError`, or with what `fetch` or `getToken` threw. */
  async load(): Promise<void> {
    while (this.#loading) await this.#loading.catch(() => {})
    await this.#load(undefined)
  }

  /** Loads the next page, or the first; nothing when there is none. Rejects as `load()` does. */
  async more(): Promise<void> {
    if (!this.hasMore) return
    await this.#load(this.#cursor).catch((error: { code?: string }) => {
      if (error.code !== 'BELFRY_ERR_LOG_RESTARTED') throw error
      return this.load()
    })
  }

  /** Sets a state as `Belfry.mark()` does. Rejects with a `BelfryError` after the change was taken back. */
  mark(target: MarkTarget, state: State = 'read'): Promise<void> {
    return this.#mark(target, state, false)
  }

  /** Marks as read all that has arrived. Rejects as `mark()` does. */
  async markAllRead(): Promise<void> {
    const upTo = this.#belfry.lastEventId || this.#items[0]?.eventId
    if (upTo) await this.#mark({ upTo }, 'read', true)
  }

  async #mark(target: MarkTarget, state: State, all: boolean): Promise<void> {
    const hit = (item: InboxItem): boolean =>
      typeof target === 'object' && 'upTo' in target
        ? raises(item.state, state) && isAtOrBefore(item.eventId, target.upTo)
        : [target].flat().includes(item.id) && changes(item.state, state)
    const pending: Pending = { ids: new Map(this.#items.filter(hit).map(({ id }) => [id, true])), state, all }
    this.#pending.add(pending)
    this.#changed()
    try {
      const unread = await this.#belfry.mark(target, state)
      if (!this.#pending.has(pending)) return
      this.#counted = unread ?? this.#counted
      this.#set((id) => (pending.ids.get(id) ? state : undefined))
    } finally {
      if (this.#pending.delete(pending)) this.#changed()
    }
  }

  #count(unread: number): void {
    this.#counted = unread
    this.#changed()
  }

  #arrived(item: InboxItem): void {
    this.#meanwhile?.set(item.id, item.state)
    this.#insert(item, false)
    if (!this.#loaded) this.#known = this.#known.slice(0, KEPT_UNLOADED)
    this.#changed()
  }

  #remove(ids: string[]): void {
    for (const id of ids) this.#meanwhile?.set(id, undefined)
    this.#known = this.#known.filter(({ id }) => !ids.includes(id))
    this.#changed()
  }

  /** The service's word on states: what is left when marks under way fail, and when they are passed over for a later one. */
  #confirm(ids: string[], state: State): void {
    for (const id of ids) this.#meanwhile?.set(id, state)
    this.#set((id) => (ids.includes(id) ? state : undefined))
    for (const pending of this.#pending) {
      for (const id of ids) if (pending.ids.has(id)) pending.ids.set(id, false)
      if (pending.state === state) pending.all = false
    }
    this.#changed()
  }

  /** Another user: nothing of the one before stays, and a page that is on its way is asked for again. */
  #clear(): void {
    this.#known = []
    this.#cursor = undefined
    this.#loaded = false
    this.#stale = false
    this.#meanwhile = undefined
    this.#pending.clear()
    this.#count(0)
  }

  /** Loads anew what a gap has left out of date; when that fails, again with the next connection. */
  #renew(): void {
    if (!this.#stale) return
    this.#stale = false
    this.load().catch(() => {
      this.#stale = true
    })
  }

  /** One load at a time; those who ask meanwhile get the one under way. */
  #load(cursor: string | undefined): Promise<void> {
    this.#loading ??= this.#fetch(cursor).finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #fetch(cursor: string | undefined): Promise<void> {
    const meanwhile = new Map<string, State | undefined>()
    this.#meanwhile = meanwhile
    const page = await this.#page(cursor).catch((error: unknown) => {
      if (this.#meanwhile === meanwhile) throw error
      return undefined
    })
    // Another user's: theirs is the first page.
    if (!page || this.#meanwhile !== meanwhile) return this.#fetch(undefined)
    if (cursor === undefined) this.#known = this.#known.filter(({ id }) => meanwhile.has(id))
    for (const item of page.items) {
      const state = meanwhile.has(item.id) ? meanwhile.get(item.id) : item.state
      if (state !== undefined) this.#insert({ ...item, state }, true)
    }
    this.#meanwhile = undefined
    this.#cursor = page.nextCursor ?? undefined
    this.#loaded = true
    if (this.#belfry.state !== 'connected') this.#counted = page.unread
    this.#changed()
  }

  async #page(cursor: string | undefined): Promise<InboxPage> {
    const from = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`
    return (await getJson(this.#belfry, `/v1/me/notifications?limit=${PAGE}${from}`)) as InboxPage
  }

  /** Newest first by event id; what cannot be compared goes to the end when it is `older`, else to the top. */
  #insert(item: InboxItem, older: boolean): void {
    const items = this.#known.filter(({ id }) => id !== item.id)
    const index = items.findIndex((other) => isAfter(item.eventId, other.eventId))
    if (index >= 0) items.splice(index, 0, item)
    else if (older || isAtOrBefore(item.eventId, items[0]?.eventId ?? '')) items.push(item)
    else items.unshift(item)
    this.#known = items
  }

  #set(stateOf: (id: string) => State | undefined): void {
    this.#known = withStates(this.#known, stateOf)
  }

  #changed(): void {
    const marked = new Map([...this.#pending].flatMap(({ ids, state }) => [...ids.keys()].map((id) => [id, state] as const)))
    this.#items = withStates(this.#known, (id) => marked.get(id))
    this.#events.emit('change', { items: this.#items, unread: this.unread })
  }
}

/** Returns another array; items whose state does not change stay the same objects. */
function withStates(items: readonly InboxItem[], stateOf: (id: string) => State | undefined): InboxItem[] {
  return items.map((item) => {
    const state = stateOf(item.id) ?? item.state
    return state === item.state ? item : { ...item, state }
  })
}

function isUnread(state: State): boolean {
  return state === 'unread' || state === 'seen'
}

function changes(from: State, to: State): boolean {
  return from !== to && (to !== 'seen' || from === 'unread')
}

/** As the service marks a whole stretch: states only rise (or, to unread, fall), archived ones stay. */
function raises(from: State, to: State): boolean {
  if (from === 'archived') return false
  return to === 'unread' ? from !== to : STATES.indexOf(from) < STATES.indexOf(to)
}
