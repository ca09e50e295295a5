import type { FeedSnapshot } from '../feed-snapshot.ts'
import type { InboxItem } from '../inbox.ts'
import { isUnread } from '../states.ts'
import { ActionBar } from './action-bar.ts'
import { button, CLOSE_ICON, focusedBeside, h, icon, MORE_ICON, setAttribute, setName, setText } from './dom.ts'
import type { TabContext } from './events.ts'
import { List, type ListHost } from './list.ts'
import { Menu } from './menu.ts'
import type { FailedChange } from './row.ts'
import { TabList } from './tab-list.ts'

export interface PanelHost extends Omit<ListHost, 'menu'> {
  markAllRead(): void
  archiveAllRead(): void
  reconnect(): void
  select(tab: number): void
  close(): void
  /** Stands above the app's footer. */
  readonly pushSwitch: HTMLElement
}

/** The state that `render` shows in addition to the feed. */
interface PanelView {
  tabs: readonly { label: string; count: number | undefined }[]
  selected: number
  name: TabContext['name']
  /** The connection has been lost for long enough to show it. */
  offline: boolean
  /** The SDK has disconnected permanently. */
  stopped: boolean
  isLive: boolean
  failures: ReadonlyMap<string, FailedChange>
  /** Texts or the app's rows changed. */
  again: boolean
}

/** The inbox with its header, tabs, list and footer: the dialog of `<belfry-bell>`, and the region of `<belfry-inbox>`. */
export class Panel {
  readonly element: HTMLElement
  readonly actionBar = new ActionBar()
  readonly #host: PanelHost
  readonly #isPopup: boolean
  readonly #list: List
  readonly #menu = new Menu()
  readonly #tabs: TabList
  readonly #heading = h('h2', { id: 'title', part: 'title' })
  readonly #all: HTMLElement
  readonly #options: HTMLElement
  readonly #close: HTMLElement
  readonly #notice = h('div', { class: 'notice', part: 'notice' })
  readonly #noticeText = h('span', { role: 'status' })
  readonly #noticeAction: HTMLElement
  readonly #newer: HTMLElement
  readonly #empty = h('div', { class: 'state', part: 'empty' })
  readonly #mark = h('span', { class: 'mark' }, icon('M5 12.5l4.5 4.5L19 7.5'))
  readonly #emptyTitle = h('strong', {})
  readonly #emptyHint = h('span', {})
  readonly #retry: HTMLElement
  readonly #loading = h('div', { class: 'skeleton', part: 'loading', role: 'status' })
  readonly #loadingText = h('span', { class: 'hidden' })
  readonly #scroll: HTMLElement

  constructor(host: PanelHost, role: 'dialog' | 'region') {
    this.#host = host
    this.#isPopup = role === 'dialog'
    this.#list = new List({ ...host, menu: (row, opener) => this.#openMenu(row, opener) })
    this.#tabs = new TabList((tab) => host.select(tab))
    this.#all = button('text-button', () => host.markAllRead(), { part: 'mark-all-read' })
    this.#options = button('tool', () => this.#openOptions(), { part: 'options', 'aria-haspopup': 'menu' }, icon(MORE_ICON))
    this.#close = button('tool close', () => host.close(), { part: 'close' }, icon(CLOSE_ICON))
    this.#noticeAction = button('text-button', () => host.reconnect(), { part: 'reconnect' })
    this.#retry = button('text-button', () => host.more(), { part: 'retry' })
    this.#newer = button('newer', () => this.#showNewest(), { hidden: true })
    this.#notice.append(this.#noticeText, this.#noticeAction)
    this.#empty.append(h('slot', { name: 'empty' }, this.#mark, this.#emptyTitle, this.#emptyHint), this.#retry)
    this.#loading.append(this.#loadingText, ...[1, 2, 3].map(() => h('div', {}, h('i', {}), h('i', {}))))
    const attributes = { class: 'scroll', part: 'scroll', id: 'scroll', role: 'tabpanel', tabindex: -1 }
    this.#scroll = h('div', attributes, ...this.#list.parts, this.#loading, this.#empty)
    const head = h(
      'div',
      { class: 'head', part: 'header' },
      h('slot', { name: 'header' }, this.#heading),
      this.#all,
      this.#options,
      this.#close
    )
    this.element = h(
      'div',
      { class: 'panel', part: 'panel', id: 'panel', role, tabindex: -1, popover: this.#isPopup && 'manual' },
      head,
      this.#tabs.element,
      this.#notice,
      h('div', { class: 'top' }, this.#newer),
      this.#scroll,
      this.actionBar.element,
      host.pushSwitch,
      h('slot', { name: 'footer' }),
      this.#menu.element
    )
  }

  /** Shows the panel, scrolled to the newest row: rows that arrived while it was closed are above the last scroll position. */
  open(): void {
    this.element.classList.add('open')
    if (this.#isPopup) this.element.showPopover?.()
    this.reset()
    this.#list.watch()
  }

  close(): void {
    this.#list.unwatch()
    this.#menu.close(false)
    if (this.#isPopup) this.element.hidePopover?.()
    this.element.classList.remove('open')
  }

  focus(): void {
    if (!this.#list.focus()) this.element.focus()
  }

  /** Begins at the newest row, after the next rendering. */
  reset(): void {
    this.#list.reset()
    this.#scroll.scrollTop = 0
  }

  /** Moves the focus to the row of a notification when it appears. */
  focusWhenShown(id: string): void {
    this.#list.focusWhenShown(id)
  }

  render(feed: FeedSnapshot, view: PanelView): void {
    const messages = this.#host.messages()
    const { items, loading } = feed
    const hadFocus = this.element.contains(focusedBeside(this.element))
    const failed = feed.error !== undefined && !loading
    const nothing = items.length === 0
    const isArchive = view.name === 'archived'
    this.#tabs.render(view.tabs, view.selected)
    setAttribute(this.#scroll, 'aria-labelledby', `tab-${view.selected}`)
    const waiting = this.#list.render({ ...view, items, canLoad: feed.hasMore && !loading && !failed }, view.again)
    // The panel has the focus if it opened before there was a row.
    if (focusedBeside(this.element) === this.element) this.#list.focus()
    setText(this.#newer, waiting ? `${messages.newer(waiting)} ↑` : '')
    this.#newer.hidden = waiting === 0
    setAttribute(this.element, 'aria-label', messages.title)
    setText(this.#heading, messages.title)
    setText(this.#all, messages.markAllRead)
    setName(this.#options, messages.options)
    setName(this.#close, messages.close)
    // The service counts what is unread in all types, not in those of an app's own tab.
    const hasUnread = view.name === '' ? feed.hasMore || items.some(({ state }) => isUnread(state)) : !isArchive
    this.#all.hidden = feed.unread === 0 || !hasUnread
    this.#options.hidden = view.name !== 'all' || !items.some(({ state }) => state === 'read')
    setText(this.#noticeText, view.stopped ? messages.stopped : view.offline ? messages.offline : '')
    setText(this.#noticeAction, messages.reconnect)
    this.#noticeAction.hidden = !view.stopped
    this.#notice.hidden = !view.stopped && !view.offline
    setText(this.#loadingText, messages.loading)
    this.#loading.hidden = failed || !(loading || (nothing && feed.hasMore))
    setText(this.#emptyTitle, failed ? messages.failed : isArchive ? messages.emptyArchived : messages.empty)
    setText(this.#emptyHint, failed || isArchive ? '' : messages.emptyHint)
    setText(this.#retry, messages.retry)
    this.#retry.hidden = !failed
    this.#mark.hidden = failed
    this.#empty.hidden = !(failed || (nothing && !feed.hasMore))
    this.#menu.check()
    // A focused control may have been removed, or hidden: Firefox leaves the focus on what is hidden, where no key reaches the panel.
    const focused = focusedBeside(this.element)
    if (hadFocus && !(this.element.contains(focused) && focused?.getClientRects().length)) this.focus()
  }

  #showNewest(): void {
    this.reset()
    this.#host.rerender()
    this.focus()
  }

  #openMenu(row: { readonly item: InboxItem }, opener: HTMLElement): void {
    const { markRead, markUnread, archiveItem, unarchive } = this.#host.messages()
    const to = (label: string, state: InboxItem['state']) => ({ label, run: () => this.#host.change(row.item, state) })
    const { state } = row.item
    const toggle = state === 'read' ? to(markUnread, 'unread') : to(markRead, 'read')
    this.#menu.toggle(opener, state === 'archived' ? [to(unarchive, 'read')] : [toggle, to(archiveItem, 'archived')])
  }

  #openOptions(): void {
    this.#menu.toggle(this.#options, [{ label: this.#host.messages().archiveAllRead, run: () => this.#host.archiveAllRead() }])
  }
}
