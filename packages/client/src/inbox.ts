import type { Answer, State } from '../../../services/protocol/index.ts'
import type { Client } from './client.ts'
import { Events } from './events.ts'
import { type Change, type InboxEvents, type InboxItem, itemOf, KnownItems, withChange } from './inbox-items.ts'
import { changedBy, changesOf, GATHER_MS, type PendingMark, withRepeated } from './inbox-marks.ts'
import { type InboxOptions, loadPages, passes } from './inbox-pages.ts'
import { isAfter, isAtOrBefore } from './order.ts'
import { bindMembers } from './proxies.ts'
import { isUnread } from './states.ts'
import type { Counts, MarkOptions, MarkTarget } from './types.ts'

export type { InboxEvents, InboxItem } from './inbox-items.ts'
export type { InboxOptions } from './inbox-pages.ts'

/** The most live notifications that are kept before the first `load()`. */
const KEPT_UNLOADED = 1000
/** Out-of-date pages that could not be loaded again are requested after this time, milliseconds. */
const RELOAD_MS = 10_000
/** The changes of a replay are told together after this time, milliseconds. */
const REPLAY_MS = 50

/**
 * The user's inbox, or the part of it that a filter names: live notifications, and pages of older ones on demand, in step with the user's
 * other tabs and devices. A mark is shown at once and taken back if it fails. A notification that a mark moves out of the filter leaves the
 * list, and one that a mark moves into the filter enters it. When the user changes, the inbox is emptied.
 */
export class Inbox {
  readonly #belfry: Client
  readonly #filter: InboxOptions
  readonly #events = new Events<InboxEvents>(() => {})
  readonly #unsubscribe: (() => void)[]
  /** The known notifications, also those outside of the filter, with the states that the service named. */
  #served = new KnownItems()
  /** `#known` and `#items` are older than the last change. */
  #isOutdated = false
  /** The event `change` is due. */
  #isDue = false
  /** The same items with the states of pending marks. */
  #known: readonly InboxItem[] = []
  /** Those of the known items that the filter names. */
  #items: readonly InboxItem[] = []
  /** The number of notifications that the filter names and that are not known; undefined before the first load. */
  #unloaded: number | undefined
  #cursor: string | undefined
  /** The event id of the oldest notification of the loaded pages. */
  #loadedTo = ''
  #isLoaded = false
  #loading: Promise<void> | undefined
  /** The loaded pages are out of date. */
  #isStale = false
  #isReloading = false
  /** Changes after the page that is being loaded was requested; undefined for removed notifications. */
  #changedDuringLoad: Map<string, Change | undefined> | undefined
  /** In the order of the calls: the last mark of a notification decides its state. */
  readonly #pending = new Set<PendingMark>()
  /** The actions of pending answers, by notification id. */
  readonly #answering = new Map<string, string>()
  /** The service's counts, without pending marks. */
  #counts: Counts
  /** The ids that the next mark of `seen()` has. */
  readonly #seen = new Set<string>()

  /** Follows the events of `belfry` from now on. */
  constructor(belfry: Client, { states, types }: InboxOptions = {}) {
    bindMembers(this)
    this.#belfry = belfry
    this.#filter = { states: states?.includes('unread') ? [...states, 'seen'] : states, types }
    this.#counts = { unread: belfry.unread, unseen: belfry.unseen }
    this.#unsubscribe = [
      belfry.on('user', () => this.#clear()),
      belfry.on('notification', (ctx) => this.#arrived(itemOf(ctx), ctx.replay)),
      belfry.on('marked', ({ ids, state, replay }) => this.#serve(ids, { state }, replay)),
      belfry.on('answered', ({ id, action, answeredAt, deviceId, replay }) => this.#answered(id, { action, answeredAt, deviceId }, replay)),
      belfry.on('retract', ({ id, collapseKey, replay }) => {
        this.#expect([id])
        this.#remove([id], replay, collapseKey)
      }),
      belfry.on('digest', ({ ids, replay }) => this.#remove(ids, replay)),
      belfry.on('caughtUp', () => this.#tell()),
      belfry.on('unread', (counts) => this.#count(counts)),
      belfry.on('gap', () => {
        this.#isStale ||= this.#isLoaded || !!this.#loading
        this.#reload()
      }),
      belfry.on('state', ({ state }) => {
        if (state === 'connected') this.#reload()
        else {
          this.#tell()
          for (const pending of this.#pending) pending.isRepeated = true
        }
      })
    ]
  }

  /** Calls the handler at every change. Returns a function that removes it. */
  on<E extends keyof InboxEvents>(event: E, handler: (ctx: InboxEvents[E]) => unknown): () => void {
    return this.#events.on(event, handler)
  }

  /** Stops following the client. Marks what `seen()` has gathered. */
  close(): void {
    this.#markSeen()
    for (const off of this.#unsubscribe.splice(0)) off()
  }

  /** The number of the user's notifications that are unread or seen, also outside of the filter. Pending marks count as done. */
  get unread(): number {
    return this.#live(this.#counts.unread, isUnread)
  }

  /** The number of the user's notifications that are unread, not even seen, also outside of the filter. Pending marks count as done. */
  get unseen(): number {
    return this.#live(this.#counts.unseen, (state) => state === 'unread')
  }

  /** The number of notifications that the filter names, loaded or not; undefined before the first load. Pending marks count as done. */
  get count(): number | undefined {
    if (this.#unloaded === undefined) return undefined
    return this.list().length + (this.#isMarkingAll && this.#filter.states?.every(isUnread) ? 0 : this.#unloaded)
  }

  /** True if the service has older notifications than the loaded ones. */
  get hasMore(): boolean {
    return !this.#isLoaded || this.#cursor !== undefined
  }

  /** Returns the notifications that were loaded or have arrived, newest first. Every change makes a new array. */
  list(): readonly InboxItem[] {
    this.#update()
    return this.#items
  }

  /**
   * Loads the first page, or the pages of as many notifications as are `wanted`, after the load in progress. Rejects with a `BelfryError`, or with the
   * error of `fetch` or `getToken`.
   */
  async load(wanted = 0): Promise<void> {
    while (this.#loading) await this.#loading.catch(() => {})
    return this.#load(undefined, wanted)
  }

  /** Loads the next page, or the first. Does nothing if there is none. Rejects as `load()` does. */
  async more(): Promise<void> {
    if (!this.hasMore) return
    await this.#load(this.#cursor).catch((error: { code?: string }) => {
      if (error.code !== 'BELFRY_ERR_LOG_RESTARTED') throw error
      return this.load()
    })
  }

  /**
   * Sets a state as `Belfry.mark()` does. Resolves with the ids of the notifications that changed: as the service names them if `only` was
   * given, else those that this inbox knows. If that fails, takes the change back and rejects with a `BelfryError`.
   */
  mark(target: MarkTarget, state?: State, options?: MarkOptions): Promise<string[]> {
    return this.#mark(target, state, options)
  }

  /**
   * Marks all notifications that have arrived as read: those of the filter's types, or all of the user's, in any state. Rejects as `mark()` and
   * `load()` do.
   */
  async markAllRead(): Promise<void> {
    const { types } = this.#filter
    if (types) {
      const { user } = this.#belfry
      const { items } = await loadPages(this.#belfry, { states: ['unread', 'seen'], types }, undefined, Infinity)
      // The token of another user loaded their notifications.
      if (user === this.#belfry.user && items.length > 0) await this.mark(items.map(({ id }) => id))
      return
    }
    const upTo = this.#belfry.lastEventId || this.#served.list()[0]?.eventId
    if (upTo) await this.#mark({ upTo }, undefined, undefined, true)
  }

  /** Marks those of the ids as seen that are unread. Calls are gathered into one mark, from which each later mark takes its ids. A mark that fails is taken back. */
  seen(ids: readonly string[]): void {
    this.#update()
    const unread = this.#known.filter((item) => item.state === 'unread' && ids.includes(item.id))
    if (unread.length && !this.#seen.size) this.#belfry.setTimeout(() => this.#markSeen(), GATHER_MS)
    for (const { id } of unread) this.#seen.add(id)
  }

  /**
   * Answers a notification as `Belfry.answer()` does. Until the service has answered, the item has the action as `answering`. If another device was first, the item
   * has its answer, and this rejects with a `BelfryError`, which has it too.
   */
  async answer(id: string, action: string): Promise<Answer> {
    this.#answering.set(id, action)
    this.#changed()
    const made = this.#belfry.answer(id, action)
    const answer = await made.catch((error: { answer?: Answer }) => error.answer)
    if (this.#answering.delete(id)) {
      // Else the row of the answer came first, and later rows may have changed the state.
      if (answer) this.#answered(id, answer)
      else this.#changed()
    }
    return made
  }

  #markSeen(): void {
    if (this.#seen.size) this.#mark([...this.#seen], 'seen').catch(() => {})
  }

  async #mark(target: MarkTarget, state: State = 'read', options: MarkOptions = {}, all = false): Promise<string[]> {
    for (const id of [target].flat()) this.#seen.delete(id as string)
    this.#update()
    const changes = this.#known.filter(changedBy(target, state, options))
    const pending: PendingMark = { ids: changes.map(({ id }) => id), state, all, named: new Map() }
    const counts = this.#counts
    this.#pending.add(pending)
    this.#changed()
    try {
      const { ids, unread, unseen } = { ...counts, ...(await this.#belfry.requestMark(target, state, options)) }
      const changed = ids ? withRepeated(ids, pending) : pending.ids
      if (!this.#pending.has(pending)) return changed
      // Counts that a row named since the call may be newer. The row of this mark names its own.
      if (this.#counts === counts) this.#counts = { unread, unseen }
      const current = changed.filter((id) => !pending.named.has(id))
      this.#served.change(current, { state })
      return changed
    } finally {
      if (this.#pending.delete(pending)) this.#changed()
    }
  }

  /** A mark of every notification has no answer yet. */
  get #isMarkingAll(): boolean {
    return [...this.#pending].some(({ all }) => all)
  }

  /** Returns a count of the service, changed by the pending marks. */
  #live(served: number, isCounted: (state: State) => boolean): number {
    this.#update()
    const counted = (items: readonly InboxItem[]): number => items.filter(({ state }) => isCounted(state)).length
    return this.#isMarkingAll ? 0 : Math.max(0, served + counted(this.#known) - counted(this.#served.list()))
  }

  #count(counts: Counts): void {
    this.#counts = counts
    this.#changed()
  }

  /** Takes a notification in one change with the removal of those whose place it takes. */
  #arrived(item: InboxItem, replay: boolean): void {
    const { id, state, replaces } = item
    this.#changedDuringLoad?.set(id, { state })
    this.#note([id], state)
    if (replaces) {
      this.#expect([replaces])
      this.#changedDuringLoad?.set(replaces, undefined)
    }
    // A replay may bring a notification of a page that is not loaded.
    if (this.#unloaded && !this.#served.get(id) && passes(item, this.#filter) && isAtOrBefore(item.eventId, this.#loadedTo))
      this.#unloaded--
    this.#served.add(item, false)
    if (!this.#isLoaded) this.#served.truncate(KEPT_UNLOADED)
    this.#changed(replay)
  }

  #remove(ids: string[], replay: boolean, collapseKey?: string): void {
    for (const id of ids) this.#changedDuringLoad?.set(id, undefined)
    this.#served.remove(ids, collapseKey)
    this.#changed(replay)
  }

  #answered(id: string, answer: Answer, replay = false): void {
    this.#answering.delete(id)
    const state = this.#served.get(id)?.state === 'archived' ? 'archived' : 'read'
    this.#serve([id], { state, answer }, replay)
  }

  /** Takes states that the service named. They stay if a pending mark fails; a pending mark that is older does not overwrite them. */
  #serve(ids: string[], change: Change & { state: State }, replay: boolean): void {
    this.#expect(ids, change.state)
    const changed = this.#changedDuringLoad
    for (const id of ids) if (!changed?.has(id) || changed.get(id)) changed?.set(id, { ...changed.get(id), ...change })
    this.#served.change(ids, change)
    this.#note(ids, change.state)
    this.#changed(replay)
  }

  /** The service named a state of these notifications: the answer to a pending mark does not change it. */
  #note(ids: string[], state: State): void {
    for (const pending of this.#pending) {
      pending.all &&= pending.state !== state
      for (const id of ids) pending.named.set(id, state)
    }
  }

  /**
   * Called before a change: loads the pages again if it may concern the list or its count, and this inbox does not know the notification.
   *
   * @param state undefined if the notifications are removed
   */
  #expect(ids: string[], state?: State): void {
    const { states } = this.#filter
    const isConcerned = state ? states && (this.hasMore || states.includes(state)) : this.hasMore
    if (!isConcerned || !(this.#isLoaded || this.#loading) || ids.every((id) => this.#served.get(id))) return
    this.#isStale = true
    this.#reload(this.list().length)
  }

  /** Empties the inbox, because the user changed. A page in progress is requested again. */
  #clear(): void {
    this.#served = new KnownItems()
    this.#unloaded = undefined
    this.#cursor = undefined
    this.#isLoaded = false
    this.#isStale = false
    this.#changedDuringLoad = undefined
    this.#pending.clear()
    this.#answering.clear()
    this.#seen.clear()
    this.#count({ unread: 0, unseen: 0 })
  }

  /** Loads out-of-date pages again: at least the first, and `wanted` notifications. If that fails, tries again later and at the next connection. */
  async #reload(wanted = 0): Promise<void> {
    if (this.#isReloading || this.#unsubscribe.length === 0) return
    this.#isReloading = true
    try {
      while (this.#isStale) {
        while (this.#loading) await this.#loading.catch(() => {})
        this.#isStale = false
        await this.#load(undefined, wanted)
      }
    } catch {
      this.#isStale = true
      this.#belfry.setTimeout(() => this.#reload(wanted), RELOAD_MS)
    }
    this.#isReloading = false
  }

  /** Loads a page, or returns the load in progress. */
  #load(cursor?: string, wanted = 0): Promise<void> {
    this.#loading ??= this.#fetch(cursor, wanted).finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #fetch(cursor?: string, wanted = 0): Promise<void> {
    const changed = new Map<string, Change | undefined>()
    this.#changedDuringLoad = changed
    const page = await loadPages(this.#belfry, this.#filter, cursor, wanted).catch((error: unknown) => {
      if (this.#changedDuringLoad === changed) throw error
      return undefined
    })
    // The user changed. Load their first page.
    if (!page || this.#changedDuringLoad !== changed) return this.#fetch()
    const { items, nextCursor, count, unread, unseen = this.#counts.unseen } = page
    const known = this.#served
    if (cursor === undefined) known.remove(known.list().flatMap(({ id }) => (changed.has(id) ? [] : id)))
    const arrived = items.filter(({ id }) => known.get(id)).length
    this.#loadedTo = items.at(-1)?.eventId ?? ''
    // Notifications of older pages, which came by a replay.
    const older = known.list().filter((item) => passes(item, this.#filter) && isAfter(this.#loadedTo, item.eventId)).length
    for (const item of items) {
      const change = changed.has(item.id) ? changed.get(item.id) : {}
      const current = { ...item, ...change }
      if (change?.answer && item.state === 'archived') current.state = item.state
      if (change && this.#belfry.track(current)) known.add(current, true)
    }
    this.#changedDuringLoad = undefined
    this.#cursor = nextCursor ?? undefined
    if (cursor === undefined) this.#unloaded = count && count - items.length - older
    else if (this.#unloaded !== undefined) this.#unloaded -= items.length - arrived
    // Corrects the count if the service removed old notifications since the first page.
    if (this.#unloaded !== undefined && !nextCursor) this.#unloaded = 0
    this.#isLoaded = true
    if (this.#belfry.state !== 'connected') this.#counts = { unread, unseen }
    this.#changed()
  }

  /** Called after each change. Those of a replay are told later, together: a replay of 10,000 rows is not 10,000 lists. */
  #changed(replay = false): void {
    this.#isOutdated = true
    const isFirst = !this.#isDue
    this.#isDue = true
    if (!replay) this.#tell()
    else if (isFirst) this.#belfry.setTimeout(() => this.#tell(), REPLAY_MS)
  }

  #tell(): void {
    if (!this.#isDue) return
    this.#isDue = false
    this.#events.emit('change', { items: this.list(), unread: this.unread })
  }

  /** Makes the lists after changes. */
  #update(): void {
    if (!this.#isOutdated) return
    this.#isOutdated = false
    const changes = changesOf(this.#pending, this.#answering)
    this.#known = this.#served.list().map((item) => withChange(item, changes.get(item.id)))
    this.#items = this.#known.filter((item) => passes(item, this.#filter))
  }
}
