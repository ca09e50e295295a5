import type { InboxItem } from '../inbox.ts'
import { isUnread } from '../states.ts'
import { ActionButtons, type ActionsHost } from './action-buttons.ts'
import { ARCHIVE_ICON, button, focusedBeside, h, icon, linkOf, MORE_ICON, pictureOf, setAttribute, setName, setText } from './dom.ts'
import { fullDate, isoTime, timeAgo } from './time-ago.ts'

/** A change of a notification that failed: its text, shown while the notification has not got the state. */
export interface FailedChange {
  text: string
  state: InboxItem['state'] | undefined
}

export interface RowHost extends ActionsHost {
  language(): string | undefined
  /** The user clicked an item; `event` is the click. */
  chosen(item: InboxItem, event: Event): void
  /** The user gives the item another state. */
  change(item: InboxItem, state: InboxItem['state']): void
  /** The user opened the menu of the row. Its item may be replaced while the menu is open. */
  menu(row: { readonly item: InboxItem }, opener: HTMLElement): void
  /** Returns the content that the app renders for an item; undefined if it renders none. */
  own(item: InboxItem, old: HTMLElement | undefined): HTMLElement | undefined
}

/** An unchanged row is rendered again after this time, because its age changes, milliseconds. */
const AGE_MS = 10_000

/**
 * One notification. The control `main` lies below the content of the whole row, and its name is the row as one sentence: links and buttons of an
 * app's own content are not nested in it.
 */
export class Row {
  readonly element: HTMLLIElement
  readonly main: HTMLElement
  readonly #host: RowHost
  readonly #icon = h('span', { class: 'icon', part: 'item-icon', 'aria-hidden': 'true' })
  readonly #title = h('span', { class: 'title', part: 'item-title' })
  readonly #body = h('span', { class: 'body', part: 'item-body' })
  readonly #time = h('time', { class: 'time', part: 'item-time', 'aria-hidden': 'true' })
  readonly #date = h('span', { class: 'date', part: 'item-date', 'aria-hidden': 'true' })
  readonly #problem = h('span', { class: 'problem', part: 'item-problem' })
  readonly #more = button('more', () => this.#expand(), { hidden: true, 'aria-expanded': 'false' })
  readonly #menu = button('tool', () => this.#host.menu(this, this.#menu), { part: 'item-menu', 'aria-haspopup': 'menu' }, icon(MORE_ICON))
  readonly #archive = button('tool archive', () => this.#host.change(this.item, 'archived'), { part: 'archive' }, icon(ARCHIVE_ICON))
  readonly #actions: ActionButtons
  readonly #content: HTMLElement
  #own: HTMLElement | undefined
  #picture: unknown
  /** The values of the last rendering. */
  #shown: unknown[] = []
  item: InboxItem

  constructor(item: InboxItem, host: RowHost, isFresh: boolean) {
    this.item = item
    this.#host = host
    this.#actions = new ActionButtons(host)
    const href = linkOf(item.ref)
    const attributes = { class: 'main', part: 'item-main' }
    this.main = href === undefined ? button('main', () => {}, attributes) : h('a', { href, ...attributes })
    this.main.addEventListener('click', (event) => host.chosen(this.item, event))
    this.#content = h('div', { class: 'content', 'aria-hidden': 'true' }, this.#title, this.#body)
    // A click on content of the app that does nothing itself chooses the row.
    this.#content.addEventListener('click', (event) => {
      if (!(event.target as Element).closest('a, button, input, label, select, textarea, summary')) this.main.click()
    })
    this.element = h(
      'li',
      { class: isFresh ? 'item fresh' : 'item' },
      this.main,
      h('span', { class: 'dot', part: 'dot' }),
      this.#icon,
      this.#content,
      h('div', { class: 'tools' }, this.#archive, this.#menu),
      h('div', { class: 'foot' }, this.#time, this.#date, this.#more),
      this.#problem,
      this.#actions.element
    )
  }

  /** The controls of the row that the Tab key reaches while the row is the active one. */
  get controls(): HTMLElement[] {
    return [this.main, this.#archive, this.#menu, this.#more, ...this.#actions.buttons]
  }

  update(item: InboxItem, isActive: boolean, failure: FailedChange | undefined, again: boolean): void {
    const language = this.#host.language()
    // Each change renders the whole list: rows that stay as they are must cost nothing.
    const shown = [item, isActive, failure, language, Math.floor(Date.now() / AGE_MS)]
    if (!again && shown.every((value, index) => value === this.#shown[index])) return
    this.#shown = shown
    const messages = this.#host.messages()
    const { title, timestamp, state, type } = item
    const data = (item.data ?? {}) as { body?: unknown; icon?: unknown }
    const body = typeof data.body === 'string' ? data.body : ''
    const unread = isUnread(state)
    const hadFocus = this.#actions.element.contains(focusedBeside(this.element))
    const isSame = item === this.item && this.#title.textContent !== ''
    this.item = item
    this.#actions.update(item)
    this.activate(isActive)
    // The answer takes the place of the buttons.
    if (hadFocus && this.#actions.buttons.length === 0) this.main.focus()
    const age = timeAgo(timestamp, Date.now(), language, messages.justNow)
    this.element.classList.toggle('unread', unread)
    setAttribute(this.element, 'part', unread ? 'item item-unread' : 'item')
    setAttribute(this.main, 'aria-label', [unread ? `${messages.unread}: ${title}` : title, body, age].filter(Boolean).join('. '))
    setText(this.#title, title)
    setText(this.#body, body)
    setText(this.#time, age)
    setAttribute(this.#time, 'datetime', isoTime(timestamp))
    setText(this.#date, fullDate(timestamp, language))
    setText(this.#more, this.#isExpanded ? messages.less : messages.more)
    setText(this.#problem, failure && failure.state !== state && !item.answer ? failure.text : '')
    setName(this.#archive, messages.archive(title))
    this.#archive.hidden = state === 'archived'
    setName(this.#menu, messages.menu(title))
    this.#showPicture(data.icon, type)
    if (!isSame || again) this.#renderOwn(item)
  }

  /** Puts the controls into the tab order, or takes them out. */
  activate(isActive: boolean): void {
    for (const control of this.controls) control.tabIndex = isActive ? 0 : -1
  }

  /** Offers the rest of a body that does not fit. Called when the row has come into view. */
  measure(): void {
    if (!this.#isExpanded) this.#more.hidden = this.#body.scrollHeight <= this.#body.clientHeight + 1
  }

  remove(): void {
    this.element.remove()
    this.#own?.remove()
  }

  get #isExpanded(): boolean {
    return this.element.classList.contains('expanded')
  }

  #expand(): void {
    const { more, less } = this.#host.messages()
    const isExpanded = this.element.classList.toggle('expanded')
    setAttribute(this.#more, 'aria-expanded', String(isExpanded))
    setText(this.#more, isExpanded ? less : more)
  }

  /** Shows the picture, or the first letter of the type if there is none or it cannot be loaded. */
  #showPicture(ref: unknown, type: string): void {
    const src = pictureOf(ref) ?? ''
    const [letter = ''] = /[\p{L}\p{N}]/u.exec(type) ?? []
    if (this.#picture === src + type) return
    this.#picture = src + type
    const image = h('img', { src: src || undefined, alt: '', decoding: 'async', referrerpolicy: 'no-referrer' })
    image.addEventListener('error', () => image.replaceWith(letter))
    this.#icon.replaceChildren(src ? image : letter)
    let hue = 0
    for (const character of type.split('.')[0] ?? '') hue = (hue * 31 + character.charCodeAt(0)) % 360
    this.#icon.style.setProperty('--_hue', `${hue}`)
  }

  #renderOwn(item: InboxItem): void {
    const own = this.#host.own(item, this.#own)
    if (own !== this.#own) {
      this.#own?.remove()
      this.#content.querySelector('slot')?.remove()
      if (own) this.#content.append(h('slot', { name: own.slot }))
      setAttribute(this.#content, 'aria-hidden', own ? undefined : 'true')
      this.element.classList.toggle('own', own !== undefined)
    }
    this.#own = own
  }
}
