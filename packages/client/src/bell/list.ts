import type { InboxItem } from '../inbox.ts'
import { focusedBeside, h } from './dom.ts'
import { type FailedChange, Row, type RowHost } from './row.ts'

/** The list has so many rows at first, and so many more when its end comes into view. */
const PAGE = 50

export interface ListHost extends RowHost {
  /** Rows with these notifications came into view. */
  seen(ids: string[]): void
  /** The end of the items came into view. */
  more(): void
  /** The list shows other items of the same view from now on: it must be rendered. */
  rerender(): void
}

export interface ListView {
  items: readonly InboxItem[]
  /** `more()` would load older items. */
  canLoad: boolean
  /** New rows are live notifications, which appear with an animation. */
  isLive: boolean
  /** By notification id, shown on the rows. */
  failures: ReadonlyMap<string, FailedChange>
}

/**
 * The items as rows. Rows are changed in place, so that the focus and the scroll position stay. While the list is scrolled, items that are
 * newer than its first row wait. One row at a time is in the tab order; the arrow keys, Home and End move between rows.
 */
export class List {
  readonly element = h('ul', { class: 'list', part: 'list', role: 'list' })
  readonly #host: ListHost
  readonly #rows = new Map<string, Row>()
  readonly #rowByElement = new WeakMap<Element, Row>()
  readonly #start = h('div', { class: 'start' })
  readonly #end = h('div', { class: 'end' })
  /** The list before and after which the newest and the next older items begin, and the elements that tell when these are in view. */
  readonly parts: HTMLElement[] = [this.#start, this.element, this.#end]
  #items: readonly InboxItem[] = []
  #order: string[] = []
  #active: string | undefined
  #limit = PAGE
  #isAtStart = true
  #hasMore = false
  /** The id of a notification whose row takes the focus when it appears. */
  #focusOnAppear: string | undefined
  #observer: IntersectionObserver | undefined

  constructor(host: ListHost) {
    this.#host = host
    this.element.addEventListener('keydown', (event) => this.#key(event))
    this.element.addEventListener('focusin', (event) => {
      const row = this.#rowOf(event.target)
      this.#focusOnAppear = undefined
      if (row) this.#activate(row.item.id)
    })
  }

  /**
   * Renders as many items as the list shows now. Returns the number of newer items that wait.
   *
   * @param again true to render the app's rows again, too
   */
  render({ items, canLoad, isLive, failures }: ListView, again: boolean): number {
    const first = this.#isAtStart ? 0 : items.findIndex(({ id }) => this.#rows.has(id))
    const waiting = Math.max(0, first)
    const focused = focusedBeside(this.element)
    const focusedRow = focused && this.#rowOf(focused)
    const shown = items.slice(waiting, waiting + this.#limit)
    const removed = new Map(this.#rows)
    this.#items = items
    for (const { id } of shown) removed.delete(id)
    for (const item of shown) if (removed.size > 0 && !this.#rows.has(item.id)) this.#takeOver(item, removed)
    const next = focusedRow && removed.has(focusedRow.item.id) ? this.#neighbour(removed) : undefined
    // The list does not follow a row that newer ones pushed out, or that is out of view.
    const isPushedOut = items.some(({ id }) => id === focusedRow?.item.id)
    const preventScroll = next !== undefined && (isPushedOut || !this.#isInView(focused as Element))
    for (const [id, row] of removed) {
      row.remove()
      this.#rows.delete(id)
      this.#observer?.unobserve(row.element)
    }
    this.#order = shown.map(({ id }) => id)
    if (this.#active === undefined || !this.#order.includes(this.#active)) this.#active = next ?? this.#order[0]
    let before = this.element.firstElementChild
    for (const item of shown) {
      const row = this.#rows.get(item.id) ?? this.#make(item, isLive)
      if (row.element === before) before = before.nextElementSibling
      else this.element.insertBefore(row.element, before)
      row.update(item, item.id === this.#active, failures.get(item.id), again)
    }
    // A row that moved has lost the focus.
    if (focused instanceof HTMLElement && this.element.contains(focused)) focused.focus({ preventScroll: true })
    if (next !== undefined) this.#rows.get(next)?.main.focus({ preventScroll })
    const appeared = this.#rows.get(this.#focusOnAppear ?? '')
    if (appeared) {
      this.#focusOnAppear = undefined
      appeared.main.focus()
    }
    this.#hasMore = canLoad || items.length > waiting + shown.length
    this.#observeEnd()
    return waiting
  }

  /** Moves the focus to the row of a notification when it appears. */
  focusWhenShown(id: string): void {
    this.#focusOnAppear = id
  }

  /** Begins at the newest item, also with the tab order. */
  reset(): void {
    this.#focusOnAppear = undefined
    this.#isAtStart = true
    this.#limit = PAGE
    this.#active = undefined
  }

  /** Follows what is in view: notifications become seen, and the end of the list asks for more. */
  watch(): void {
    this.#observer = new IntersectionObserver((entries) => this.#inView(entries), { threshold: [0, 0.5] })
    for (const element of [this.#start, ...this.element.children]) this.#observer.observe(element)
    this.#observeEnd()
  }

  unwatch(): void {
    this.#observer?.disconnect()
    this.#observer = undefined
  }

  /** Moves the focus to the active row. Returns false if there is no row. */
  focus(): boolean {
    const row = this.#rows.get(this.#active ?? '')
    row?.main.focus()
    return row !== undefined
  }

  #inView(entries: IntersectionObserverEntry[]): void {
    const seen: string[] = []
    for (const { target, isIntersecting, intersectionRatio } of entries) {
      const row = this.#rowOf(target)
      if (target === this.#start) this.#atStart(isIntersecting)
      else if (row && intersectionRatio >= 0.5) {
        row.measure()
        if (row.item.state === 'unread') seen.push(row.item.id)
      } else if (target === this.#end && isIntersecting) this.#extend()
    }
    if (seen.length > 0) this.#host.seen(seen)
  }

  #atStart(isAtStart: boolean): void {
    if (this.#isAtStart === isAtStart) return
    this.#isAtStart = isAtStart
    this.#host.rerender()
  }

  #extend(): void {
    if (this.#items.length <= this.#limit) return this.#host.more()
    this.#limit += PAGE
    this.#host.rerender()
  }

  /** Observes the end of the list again: the observer fires only on a change, and after a short page the end is still in view. */
  #observeEnd(): void {
    if (!this.#hasMore) return
    this.#observer?.unobserve(this.#end)
    this.#observer?.observe(this.#end)
  }

  /** Gives the item the row of the one that it replaces, with its focus: a progress notification counts up in place. */
  #takeOver({ id, replaces, collapseKey, ref }: InboxItem, removed: Map<string, Row>): void {
    for (const [old, row] of removed) {
      const { item } = row
      if (old !== replaces && (!collapseKey || item.collapseKey !== collapseKey)) continue
      // Another link needs another row.
      if (item.ref !== ref) return
      removed.delete(old)
      this.#rows.delete(old)
      this.#rows.set(id, row)
      if (this.#active === old) this.#active = id
      return
    }
  }

  #make(item: InboxItem, isLive: boolean): Row {
    const row = new Row(item, this.#host, isLive)
    this.#rows.set(item.id, row)
    this.#rowByElement.set(row.element, row)
    this.#observer?.observe(row.element)
    return row
  }

  #activate(id: string): void {
    if (id === this.#active) return
    this.#rows.get(this.#active ?? '')?.activate(false)
    this.#rows.get(id)?.activate(true)
    this.#active = id
  }

  #key(event: KeyboardEvent): void {
    const row = this.#rowOf(event.target)
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return
    const at = this.#order.indexOf(row.item.id)
    const last = this.#order.length - 1
    const moves: Record<string, number> = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }
    const to = moves[event.key]
    if (to === undefined) return
    event.preventDefault()
    this.#rows.get(this.#order[to] ?? '')?.main.focus()
  }

  #isInView(element: Element): boolean {
    const { top, bottom } = (this.element.parentElement as Element).getBoundingClientRect()
    const own = element.getBoundingClientRect()
    return own.bottom > top && own.top < bottom
  }

  #rowOf(target: EventTarget | null): Row | undefined {
    return this.#rowByElement.get((target as Element).closest('li') as Element)
  }

  /** Returns the nearest row that is not removed, below if there is one. */
  #neighbour(removed: Map<string, Row>): string | undefined {
    const at = this.#order.indexOf(this.#active ?? '')
    const stays = (id: string): boolean => !removed.has(id)
    return this.#order.slice(at).find(stays) ?? this.#order.slice(0, at).findLast(stays)
  }
}
