import type { InboxItem } from '../inbox.ts'
import { ActionButtons, type ActionsHost } from './action-buttons.ts'
import { h, icon, linkOf, setAttribute, setText } from './dom.ts'
import { isoTime, timeAgo } from './time-ago.ts'

/** A change of a notification that the service refused or did not answer. */
export type FailedChange = 'mark' | 'archive' | 'answer'

interface Row {
  item: InboxItem
  element: HTMLLIElement
  main: HTMLElement
  actions: ActionButtons
  archive: HTMLButtonElement
  title: HTMLElement
  unread: HTMLElement
  time: HTMLElement
  problem: HTMLElement
}

export interface ListHost extends ActionsHost {
  language(): string | undefined
  /** The user clicked an item; `event` is the click. */
  chosen(item: InboxItem, event: Event): void
  archived(item: InboxItem): void
}

/**
 * The items as rows. Rows are changed in place, so that the focus and the scroll position stay. One row at a time is in the tab order; the
 * arrow keys, Home and End move between rows.
 */
export class List {
  readonly element: HTMLUListElement
  readonly #host: ListHost
  readonly #rows = new Map<string, Row>()
  #order: string[] = []
  #active: string | undefined
  #failures: ReadonlyMap<string, FailedChange> = new Map()
  /** The id of a notification whose row takes the focus when it appears. */
  #focusOnAppear: string | undefined

  constructor(host: ListHost) {
    this.#host = host
    this.element = h('ul', { class: 'list', part: 'list', role: 'list' })
    this.element.addEventListener('keydown', (event) => this.#key(event))
    this.element.addEventListener('focusin', (event) => {
      const row = this.#rowOf(event.target)
      this.#focusOnAppear = undefined
      if (row) this.#activate(row.item.id)
    })
  }

  /**
   * @param animate true if new rows appear with an animation
   * @param failures by notification id, shown on the rows
   */
  render(items: readonly InboxItem[], animate: boolean, failures: ReadonlyMap<string, FailedChange>): void {
    this.#failures = failures
    const focused = (this.element.getRootNode() as ShadowRoot).activeElement
    const removed = new Map(this.#rows)
    for (const { id } of items) removed.delete(id)
    for (const item of items) if (removed.size > 0 && !this.#rows.has(item.id)) this.#takeOver(item, removed)
    const next = [...removed.values()].some(({ element }) => element.contains(focused)) ? this.#neighbour(removed) : undefined
    for (const [id, { element }] of removed) {
      element.remove()
      this.#rows.delete(id)
    }
    let before = this.element.firstElementChild
    for (const item of items) {
      const row = this.#rows.get(item.id) ?? this.#make(item, animate)
      this.#update(row, item)
      if (row.element === before) before = before.nextElementSibling
      else this.element.insertBefore(row.element, before)
    }
    // A row that moved has lost the focus.
    if (focused instanceof HTMLElement && this.element.contains(focused)) focused.focus()
    this.#order = items.map(({ id }) => id)
    if (this.#active === undefined || !this.#rows.has(this.#active)) this.#activate(next ?? this.#order[0])
    if (next !== undefined) this.#rows.get(next)?.main.focus()
    const appeared = this.#rows.get(this.#focusOnAppear ?? '')
    if (appeared) {
      this.#focusOnAppear = undefined
      appeared.main.focus()
    }
  }

  /** Moves the focus to the row of a notification when it appears. */
  focusWhenShown(id: string): void {
    this.#focusOnAppear = id
  }

  /** Makes the newest row the one in the tab order. */
  reset(): void {
    this.#focusOnAppear = undefined
    this.#activate(this.#order[0])
  }

  /** Updates the ages and texts of all rows. */
  refresh(): void {
    for (const row of this.#rows.values()) this.#update(row, row.item)
  }

  /** Moves the focus to the active row. Returns false if there is no row. */
  focus(): boolean {
    const row = this.#rows.get(this.#active ?? '')
    row?.main.focus()
    return row !== undefined
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

  #make(item: InboxItem, animate: boolean): Row {
    const unread = h('span', { class: 'hidden' })
    const title = h('span', { class: 'title', part: 'item-title' })
    const time = h('time', { class: 'time', part: 'item-time' })
    const href = linkOf(item.ref)
    const problem = h('span', { class: 'problem', part: 'item-problem' })
    const content = [h('span', { class: 'dot', part: 'dot' }), h('span', {}, unread, title), time, problem]
    const main =
      href === undefined
        ? h('button', { type: 'button', class: 'main', part: 'item-main', tabindex: -1 }, ...content)
        : h('a', { href, class: 'main', part: 'item-main', tabindex: -1 }, ...content)
    const archive = h(
      'button',
      { type: 'button', class: 'archive', part: 'archive', tabindex: -1 },
      icon('M4 7h16M6 7v12h12V7M10 12h4M5 4h14v3H5z')
    )
    const actions = new ActionButtons(this.#host)
    const element = h('li', { class: animate ? 'item fresh' : 'item', part: 'item' }, main, archive, actions.element)
    const row = { item, element, main, actions, archive, title, unread, time, problem }
    main.addEventListener('click', (event) => this.#host.chosen(row.item, event))
    archive.addEventListener('click', () => this.#host.archived(row.item))
    this.#rows.set(item.id, row)
    return row
  }

  #update(row: Row, item: InboxItem): void {
    const messages = this.#host.messages()
    const unread = item.state === 'unread' || item.state === 'seen'
    const hadFocus = row.actions.element.contains((this.element.getRootNode() as ShadowRoot).activeElement)
    row.item = item
    row.actions.update(item)
    for (const button of row.actions.buttons) button.tabIndex = item.id === this.#active ? 0 : -1
    // The answer takes the place of the buttons.
    if (hadFocus && row.actions.buttons.length === 0) row.main.focus()
    row.element.classList.toggle('unread', unread)
    setAttribute(row.element, 'part', unread ? 'item item-unread' : 'item')
    setText(row.unread, unread ? `${messages.unread}: ` : '')
    setText(row.title, item.title)
    setText(row.time, timeAgo(item.timestamp, Date.now(), this.#host.language(), messages.justNow))
    setAttribute(row.time, 'datetime', isoTime(item.timestamp))
    const failed = this.#failures.get(item.id)
    // Another device may have marked the notification since.
    const markFailed = failed === 'mark' && unread ? messages.markFailed : ''
    const answerFailed = failed === 'answer' && !item.answer ? messages.answerFailed : markFailed
    setText(row.problem, failed === 'archive' ? messages.archiveFailed : answerFailed)
    setAttribute(row.archive, 'aria-label', messages.archive(item.title))
    setAttribute(row.archive, 'title', messages.archive(item.title))
  }

  #activate(id: string | undefined): void {
    const reach = (row: Row | undefined, index: number): void => {
      for (const control of row ? [row.main, row.archive, ...row.actions.buttons] : []) control.tabIndex = index
    }
    if (id !== this.#active) reach(this.#rows.get(this.#active ?? ''), -1)
    reach(this.#rows.get(id ?? ''), 0)
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

  #rowOf(target: EventTarget | null): Row | undefined {
    return [...this.#rows.values()].find(({ element }) => element.contains(target as Node))
  }

  /** Returns the nearest row that is not removed, below if there is one. */
  #neighbour(removed: Map<string, Row>): string | undefined {
    const at = this.#order.indexOf(this.#active ?? '')
    const stays = (id: string): boolean => !removed.has(id)
    return this.#order.slice(at).find(stays) ?? this.#order.slice(0, at).findLast(stays)
  }
}
