import type { FeedSnapshot } from '../feed.ts'
import { ActionBar } from './action-bar.ts'
import { h, icon, setText } from './dom.ts'
import { type FailedChange, List, type ListHost } from './list.ts'

interface PanelHost extends ListHost {
  markAllRead(): void
  /** The end of the list came into view. */
  more(): void
  retry(): void
  reconnect(): void
}

/** The state that `render` shows in addition to the feed. */
interface PanelView {
  /** The connection has been lost for long enough to show it. */
  offline: boolean
  /** The SDK has disconnected permanently. */
  stopped: boolean
  /** True if new rows are live notifications, not a page. */
  animate: boolean
  /** Failed changes by notification id. */
  failures: ReadonlyMap<string, FailedChange>
}

/** The dialog with the inbox. */
export class Panel {
  readonly element: HTMLElement
  readonly #host: PanelHost
  readonly #list: List
  readonly #heading = h('h2', { id: 'title', part: 'title' })
  readonly #all = h('button', { type: 'button', class: 'text-button', part: 'mark-all-read' })
  readonly #notice = h('div', { class: 'notice', part: 'notice' })
  readonly #noticeText = h('span', { role: 'status' })
  readonly #noticeAction = h('button', { type: 'button', class: 'text-button' })
  readonly #empty = h('div', { class: 'state', part: 'empty' })
  readonly #emptyTitle = h('strong', {})
  readonly #emptyHint = h('span', {})
  readonly #retry = h('button', { type: 'button', class: 'text-button' })
  readonly #loading = h('div', { class: 'skeleton', part: 'loading', role: 'status' })
  readonly #loadingText = h('span', { class: 'hidden' })
  readonly #end = h('div', { class: 'end' })
  readonly #scroll: HTMLElement
  readonly #actionBar = new ActionBar()
  #observer: IntersectionObserver | undefined

  constructor(host: PanelHost) {
    this.#host = host
    this.#list = new List(host)
    this.#notice.append(this.#noticeText, this.#noticeAction)
    this.#empty.append(h('span', { class: 'mark' }, icon('M5 12.5l4.5 4.5L19 7.5')), this.#emptyTitle, this.#emptyHint, this.#retry)
    const bars = Array.from({ length: 3 }, () => h('div', {}, h('i', {}), h('i', {})))
    this.#loading.append(this.#loadingText, ...bars)
    this.#scroll = h('div', { class: 'scroll', part: 'scroll' }, this.#list.element, this.#loading, this.#empty, this.#end)
    const head = h('div', { class: 'head', part: 'header' }, this.#heading, this.#all)
    const attributes = {
      class: 'panel',
      part: 'panel',
      id: 'panel',
      role: 'dialog',
      'aria-labelledby': 'title',
      tabindex: -1,
      popover: 'manual'
    }
    this.element = h('div', attributes, head, this.#notice, this.#scroll, this.#actionBar.element)
    this.#all.addEventListener('click', () => host.markAllRead())
    this.#retry.addEventListener('click', () => host.retry())
    this.#noticeAction.addEventListener('click', () => host.reconnect())
  }

  /** Shows the panel, scrolled to the newest row: rows that arrived while it was closed are above the last scroll position. */
  open(): void {
    this.#list.reset()
    this.element.classList.add('open')
    this.element.showPopover?.()
    this.#scroll.scrollTop = 0
    this.#observer = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && this.#host.more(), {
      root: this.#scroll,
      rootMargin: '200px'
    })
    this.#observer.observe(this.#end)
  }

  close(): void {
    this.#observer?.disconnect()
    this.#actionBar.hide()
    this.element.hidePopover?.()
    this.element.classList.remove('open')
  }

  focus(): void {
    if (!this.#list.focus()) this.element.focus()
  }

  /** Moves the focus to the row of a notification when it appears. */
  focusWhenShown(id: string): void {
    this.#list.focusWhenShown(id)
  }

  /** Shows a text and an action at the end of the open panel, for a while. Returns a function that hides them. */
  offer(text: string, action: string, run: () => void): () => void {
    return this.element.classList.contains('open') ? this.#actionBar.show(text, action, run) : () => {}
  }

  withdrawOffer(): void {
    this.#actionBar.hide()
  }

  render(feed: FeedSnapshot, view: PanelView): void {
    const messages = this.#host.messages()
    const items = feed.items.filter(({ state }) => state !== 'archived')
    const root = this.element.getRootNode() as ShadowRoot
    const hadFocus = this.element.contains(root.activeElement)
    this.#list.render(items, view.animate, view.failures)
    // The panel has the focus if it opened before there was a row.
    if (root.activeElement === this.element) this.#list.focus()
    const failed = feed.error !== undefined && !feed.loading
    const nothing = items.length === 0
    setText(this.#heading, messages.title)
    setText(this.#all, messages.markAllRead)
    this.#all.hidden = feed.unread === 0
    setText(this.#noticeText, view.stopped ? messages.stopped : view.offline ? messages.offline : '')
    setText(this.#noticeAction, messages.reconnect)
    this.#noticeAction.hidden = !view.stopped
    this.#notice.hidden = !view.stopped && !view.offline
    setText(this.#loadingText, messages.loading)
    this.#loading.hidden = failed || !(feed.loading || (nothing && feed.hasMore))
    setText(this.#emptyTitle, failed ? messages.failed : messages.empty)
    setText(this.#emptyHint, failed ? '' : messages.emptyHint)
    setText(this.#retry, messages.retry)
    this.#retry.hidden = !failed
    this.#empty.hidden = !(failed || (nothing && !feed.hasMore))
    this.#observeEnd(feed)
    // A focused control may have been removed.
    if (hadFocus && !this.element.contains(root.activeElement)) this.focus()
  }

  refresh(): void {
    this.#list.refresh()
  }

  /** Observes the end of the list again: the observer fires only on a change, and after a short page the end is still in view. */
  #observeEnd(feed: FeedSnapshot): void {
    if (feed.loading || feed.error !== undefined || !feed.hasMore) return
    this.#observer?.unobserve(this.#end)
    this.#observer?.observe(this.#end)
  }
}
