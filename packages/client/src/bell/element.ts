import type { Action } from '../../../../services/protocol/index.ts'
import { EMPTY_FEED, Feed, type FeedSnapshot } from '../feed.ts'
import type { InboxItem } from '../inbox.ts'
import { Belfry } from '../index.ts'
import type { BelfryOptions } from '../types.ts'
import { Announcer } from './announcer.ts'
import { Changes } from './changes.ts'
import { h, icon, linkOf, setAttribute, setText } from './dom.ts'
import type { BelfryBellEventMap } from './events.ts'
import { languageOf } from './language.ts'
import { type BellMessages, englishMessages } from './messages.ts'
import { Panel } from './panel.ts'
import { place } from './place.ts'
import { styles } from './styles.ts'
import { Toasts } from './toasts.ts'
import { tokenFrom } from './token.ts'

/** The panel does not report a connection that is lost for less than this. */
const OFFLINE_MS = 2500
/** The ages of the rows are updated this often. */
const AGES_MS = 30_000

/** On servers there is no `HTMLElement`; the module must be importable there. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement

/**
 * `<belfry-bell>`: a bell with the unread count, and a panel with the inbox.
 *
 * Attributes: `url` (the address of the service), `token-url` (a GET there answers the user's token, as text or as JSON `{"token": "…"}`),
 * `user` (the signed-in user, '' for nobody; a change makes a new client), `theme` (`light` or `dark`; default: the `color-scheme` of the
 * page), `lang`, `toasts` (the bell shows toasts of its own). The property `getToken` can replace `token-url`, and `client` both. Events, all of which bubble: `belfry-notification`,
 * `belfry-error`, `belfry-open`, `belfry-close`, and `belfry-toast`, `belfry-select` and `belfry-action`, which can be cancelled.
 */
export class BelfryBell extends Base {
  static readonly observedAttributes = ['url', 'token-url', 'user', 'lang']

  #messages: BellMessages = englishMessages
  #getToken: BelfryOptions['getToken'] | undefined
  #client: Belfry | undefined
  /** A client that this element made, and therefore connects and disconnects. */
  #own: Belfry | undefined
  #feed: Feed | undefined
  #off: (() => void)[] = []
  #opened = false
  #stopped = false
  #offline = false
  #scheduled = false
  #changing = false
  #shown: FeedSnapshot = EMPTY_FEED
  #offlineTimer: number | undefined
  #agesTimer: number | undefined
  readonly #button = h('button', { type: 'button', class: 'bell', part: 'button', 'aria-haspopup': 'dialog', 'aria-controls': 'panel' })
  readonly #badge = h('span', { class: 'badge', part: 'badge', 'aria-hidden': 'true' })
  readonly #announcer = new Announcer(() => this.#messages)
  readonly #actionsHost = {
    messages: () => this.#messages,
    deviceId: () => this.#belfry?.deviceId,
    answered: (item: InboxItem, action: Action) => this.#answer(item, action)
  }
  readonly #toasts = new Toasts({ ...this.#actionsHost, open: () => this.open() })
  readonly #panel = new Panel({
    ...this.#actionsHost,
    language: () => languageOf(this),
    chosen: (item, event) => this.#chosen(item, event),
    archived: (item) => this.#changes.archive(item),
    markAllRead: () => this.#changes.markAllRead(),
    more: () => this.#loadMore(),
    retry: () => this.#loadMore(),
    reconnect: () => {
      this.#stopped = false
      this.#belfry?.connect()
      this.#changed()
    }
  })
  readonly #changes = new Changes({
    ...this.#actionsHost,
    panel: this.#panel,
    feed: () => this.#feed,
    say: (text) => this.#announcer.say(text),
    changed: () => this.#changed(),
    failed: (ctx) => this.#tell('belfry-error', ctx)
  })

  constructor() {
    super()
    const root = this.attachShadow({ mode: 'open' })
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(styles)
    root.adoptedStyleSheets = [sheet]
    this.#button.append(
      icon('M18 8.5a6 6 0 1 0-12 0c0 7-2.5 8.5-2.5 8.5h17S18 15.500 18 8.500', 'M13.700 20.500a2 2 0 0 1-3.400 0'),
      this.#badge
    )
    root.append(this.#button, this.#panel.element, this.#toasts.element, this.#announcer.element)
    this.#button.addEventListener('click', () => (this.#opened ? this.close() : this.open()))
    root.addEventListener('keydown', (event) => this.#key(event as KeyboardEvent))
    this.addEventListener('focusout', ({ relatedTarget }) => {
      if (this.#opened && relatedTarget !== null && !this.contains(relatedTarget as Node)) this.close()
    })
  }

  /** All texts. The setter takes some of them; the others stay English. */
  get messages(): BellMessages {
    return this.#messages
  }

  set messages(messages: Partial<BellMessages>) {
    this.#messages = { ...englishMessages, ...messages }
    this.#panel.refresh()
    this.#changed()
  }

  /** Returns the user's token: see `BelfryOptions`. */
  get getToken(): BelfryOptions['getToken'] | undefined {
    return this.#getToken
  }

  set getToken(getToken: BelfryOptions['getToken'] | undefined) {
    this.#getToken = getToken
    this.#restart()
  }

  /**
   * The signed-in user, by any name that the page has for them. If it changes, the bell is emptied at once and asks for a token. '' for
   * nobody: the bell does not connect. null, or without the attribute: the token alone names the user.
   */
  get user(): string | null {
    return this.getAttribute('user')
  }

  set user(user: string | null | undefined) {
    if (user === null || user === undefined) this.removeAttribute('user')
    else this.setAttribute('user', user)
  }

  /** The client. If the page sets it, the page connects and disconnects it; else the element makes one from `url`. */
  get client(): Belfry | undefined {
    return this.#belfry
  }

  set client(client: Belfry | undefined) {
    this.#client = client
    this.#restart()
  }

  /** True while the panel is open. */
  get opened(): boolean {
    return this.#opened
  }

  get unread(): number {
    return this.#feed?.snapshot.unread ?? 0
  }

  connectedCallback(): void {
    // Properties that were set before the element was defined hide the setters of the class.
    const own = this as Record<string, unknown>
    for (const name of ['messages', 'getToken', 'client', 'user'].filter((name) => Object.hasOwn(own, name))) {
      const value = own[name]
      delete own[name]
      own[name] = value
    }
    this.#changing = false
    this.#start()
    this.#changed()
  }

  disconnectedCallback(): void {
    this.close()
    this.#stop()
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (name === 'lang') this.#panel.refresh()
    else if (now !== before) this.#restart()
  }

  /** Opens the panel and moves the focus there. */
  open(): void {
    if (this.#opened || !this.isConnected) return
    this.#opened = true
    this.#feed?.open()
    this.#render()
    place(this.#panel.element, this.#button)
    this.#panel.open()
    this.#panel.focus()
    this.#agesTimer = window.setInterval(() => this.#panel.refresh(), AGES_MS)
    document.addEventListener('pointerdown', this.#outside, true)
    for (const event of ['resize', 'scroll']) window.addEventListener(event, this.#moved, { passive: true, capture: true })
    this.#tell('belfry-open', null)
  }

  /** Closes the panel. If the focus was inside, it moves to the button. */
  close(): void {
    if (!this.#opened) return
    this.#opened = false
    const inside = this.#panel.element.contains(this.shadowRoot?.activeElement ?? null)
    this.#panel.close()
    this.#changes.clearFailures()
    window.clearInterval(this.#agesTimer)
    document.removeEventListener('pointerdown', this.#outside, true)
    for (const event of ['resize', 'scroll']) window.removeEventListener(event, this.#moved, { capture: true })
    this.#render()
    if (inside) this.#button.focus()
    this.#tell('belfry-close', null)
  }

  get #belfry(): Belfry | undefined {
    return this.#client ?? this.#own
  }

  readonly #outside = (event: Event): void => {
    if (!event.composedPath().includes(this)) this.close()
  }

  readonly #moved = ({ target }: Event): void => {
    if (target !== null && !this.shadowRoot?.contains(target as Node)) place(this.#panel.element, this.#button)
  }

  /** Restarts the client after the changes of this turn: pages set attributes and properties one after the other. */
  #restart(): void {
    if (this.#changing) return
    this.#changing = true
    queueMicrotask(() => {
      const changing = this.#changing && this.isConnected
      this.#changing = false
      if (!changing) return
      this.#stop()
      this.#start()
      this.#changed()
    })
  }

  #start(): void {
    const belfry = this.#client ?? this.#make()
    if (belfry === undefined) return
    const feed = new Feed(belfry)
    this.#feed = feed
    this.#off = [
      feed.subscribe(() => this.#changed()),
      belfry.on('notification', (ctx) => {
        if (!ctx.replay) {
          this.#announcer.arrived(ctx.notification.title)
          this.#ring()
        }
        this.#tell('belfry-notification', ctx)
      }),
      belfry.on('user', () => {
        this.#stopped = false
        this.#clear()
      }),
      belfry.on('toast', (ctx) => {
        if (this.#tell('belfry-toast', ctx) && this.hasAttribute('toasts')) this.#toasts.show(ctx)
      }),
      belfry.on('error', (ctx) => this.#tell('belfry-error', ctx)),
      belfry.on('state', ({ state }) => this.#watchState(state === 'connecting')),
      belfry.on('terminal', () => {
        this.#stopped = true
        this.#changed()
      })
    ]
    if (this.#opened) feed.open()
    this.#own?.connect()
    this.#watchState(belfry.state === 'connecting')
  }

  #make(): Belfry | undefined {
    const url = this.getAttribute('url')
    const tokenUrl = this.getAttribute('token-url')
    const getToken = this.#getToken ?? (tokenUrl === null ? undefined : () => tokenFrom(tokenUrl))
    if (url === null || getToken === undefined || this.user === '') return undefined
    try {
      this.#own = new Belfry(new URL(url, document.baseURI).href, { getToken })
    } catch (cause) {
      const message = `the attribute url of <belfry-bell> is not the address of a service: ${url}`
      console.warn(`Belfry: ${message}`)
      this.#tell('belfry-error', { code: 'BELFRY_CLIENT_URL', message, temporary: false, cause })
    }
    return this.#own
  }

  #stop(): void {
    for (const off of this.#off) off()
    this.#off = []
    this.#feed?.close()
    this.#feed = undefined
    this.#own?.disconnect()
    this.#own = undefined
    this.#stopped = false
    this.#clear()
    this.#watchState(false)
  }

  /** Drops the announcements and failures of the last user. */
  #clear(): void {
    this.#announcer.stop()
    this.#changes.clear()
    this.#toasts.clear()
  }

  #watchState(isConnecting: boolean): void {
    window.clearTimeout(this.#offlineTimer)
    if (!isConnecting) this.#offline = false
    else {
      this.#stopped = false
      this.#offlineTimer = window.setTimeout(() => {
        this.#offline = true
        this.#changed()
      }, OFFLINE_MS)
    }
  }

  /** Schedules one rendering for all changes of this turn. */
  #changed(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#render()
    })
  }

  #render(): void {
    const feed = this.#feed?.snapshot ?? EMPTY_FEED
    const messages = this.#messages
    setAttribute(this.#button, 'aria-label', messages.button(feed.unread))
    setAttribute(this.#button, 'aria-expanded', String(this.#opened))
    setText(this.#badge, messages.badge(feed.unread))
    this.#toasts.render(feed.items)
    // A closed panel is only rendered to empty it: no notification of the last user must stay in the document.
    if (!this.#opened && (feed.items.length > 0 || this.#shown.items.length === 0)) return
    const animate = this.#shown.items.length > 0 && !this.#shown.loading
    this.#panel.render(feed, { offline: this.#offline, stopped: this.#stopped, animate, failures: this.#changes.failures })
    this.#shown = feed
  }

  #chosen(item: InboxItem, event: Event): void {
    if (item.state === 'unread' || item.state === 'seen') this.#changes.markRead(item)
    if (!this.#tell('belfry-select', item)) event.preventDefault()
  }

  #answer(item: InboxItem, action: Action): void {
    this.#changes.answer(item, action)
    const url = linkOf(action.url)
    if (this.#tell('belfry-action', { item, action }) && url !== undefined) window.open(url, '_blank', 'noopener')
  }

  #key(event: KeyboardEvent): void {
    if (event.key !== 'Escape' || !this.#opened) return
    event.stopPropagation()
    this.close()
  }

  #ring(): void {
    this.#button.classList.remove('ring')
    // Reading a size makes the browser restart the animation.
    void this.#button.offsetWidth
    this.#button.classList.add('ring')
  }

  /** The feed shows a failure. */
  #loadMore(): void {
    this.#feed?.loadMore().catch(() => {})
  }

  #tell<E extends keyof BelfryBellEventMap>(name: E, detail: BelfryBellEventMap[E]['detail']): boolean {
    const cancelable = /toast|select|action/.test(name)
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }))
  }
}
