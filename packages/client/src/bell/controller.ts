import { Belfry } from '../index.ts'
import type { BelfryOptions, ConnectionState, PushOptions, ToastContext } from '../types.ts'
import { Announcer } from './announcer.ts'
import { button, setText } from './dom.ts'
import type { BelfryBellEventMap } from './events.ts'
import { Feeds } from './feeds.ts'
import { canonicalLanguage } from './language-tag.ts'
import { type BellMessages, type BellMessagesInput, englishMessages, messagesOf } from './messages.ts'
import type { RenderItem } from './own-rows.ts'
import type { BellTab } from './tab-filters.ts'
import { tokenFrom } from './token.ts'
import type { ElementHooks, View, ViewHost } from './view.ts'

/** A connection that stands for this time is not opening the page any more: the view is loaded. One that is lost for less is not reported. */
const SETTLED_MS = 2500

/** Connects a client, its inbox and, from the first time it is needed, a view, for one element. */
export class Controller implements ViewHost {
  readonly element: HTMLElement
  readonly announcer = new Announcer(() => this.#messages)
  /** Stands in the place of a panel that could not be loaded. A press tries again. */
  readonly failure = button('failure', () => this.retry())
  readonly feeds = new Feeds(() => this.changed())
  /** The language of the texts. */
  language: string | undefined
  /** `<belfry-bell>` sets them. */
  hooks: Partial<ElementHooks> = {}
  isOffline = false
  isStopped = false
  /** The panel is wanted, and its view could not be loaded. */
  hasFailed = false
  /** Tries again to load the view. */
  retry = (): void => {}
  readonly #role: 'dialog' | 'region'
  #messages: BellMessages = englishMessages
  #getToken: BelfryOptions['getToken'] | undefined
  #renderItem: RenderItem | undefined
  #serviceWorker: PushOptions['serviceWorker'] | undefined
  #client: Belfry | undefined
  /** A client that the controller made, and therefore connects and disconnects. */
  #own: Belfry | undefined
  #off: (() => void)[] = []
  #view: View | undefined
  /** The panel is shown, or will be when its view is loaded. */
  #isShown = false
  /** The number of calls of `show()` and `hide()`. */
  #shows = 0
  #scheduled = false
  #changing = false
  #stateTimer: number | undefined

  constructor(element: HTMLElement, role: 'dialog' | 'region') {
    this.element = element
    this.#role = role
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
    this.language = canonicalLanguage(messages.lang ?? '')
    this.#renderAgain()
  }

  get getToken(): BelfryOptions['getToken'] | undefined {
    return this.#getToken
  }

  /** The attribute `user` says when the user changes. Without it another function may be that of another user. */
  set getToken(getToken: BelfryOptions['getToken'] | undefined) {
    const isKept = this.#getToken && getToken && this.element.getAttribute('user')
    this.#getToken = getToken
    if (!isKept) this.renew()
  }

  get renderItem(): RenderItem | undefined {
    return this.#renderItem
  }

  set renderItem(renderItem: RenderItem | undefined) {
    this.#renderItem = renderItem
    this.#renderAgain()
  }

  /** The property, or else the attribute. */
  get serviceWorker(): PushOptions['serviceWorker'] | undefined {
    return this.#serviceWorker ?? this.element.getAttribute('service-worker') ?? undefined
  }

  set serviceWorker(serviceWorker: PushOptions['serviceWorker'] | undefined) {
    this.#serviceWorker = serviceWorker
    this.changed()
  }

  get tabs(): readonly BellTab[] {
    return this.feeds.tabs
  }

  set tabs(tabs: readonly BellTab[] | undefined) {
    // Frameworks set an equal array at each rendering.
    if (JSON.stringify(tabs ?? []) === JSON.stringify(this.tabs)) return
    this.#view?.select(0)
    this.feeds.tabs = tabs ?? []
    if (this.#isShown) this.feeds.open()
    this.changed()
  }

  /** Loads the view, once. After a failure the next call tries again. */
  async load(): Promise<View> {
    const { View } = await import('./view.ts')
    this.#view ??= new View(this, this.#role)
    return this.#view
  }

  /** Shows the panel with its tabs, as soon as its view is loaded: at once if it is. Tries again until then, or until `hide()`. */
  async show(): Promise<void> {
    if (this.#isShown) return
    this.#isShown = true
    const shows = ++this.#shows
    this.feeds.open()
    this.changed()
    while (!this.#view) {
      await this.load().catch((cause) => this.#failed(cause))
      if (shows !== this.#shows) return
    }
    this.hasFailed = false
    this.#view.show()
    this.hooks.shown?.(this.#view)
  }

  hide(): void {
    this.#isShown = false
    this.#shows++
    this.hasFailed = false
    this.retry()
    this.#view?.hide()
    this.changed()
  }

  /** Shows a toast, unless the user changes or the notification leaves the inbox before the view is loaded. */
  async toast(ctx: ToastContext): Promise<void> {
    const { belfry } = this
    const user = belfry?.user
    const isListed = (): boolean => this.feeds.items.some(({ id }) => id === ctx.notification.id)
    const wasListed = isListed()
    const view = this.#view ?? (await this.load().catch((cause) => this.#loadFailed(cause)))
    if (belfry !== this.belfry || user !== belfry?.user || (wasListed && !isListed())) return
    view?.toasts.show(ctx)
    this.changed()
  }

  tell<E extends keyof BelfryBellEventMap>(name: E, detail: BelfryBellEventMap[E]['detail']): boolean {
    const cancelable = /toast|select|action/.test(name)
    return this.element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }))
  }

  /** Schedules one rendering for all changes of this turn. */
  changed(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      const { failed, retry } = this.#messages
      setText(this.failure, this.hasFailed ? `${failed} ${retry}` : '')
      this.hooks.rendered?.(this.feeds.snapshot)
      this.#view?.render()
    })
  }

  reconnect(): void {
    this.isStopped = false
    this.belfry?.connect()
    this.changed()
  }

  /** Restarts the client after the changes of this turn: pages set attributes and properties one after the other. */
  renew(): void {
    if (this.#changing) return
    this.#changing = true
    queueMicrotask(() => {
      const changing = this.#changing && this.element.isConnected
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
    this.#off = []
    this.feeds.stop()
    this.#own?.disconnect()
    this.#own = undefined
    this.isStopped = false
    this.#clear()
    this.#watchState('disconnected')
  }

  #follow(belfry: Belfry): void {
    this.#off = [
      belfry.on('notification', (ctx) => {
        if (!ctx.replay) this.announcer.arrived(ctx.notification.title)
        this.tell('belfry-notification', ctx)
      }),
      belfry.on('user', () => {
        this.isStopped = false
        this.#clear()
      }),
      belfry.on('error', (ctx) => this.tell('belfry-error', ctx)),
      belfry.on('state', ({ state }) => this.#watchState(state)),
      belfry.on('terminal', () => {
        this.isStopped = true
        this.changed()
      }),
      belfry.on('push', () => this.changed()),
      ...(this.hooks.follow?.(belfry) ?? [])
    ]
    this.feeds.follow(belfry)
    if (this.#isShown) this.feeds.open()
    this.#own?.connect()
    this.#watchState(belfry.state)
  }

  #make(): Belfry | undefined {
    const { element } = this
    const url = element.getAttribute('url')
    const tokenUrl = element.getAttribute('token-url')
    // Frameworks set a new function at each rendering: the latest one is called.
    const latest: BelfryOptions['getToken'] = (ctx) => (this.#getToken as BelfryOptions['getToken'])(ctx)
    const getToken = this.#getToken ? latest : tokenUrl === null ? undefined : () => tokenFrom(tokenUrl)
    if (url === null || !getToken || element.getAttribute('user') === '') return undefined
    try {
      this.#own = new Belfry(new URL(url, document.baseURI).href, { getToken })
    } catch (cause) {
      const message = `the attribute url of <${element.localName}> is not the address of a service: ${url}`
      console.warn(`Belfry: ${message}`)
      this.tell('belfry-error', { code: 'BELFRY_CLIENT_URL', message, temporary: false, cause })
    }
    return this.#own
  }

  /** Drops the announcements and the view's remains of the last user. */
  #clear(): void {
    this.announcer.stop()
    this.#view?.clear()
  }

  /** Reports a lost connection after a while. With a connection, loads the view ahead, for a panel that is opened without a network. */
  #watchState(state: ConnectionState): void {
    const isConnecting = state === 'connecting'
    window.clearTimeout(this.#stateTimer)
    this.isOffline &&= isConnecting
    this.isStopped &&= !isConnecting
    if (state === 'connected') this.retry()
    if (state === 'disconnected') return
    this.#stateTimer = window.setTimeout(() => {
      this.isOffline = isConnecting
      if (!isConnecting) this.load().catch(() => {})
      this.changed()
    }, SETTLED_MS)
  }

  /** Renders the app's rows again, too. */
  #renderAgain(): void {
    this.#view?.renderAgain()
    this.changed()
  }

  /** Says that the view could not be loaded. Resolves when the user or a new connection wants another attempt. */
  #failed(cause: unknown): Promise<void> {
    this.#loadFailed(cause)
    if (!this.hasFailed) this.announcer.say(this.#messages.failed)
    this.hasFailed = true
    this.changed()
    return new Promise((resolve) => {
      this.retry = resolve
    })
  }

  #loadFailed(cause: unknown): void {
    this.tell('belfry-error', { code: 'BELFRY_CLIENT_PANEL', message: `the panel could not be loaded: ${cause}`, temporary: true, cause })
  }
}
