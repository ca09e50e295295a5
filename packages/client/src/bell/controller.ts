import type { Action } from '../../../../services/protocol/index.ts'
import { EMPTY_FEED, Feed, type FeedSnapshot } from '../feed.ts'
import type { InboxItem } from '../inbox.ts'
import { Belfry } from '../index.ts'
import type { BelfryOptions, PushOptions } from '../types.ts'
import type { ActionsHost } from './action-buttons.ts'
import { Announcer } from './announcer.ts'
import { Changes } from './changes.ts'
import { linkOf } from './dom.ts'
import type { BelfryBellEventMap } from './events.ts'
import { canonicalLanguage, languageOf } from './language.ts'
import { type BellMessages, type BellMessagesInput, englishMessages, messagesOf } from './messages.ts'
import { type RenderItem, renderOwn } from './own-rows.ts'
import { Panel } from './panel.ts'
import { PushSwitch } from './push-switch.ts'
import { type BellTab, tabFilters } from './tab-filters.ts'
import { tokenFrom } from './token.ts'

/** The panel does not report a connection that is lost for less than this. */
const OFFLINE_MS = 2500
/** The ages of the rows are updated this often. */
const AGES_MS = 30_000

/** The parts of an element that the controller does not know. */
export interface ControllerHooks {
  /** Called at each rendering, with the counts, and the items of the whole inbox. */
  rendered(feed: FeedSnapshot): void
  /** Follows a new client. Returns functions that end that. */
  follow(belfry: Belfry): (() => void)[]
  /** Drops what belongs to the last user. */
  clear(): void
  /** The user closes the panel. */
  close(): void
}

/** Connects a client, its inbox and a panel, for one element. */
export class Controller {
  readonly panel: Panel
  readonly announcer = new Announcer(() => this.#messages)
  readonly actions: ActionsHost = {
    messages: () => this.#messages,
    deviceId: () => this.belfry?.deviceId,
    answered: (item, action) => this.#answer(item, action)
  }
  readonly #element: HTMLElement
  readonly #changes: Changes
  readonly #pushSwitch: PushSwitch
  #hooks: ControllerHooks = { rendered() {}, follow: () => [], clear() {}, close() {} }
  #messages: BellMessages = englishMessages
  #language: string | undefined
  #getToken: BelfryOptions['getToken'] | undefined
  #renderItem: RenderItem | undefined
  #serviceWorker: PushOptions['serviceWorker'] | undefined
  #client: Belfry | undefined
  /** A client that the controller made, and therefore connects and disconnects. */
  #own: Belfry | undefined
  #tabs: readonly BellTab[] = []
  #filters = tabFilters([])
  /** By tab. Only the first one exists before the panel is shown. */
  #feeds: Feed[] = []
  #selected = 0
  #off: (() => void)[] = []
  #isShown = false
  #stopped = false
  #offline = false
  #scheduled = false
  #again = false
  #changing = false
  #rendered: FeedSnapshot = EMPTY_FEED
  #offlineTimer: number | undefined
  #agesTimer: number | undefined

  constructor(element: HTMLElement, role: 'dialog' | 'region') {
    this.#element = element
    this.#pushSwitch = new PushSwitch({
      messages: this.actions.messages,
      belfry: () => this.belfry,
      serviceWorker: () => this.serviceWorker,
      changed: () => this.changed(),
      failed: (cause) => this.tell('belfry-error', { code: 'BELFRY_CLIENT_PUSH', message: String(cause), temporary: true, cause })
    })
    const host = {
      ...this.actions,
      pushSwitch: this.#pushSwitch.element,
      language: () => languageOf(element) ?? this.#language,
      chosen: (item: InboxItem, event: Event) => this.#chosen(item, event),
      change: (item: InboxItem, state: InboxItem['state']) => this.#changes.set(item, state),
      own: (item: InboxItem, old: HTMLElement | undefined) => renderOwn(element, this.#renderItem, item, old),
      seen: (ids: string[]) => this.#feed?.seen(ids),
      markAllRead: () => this.#changes.markAllRead(),
      archiveAllRead: () => this.#changes.archiveAllRead(),
      more: () => void this.#feed?.loadMore().catch(() => {}),
      rerender: () => this.changed(),
      select: (tab: number) => this.#select(tab),
      close: () => this.#hooks.close(),
      reconnect: () => {
        this.#stopped = false
        this.belfry?.connect()
        this.changed()
      }
    }
    this.panel = new Panel(host, role)
    this.#changes = new Changes({
      ...this.actions,
      panel: this.panel,
      feed: () => this.#feed,
      say: (text) => this.announcer.say(text),
      changed: () => this.changed(),
      failed: (ctx) => this.tell('belfry-error', ctx)
    })
  }

  set hooks(hooks: ControllerHooks) {
    this.#hooks = hooks
  }

  get belfry(): Belfry | undefined {
    return this.#client ?? this.#own
  }

  set belfry(client: Belfry | undefined) {
    this.#client = client
    this.renew()
  }

  get messages(): BellMessages {
    return this.#messages
  }

  set messages(messages: BellMessagesInput) {
    this.#messages = messagesOf(messages)
    this.#language = canonicalLanguage(messages.lang ?? '')
    this.renderAgain()
  }

  get getToken(): BelfryOptions['getToken'] | undefined {
    return this.#getToken
  }

  set getToken(getToken: BelfryOptions['getToken'] | undefined) {
    this.#getToken = getToken
    this.renew()
  }

  get renderItem(): RenderItem | undefined {
    return this.#renderItem
  }

  set renderItem(renderItem: RenderItem | undefined) {
    this.#renderItem = renderItem
    this.renderAgain()
  }

  /** The property, or else the attribute. */
  get serviceWorker(): PushOptions['serviceWorker'] | undefined {
    return this.#serviceWorker ?? this.#element.getAttribute('service-worker') ?? undefined
  }

  set serviceWorker(serviceWorker: PushOptions['serviceWorker'] | undefined) {
    this.#serviceWorker = serviceWorker
    this.changed()
  }

  get tabs(): readonly BellTab[] {
    return this.#tabs
  }

  set tabs(tabs: readonly BellTab[] | undefined) {
    this.#tabs = tabs ?? []
    this.#filters = tabFilters(this.#tabs)
    this.renew()
  }

  get feed(): FeedSnapshot {
    return this.#feed?.snapshot ?? EMPTY_FEED
  }

  /** Loads the tabs, and follows what is in view, from now on. */
  show(): void {
    if (this.#isShown) return
    this.#isShown = true
    this.panel.open()
    this.#openFeeds()
    this.#render()
    this.#agesTimer = window.setInterval(() => this.changed(), AGES_MS)
  }

  hide(): void {
    this.#isShown = false
    this.panel.close()
    this.#changes.clearFailures()
    window.clearInterval(this.#agesTimer)
    this.changed()
  }

  /** Fires an event. Returns false if a listener cancelled it. */
  tell<E extends keyof BelfryBellEventMap>(name: E, detail: BelfryBellEventMap[E]['detail']): boolean {
    const cancelable = /toast|select|action/.test(name)
    return this.#element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }))
  }

  /** Schedules one rendering for all changes of this turn. */
  changed(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#render()
    })
  }

  /** Renders the app's rows again, too. */
  renderAgain(): void {
    this.#again = true
    this.changed()
  }

  /** Restarts the client after the changes of this turn: pages set attributes and properties one after the other. */
  renew(): void {
    if (this.#changing) return
    this.#changing = true
    queueMicrotask(() => {
      const changing = this.#changing && this.#element.isConnected
      this.#changing = false
      if (!changing) return
      this.stop()
      this.start()
    })
  }

  start(): void {
    this.#changing = false
    const belfry = this.#client ?? this.#make()
    if (belfry) this.#follow(belfry)
    this.changed()
  }

  stop(): void {
    for (const off of this.#off) off()
    for (const feed of this.#feeds) feed.close()
    this.#off = []
    this.#feeds = []
    this.#own?.disconnect()
    this.#own = undefined
    this.#stopped = false
    this.#selected = 0
    this.#clear()
    this.#watchState(false)
  }

  get #feed(): Feed | undefined {
    return this.#feeds[this.#selected]
  }

  #follow(belfry: Belfry): void {
    this.#off = [
      belfry.on('notification', (ctx) => {
        if (!ctx.replay) this.announcer.arrived(ctx.notification.title)
        this.tell('belfry-notification', ctx)
      }),
      belfry.on('user', () => {
        this.#stopped = false
        this.#clear()
      }),
      belfry.on('error', (ctx) => this.tell('belfry-error', ctx)),
      belfry.on('state', ({ state }) => this.#watchState(state === 'connecting')),
      belfry.on('terminal', () => {
        this.#stopped = true
        this.changed()
      }),
      belfry.on('push', () => this.changed()),
      ...this.#hooks.follow(belfry)
    ]
    this.#addFeed(belfry)
    if (this.#isShown) this.#openFeeds()
    this.#own?.connect()
    this.#watchState(belfry.state === 'connecting')
  }

  #addFeed(belfry: Belfry): void {
    const feed = new Feed(belfry, this.#filters[this.#feeds.length])
    feed.subscribe(() => this.changed())
    this.#feeds.push(feed)
  }

  /** Loads the selected tab first, then the others, for their counts. */
  #openFeeds(): void {
    const { belfry } = this
    if (!belfry) return
    while (this.#feeds.length < this.#filters.length) this.#addFeed(belfry)
    for (const feed of [this.#feed, ...this.#feeds]) feed?.open()
  }

  #make(): Belfry | undefined {
    const element = this.#element
    const [url, tokenUrl, user] = ['url', 'token-url', 'user'].map((name) => element.getAttribute(name)) as [
      string | null,
      string | null,
      string | null
    ]
    const getToken = this.#getToken ?? (tokenUrl === null ? undefined : () => tokenFrom(tokenUrl))
    if (url === null || getToken === undefined || user === '') return undefined
    try {
      this.#own = new Belfry(new URL(url, document.baseURI).href, { getToken })
    } catch (cause) {
      const message = `the attribute url of <${element.localName}> is not the address of a service: ${url}`
      console.warn(`Belfry: ${message}`)
      this.tell('belfry-error', { code: 'BELFRY_CLIENT_URL', message, temporary: false, cause })
    }
    return this.#own
  }

  /** Drops the announcements and failures of the last user. */
  #clear(): void {
    this.announcer.stop()
    this.#changes.clear()
    this.#hooks.clear()
  }

  #watchState(isConnecting: boolean): void {
    window.clearTimeout(this.#offlineTimer)
    if (!isConnecting) this.#offline = false
    else {
      this.#stopped = false
      this.#offlineTimer = window.setTimeout(() => {
        this.#offline = true
        this.changed()
      }, OFFLINE_MS)
    }
  }

  #render(): void {
    const { feed } = this
    this.#hooks.rendered({ ...feed, items: this.#feeds[0]?.snapshot.items ?? [] })
    // A hidden panel is only rendered to empty it: no notification of the last user must stay in the document.
    if (!this.#isShown && (feed.items.length > 0 || this.#rendered.items.length === 0)) return
    if (this.#isShown) this.#pushSwitch.render()
    const tabs = this.#filters.map(({ label }, index) => ({ label: label(this.#messages), count: this.#feeds[index]?.snapshot.count }))
    this.panel.render(feed, {
      tabs,
      selected: this.#selected,
      name: this.#filters[this.#selected]?.name ?? '',
      offline: this.#offline,
      stopped: this.#stopped,
      isLive: this.#rendered.items.length > 0 && !this.#rendered.loading,
      failures: this.#changes.failures,
      again: this.#again
    })
    this.#again = false
    this.#rendered = feed
  }

  #select(tab: number): void {
    if (tab === this.#selected) return
    this.#selected = tab
    this.#rendered = EMPTY_FEED
    this.panel.reset()
    this.#render()
    const { name = '', label } = this.#filters[tab] ?? {}
    this.tell('belfry-tab', { name, label: label?.(this.#messages) ?? '' })
  }

  #chosen(item: InboxItem, event: Event): void {
    if (item.state === 'unread' || item.state === 'seen') this.#changes.set(item, 'read')
    if (!this.tell('belfry-select', item)) event.preventDefault()
  }

  #answer(item: InboxItem, action: Action): void {
    this.#changes.answer(item, action)
    const url = linkOf(action.url)
    if (this.tell('belfry-action', { item, action }) && url !== undefined) window.open(url, '_blank', 'noopener')
  }
}
