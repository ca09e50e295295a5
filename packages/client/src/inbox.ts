import { type MarkFrame, type OkFrame, parseEventId, type RowFrame, type State } from '../../../services/protocol/index.ts'
import type { Inbox, InboxItem, MarkTarget } from './types.ts'

/** Live arrivals kept while nobody has loaded the inbox. */
const KEPT_UNLOADED = 1000
/** In the order in which marking a whole stretch raises them. */
const STATES: State[] = ['unread', 'seen', 'read', 'archived']

export interface InboxPage {
  items: InboxItem[]
  nextCursor?: string | null
  unread: number
}

export interface InboxHost {
  /** A page of the service's inbox; undefined for the first. */
  page(cursor: string | undefined): Promise<InboxPage>
  mark(frame: MarkFrame): Promise<OkFrame>
  changed(inbox: { items: readonly InboxItem[]; unread: number }): void
}

/** A mark without its answer: the states that were there before, and whether it takes in all there is. */
interface Pending {
  before: Map<string, State>
  state: State
  all: boolean
}

export class LiveInbox implements Inbox {
  readonly #host: InboxHost
  #items: readonly InboxItem[] = []
  #cursor: string | undefined
  #loaded = false
  /** The count comes over a connection, which is fresher than a page. */
  #live = false
  #loading: Promise<void> | undefined
  /** What happened since the load under way was asked for; undefined states are of those gone. */
  #meanwhile: Map<string, State | undefined> | undefined
  readonly #pending = new Set<Pending>()
  /** The service's unread count, marks under way aside. */
  counted = 0

  constructor(host: InboxHost) {
    this.#host = host
  }

  get unread(): number {
    let unread = this.counted
    for (const { before, state, all } of this.#pending) {
      if (all) return 0
      for (const from of before.values()) unread += Number(isUnread(state)) - Number(isUnread(from))
    }
    return Math.max(0, unread)
  }

  get hasMore(): boolean {
    return !this.#loaded || this.#cursor !== undefined
  }

  list(): readonly InboxItem[] {
    return this.#items
  }

  load(): Promise<void> {
    return this.#load(undefined)
  }

  async more(): Promise<void> {
    if (this.hasMore) await this.#load(this.#cursor)
  }

  /** What is loaded may be wrong by now. */
  stale(): void {
    if (this.#loaded) this.load().catch(() => {})
  }

  /** It is another user's from now on. */
  clear(): void {
    this.#items = []
    this.#cursor = undefined
    this.#loaded = false
    this.#live = false
    this.counted = 0
    this.#changed()
  }

  /** The service's unread count. */
  count(unread: number): void {
    this.#live = true
    this.counted = unread
    this.#changed()
  }

  /** @param unread the service's count after the row */
  apply(frame: RowFrame, unread: number): void {
    this.counted = unread
    if (frame.type === 'notification') {
      const state = frame.state ?? 'unread'
      this.#meanwhile?.set(frame.notification.id, state)
      this.#insert({ ...frame.notification, state, eventId: frame.eventId }, false)
      if (!this.#loaded) this.#items = this.#items.slice(0, KEPT_UNLOADED)
    } else if (frame.type === 'state') {
      this.#confirm(frame.ids, frame.state)
    } else {
      const gone = frame.type === 'retract' ? [frame.id] : frame.ids
      for (const id of gone) this.#meanwhile?.set(id, undefined)
      this.#items = this.#items.filter(({ id }) => !gone.includes(id))
    }
    this.#changed()
  }

  /** Shows the change at once, and takes it back when the service does not carry it out. */
  async mark(target: MarkTarget, state: State, all = false): Promise<void> {
    const bulk = typeof target === 'object' && 'upTo' in target
    const pending: Pending = { before: new Map(), state, all: all && !isUnread(state) }
    const ids = bulk ? undefined : [target].flat()
    for (const item of this.#items) {
      const hit = ids === undefined ? raises(item.state, state) && upTo(item, target) : ids.includes(item.id) && changes(item.state, state)
      if (hit) pending.before.set(item.id, item.state)
    }
    this.#set(new Map([...pending.before.keys()].map((id) => [id, state])))
    this.#pending.add(pending)
    this.#changed()
    try {
      const { unread } = await this.#host.mark({ type: 'mark', state, ...(bulk ? target : { ids: ids ?? [] }) })
      this.counted = unread ?? this.counted
    } catch (error) {
      const untouched = this.#items.filter((item) => item.state === state)
      this.#set(new Map(untouched.map(({ id }) => [id, pending.before.get(id) ?? state])))
      throw error
    } finally {
      this.#pending.delete(pending)
      this.#changed()
    }
  }

  /** The service's word on states: nothing of it is taken back. */
  #confirm(ids: string[], state: State): void {
    for (const id of ids) this.#meanwhile?.set(id, state)
    this.#set(new Map(ids.map((id) => [id, state])))
    for (const pending of this.#pending) {
      for (const id of ids) pending.before.delete(id)
      if (pending.state === state) pending.all = false
    }
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
    const { items, nextCursor, unread } = await this.#host.page(cursor)
    if (cursor === undefined) this.#items = this.#items.filter(({ id }) => meanwhile.has(id))
    for (const item of items) {
      const state = meanwhile.has(item.id) ? meanwhile.get(item.id) : item.state
      if (state !== undefined) this.#insert({ ...item, state }, true)
    }
    this.#meanwhile = undefined
    this.#cursor = nextCursor ?? undefined
    this.#loaded = true
    if (!this.#live) this.counted = unread
    this.#changed()
  }

  /** Newest first by event id; what cannot be compared goes to the end when it is `older`, else to the top. */
  #insert(item: InboxItem, older: boolean): void {
    const items = this.#items.filter(({ id }) => id !== item.id)
    const at = parseEventId(item.eventId)
    const ahead = (other: InboxItem | undefined): number | undefined => {
      const place = parseEventId(other?.eventId ?? '')
      return at !== undefined && place?.epoch === at.epoch ? at.offset - place.offset : undefined
    }
    const index = items.findIndex((other) => (ahead(other) ?? 0) > 0)
    if (index >= 0) items.splice(index, 0, item)
    else if (older || ahead(items[0]) !== undefined) items.push(item)
    else items.unshift(item)
    this.#items = items
  }

  #set(states: Map<string, State>): void {
    this.#items = this.#items.map((item) => ({ ...item, state: states.get(item.id) ?? item.state }))
  }

  #changed(): void {
    this.#host.changed({ items: this.#items, unread: this.unread })
  }
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

function upTo({ eventId }: InboxItem, target: MarkTarget): boolean {
  const end = parseEventId((target as { upTo: string }).upTo)
  const at = parseEventId(eventId)
  return at !== undefined && at.epoch === end?.epoch && at.offset <= end.offset
}
