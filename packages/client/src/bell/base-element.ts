import type { Belfry } from '../index.ts'
import type { BelfryOptions, PushOptions } from '../types.ts'
import { Controller } from './controller.ts'
import { setAttribute } from './dom.ts'
import type { BellMessages, BellMessagesInput } from './messages.ts'
import type { RenderItem } from './own-rows.ts'
import { styles } from './styles.ts'
import type { BellTab } from './tab-filters.ts'

const PROPERTIES = ['messages', 'getToken', 'client', 'user', 'tabs', 'renderItem', 'serviceWorker']

/** On servers there is no `HTMLElement`; the module must be importable there. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement

const controllers = new WeakMap<BelfryElement, Controller>()

/** Returns the controller of an element. It is no member of the element, since pages see those. */
export function controllerOf(element: BelfryElement): Controller {
  return controllers.get(element) as Controller
}

/**
 * The attributes and properties that `<belfry-bell>` and `<belfry-inbox>` share.
 *
 * Attributes: `url` (the address of the service), `token-url` (a GET there answers the user's token, as text or as JSON `{"token": "…"}`),
 * `user` (the signed-in user, '' for nobody; a change makes a new client), `theme` (`light` or `dark`; default: the `color-scheme` of the
 * page), `lang`, `service-worker` (the address of the app's service worker: the panel has a switch of Web Push). The property `getToken` can replace `token-url`, and `client` both. Slots: `header`, `footer`, `empty`, and templates with
 * `slot="item"`.
 */
export class BelfryElement extends Base {
  static readonly observedAttributes = ['url', 'token-url', 'user', 'lang', 'badge', 'service-worker']

  protected constructor(role: 'dialog' | 'region') {
    super()
    const controller = new Controller(this, role)
    controllers.set(this, controller)
    const root = this.attachShadow({ mode: 'open' })
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(styles)
    root.adoptedStyleSheets = [sheet]
    root.append(controller.announcer.element, controller.failure)
  }

  /** All texts. The setter takes some of them, or the content of a language file; the others are English. */
  get messages(): BellMessages {
    return controllerOf(this).messages
  }

  set messages(messages: BellMessagesInput) {
    controllerOf(this).messages = messages
  }

  /** Returns the user's token: see `BelfryOptions`. Another function makes a new client, unless the attribute `user` names the user. */
  get getToken(): BelfryOptions['getToken'] | undefined {
    return controllerOf(this).getToken
  }

  set getToken(getToken: BelfryOptions['getToken'] | undefined) {
    controllerOf(this).getToken = getToken
  }

  /**
   * The signed-in user, by any name that the page has for them. If it changes, the element is emptied at once and asks for a token. '' for
   * nobody: the element does not connect. null, or without the attribute: the token alone names the user.
   */
  get user(): string | null {
    return this.getAttribute('user')
  }

  set user(user: string | null | undefined) {
    setAttribute(this, 'user', user ?? undefined)
  }

  /** The client. If the page sets it, the page connects and disconnects it; else the element makes one from `url`. */
  get client(): Belfry | undefined {
    return controllerOf(this).belfry
  }

  set client(client: Belfry | undefined) {
    controllerOf(this).belfry = client
  }

  /** The tabs of the app, between "Unread" and "Archived". */
  get tabs(): readonly BellTab[] {
    return controllerOf(this).tabs
  }

  set tabs(tabs: readonly BellTab[] | undefined) {
    controllerOf(this).tabs = tabs
  }

  /**
   * Renders the content of rows by the app: called with a notification and the element to fill, again at each change. If it returns false, the
   * row has the content of a matching template, or its usual one.
   */
  get renderItem(): RenderItem | undefined {
    return controllerOf(this).renderItem
  }

  set renderItem(renderItem: RenderItem | undefined) {
    controllerOf(this).renderItem = renderItem
  }

  /** The app's service worker, for `enablePush`. If it is given, here or as the attribute `service-worker`, the panel has a switch of Web Push. */
  get serviceWorker(): PushOptions['serviceWorker'] | undefined {
    return controllerOf(this).serviceWorker
  }

  set serviceWorker(serviceWorker: PushOptions['serviceWorker'] | undefined) {
    controllerOf(this).serviceWorker = serviceWorker
  }

  get unread(): number {
    return controllerOf(this).feeds.snapshot.unread
  }

  get unseen(): number {
    return controllerOf(this).feeds.snapshot.unseen
  }

  connectedCallback(): void {
    // Properties that were set before the element was defined hide the setters of the class.
    const own = this as Record<string, unknown>
    for (const name of PROPERTIES.filter((name) => Object.hasOwn(own, name))) {
      const value = own[name]
      delete own[name]
      own[name] = value
    }
    controllerOf(this).start()
  }

  disconnectedCallback(): void {
    controllerOf(this).stop()
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    const controller = controllerOf(this)
    if (['lang', 'badge', 'service-worker'].includes(name)) controller.changed()
    else if (now !== before) controller.renew()
  }
}
