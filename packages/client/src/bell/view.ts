import type { Action } from '../../../../services/protocol/index.ts'
import { EMPTY_FEED, type FeedSnapshot } from '../feed-snapshot.ts'
import type { InboxItem } from '../inbox.ts'
import type { Belfry } from '../index.ts'
import type { PushOptions } from '../types.ts'
import type { ActionsHost } from './action-buttons.ts'
import type { Announcer } from './announcer.ts'
import { Changes } from './changes.ts'
import { linkOf } from './dom.ts'
import type { BelfryBellEventMap } from './events.ts'
import type { Feeds } from './feeds.ts'
import { languageOf } from './language.ts'
import type { BellMessages } from './messages.ts'
import { type RenderItem, renderOwn } from './own-rows.ts'
import { Panel } from './panel.ts'
import { panelStyles } from './panel-styles.ts'
import { type Placement, place } from './place.ts'
import { PushSwitch } from './push-switch.ts'
import { Toasts } from './toasts.ts'

/** The ages of the rows are updated, and the counts of the tabs corrected, this often. */
const AGES_MS = 30_000
/** A panel with less room than this below its button opens above it, px. */
const MIN_HEIGHT = 320

/** The parts of an element that the controller does not know. */
export interface ElementHooks {
  /** Called at each rendering, with the counts. */
  rendered(feed: FeedSnapshot): void
  /** Follows a new client. Returns functions that end that. */
  follow(belfry: Belfry): (() => void)[]
  /** The panel is there now. */
  shown(view: View): void
  /** The user opens the panel from a toast, or closes it. */
  open(): void
  close(): void
}

/** The part of an element that is there before the view. */
export interface ViewHost {
  readonly element: HTMLElement
  readonly feeds: Feeds
  readonly messages: BellMessages
  /** The language of the texts, a valid tag. */
  readonly language: string | undefined
  readonly belfry: Belfry | undefined
  readonly serviceWorker: PushOptions['serviceWorker'] | undefined
  readonly renderItem: RenderItem | undefined
  /** The connection has been lost for long enough to show it. */
  readonly isOffline: boolean
  /** The SDK has disconnected permanently. */
  readonly isStopped: boolean
  /** Fires an event. Returns false if a listener cancelled it. */
  tell<E extends keyof BelfryBellEventMap>(name: E, detail: BelfryBellEventMap[E]['detail']): boolean
  readonly announcer: Announcer
  readonly hooks: Partial<ElementHooks>
  /** Schedules a rendering. */
  changed(): void
  reconnect(): void
}

/** The panel, the changes that the user makes in it, and the toasts of an element. Loaded on demand. */
export class View {
  readonly panel: Panel
  readonly toasts: Toasts
  readonly #host: ViewHost
  readonly #changes: Changes
  readonly #pushSwitch: PushSwitch
  #isShown = false
  #again = false
  #rendered: FeedSnapshot = EMPTY_FEED
  #agesTimer: number | undefined
  /** The newest event id when the counts were last compared with those of the service. */
  #countedAt = ''

  /** Adds itself to the shadow root of the element. */
  constructor(host: ViewHost, role: 'dialog' | 'region') {
    this.#host = host
    const { feeds } = host
    const actions: ActionsHost = {
      messages: () => host.messages,
      deviceId: () => host.belfry?.deviceId,
      answered: (item, action) => this.#answer(item, action)
    }
    this.#pushSwitch = new PushSwitch({
      messages: actions.messages,
      belfry: () => host.belfry,
      serviceWorker: () => host.serviceWorker,
      changed: () => host.changed(),
      failed: (cause) => host.tell('belfry-error', { code: 'BELFRY_CLIENT_PUSH', message: String(cause), temporary: true, cause })
    })
    const panelHost = {
      ...actions,
      pushSwitch: this.#pushSwitch.element,
      language: () => languageOf(host.element) ?? host.language,
      chosen: (item: InboxItem, event: Event) => this.#chosen(item, event),
      change: (item: InboxItem, state: InboxItem['state']) => this.#changes.set(item, state),
      own: (item: InboxItem, old: HTMLElement | undefined) => renderOwn(host.element, host.renderItem, item, old),
      seen: (ids: string[]) => feeds.current?.inbox.seen(ids),
      markAllRead: () => this.#changes.markAllRead(),
      archiveAllRead: () => this.#changes.archiveAllRead(),
      more: () => void feeds.current?.loadMore().catch(() => {}),
      rerender: () => host.changed(),
      select: (tab: number) => this.select(tab),
      close: () => host.hooks.close?.(),
      reconnect: () => host.reconnect()
    }
    this.panel = new Panel(panelHost, role)
    this.#changes = new Changes({
      ...actions,
      panel: this.panel,
      inbox: () => feeds.current?.inbox,
      say: (text) => host.announcer.say(text),
      changed: () => host.changed(),
      failed: (ctx) => host.tell('belfry-error', ctx)
    })
    this.toasts = new Toasts({ ...actions, open: () => host.hooks.open?.() })
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(panelStyles)
    const root = host.element.shadowRoot as ShadowRoot
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet]
    root.append(this.panel.element, this.toasts.element)
  }

  show(): void {
    this.#isShown = true
    this.panel.open()
    this.render()
    this.#recount()
    this.#agesTimer = window.setInterval(() => {
      this.#recount()
      this.#host.changed()
    }, AGES_MS)
  }

  hide(): void {
    this.#isShown = false
    this.panel.close()
    this.#changes.clearFailures()
    window.clearInterval(this.#agesTimer)
  }

  /** Places the panel beside its button. */
  place(button: HTMLElement): void {
    place(this.panel.element, button, (this.#host.element.getAttribute('placement') ?? 'auto') as Placement, MIN_HEIGHT)
  }

  /** Renders the app's rows again, too, at the next rendering. */
  renderAgain(): void {
    this.#again = true
  }

  render(): void {
    const { feeds, messages, isOffline, isStopped } = this.#host
    const { filters, selected, snapshot } = feeds
    this.toasts.render(feeds.items)
    // A hidden panel is only rendered to empty it: no notification of the last user must stay in the document.
    if (!this.#isShown && (snapshot.items.length > 0 || this.#rendered.items.length === 0)) return
    if (this.#isShown) this.#pushSwitch.render()
    this.panel.render(snapshot, {
      tabs: filters.map(({ label }, index) => ({ label: label(messages), count: feeds.at(index)?.snapshot.count })),
      selected,
      name: filters[selected]?.name ?? '',
      offline: isOffline,
      stopped: isStopped,
      isLive: this.#rendered.items.length > 0 && !this.#rendered.loading,
      failures: this.#changes.failures,
      again: this.#again
    })
    this.#again = false
    this.#rendered = snapshot
  }

  /** Selects a tab, at its newest row. */
  select(tab: number): void {
    const { feeds, messages } = this.#host
    if (tab === feeds.selected) return
    feeds.selected = tab
    this.#rendered = EMPTY_FEED
    this.panel.reset()
    this.render()
    const { name = '', label } = feeds.filters[tab] ?? {}
    this.#host.tell('belfry-tab', { name, label: label?.(messages) ?? '' })
  }

  /** Drops the failures, offers and toasts of the last user. */
  clear(): void {
    this.#changes.clear()
    this.toasts.clear()
  }

  /** Loads the tabs again whose counts are not those of the service, which does not tell what it removes when new notifications arrive. */
  async #recount(): Promise<void> {
    const { belfry, feeds } = this.#host
    const at = belfry?.lastEventId
    if (!belfry || !at || at === this.#countedAt || document.hidden) return
    this.#countedAt = at
    for (const [tab, filter] of feeds.filters.entries()) {
      const inbox = feeds.at(tab)?.inbox
      const count = inbox?.count
      if (count === undefined) continue
      const served = await feeds.countOf(filter).catch(() => count)
      // After a change in between the next comparison decides.
      if (inbox?.count === count && served !== count) inbox.load(inbox.list().length).catch(() => {})
    }
  }

  #chosen(item: InboxItem, event: Event): void {
    if (item.state === 'unread' || item.state === 'seen') this.#changes.set(item, 'read')
    if (!this.#host.tell('belfry-select', item)) event.preventDefault()
  }

  #answer(item: InboxItem, action: Action): void {
    this.#changes.answer(item, action)
    const url = linkOf(action.url)
    if (this.#host.tell('belfry-action', { item, action }) && url !== undefined) window.open(url, '_blank', 'noopener')
  }
}
