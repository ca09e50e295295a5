import type { InboxItem } from '../inbox.ts'
import { isUnread } from '../states.ts'
import type { ToastContext } from '../types.ts'
import { ActionButtons, type ActionsHost } from './action-buttons.ts'
import { button, CLOSE_ICON, h, icon, setAttribute, setName, setText } from './dom.ts'

/** A toast is hidden after this time, milliseconds, but never while the pointer or the focus is on it. */
const SHOWN_MS = 8000
/** More toasts than these hide the oldest. */
const MAX_TOASTS = 3

interface ToastsHost extends ActionsHost {
  /** The user chose a toast. */
  open(): void
}

interface Toast {
  item: InboxItem
  element: HTMLElement
  title: HTMLElement
  close: HTMLElement
  actions: ActionButtons
  /** The item was in the inbox. When it is removed from the inbox, the toast ends. */
  isListed: boolean
  timer: number | undefined
}

/** Shows toasts in a corner of the page. A toast with the tag of another one takes its place. */
export class Toasts {
  readonly element = h('div', { class: 'toasts', part: 'toasts' })
  readonly #host: ToastsHost
  readonly #toastByTag = new Map<string, Toast>()

  constructor(host: ToastsHost) {
    this.#host = host
  }

  show({ tag, notification, state, eventId, count }: ToastContext): void {
    const toast = this.#toastByTag.get(tag) ?? this.#make(tag)
    const many = count === undefined ? {} : { title: this.#host.messages().arrivedMany(count), actions: [] }
    toast.isListed = false
    this.#update(toast, { ...notification, state, eventId, ...many })
    this.#wait(tag)
    for (const old of [...this.#toastByTag.keys()].slice(0, -MAX_TOASTS)) this.#hide(old)
  }

  /** Follows the inbox: shows the answers, and hides what was read, retracted or replaced. */
  render(items: readonly InboxItem[]): void {
    for (const [tag, toast] of this.#toastByTag) {
      const item = items.find(({ id }) => id === toast.item.id)
      if (item ? !isUnread(item.state) && !item.answer : toast.isListed) this.#hide(tag)
      else if (item) {
        const { title, actions = [] } = toast.item
        toast.isListed = true
        this.#update(toast, { ...item, title, actions })
      }
    }
  }

  clear(): void {
    for (const tag of this.#toastByTag.keys()) this.#hide(tag)
  }

  #make(tag: string): Toast {
    const choose = (): void => {
      this.#hide(tag)
      this.#host.open()
    }
    const title = button('title', choose, { part: 'toast-title' })
    const close = button('tool', () => this.#hide(tag), { part: 'toast-close' }, icon(CLOSE_ICON))
    const actions = new ActionButtons(this.#host)
    const element = h('div', { class: 'toast', part: 'toast', role: 'group' }, title, close, actions.element)
    const toast: Toast = { item: {} as InboxItem, element, title, close, actions, isListed: false, timer: undefined }
    for (const event of ['pointerleave', 'focusout']) element.addEventListener(event, () => this.#wait(tag))
    this.#toastByTag.set(tag, toast)
    this.element.append(element)
    return toast
  }

  #update(toast: Toast, item: InboxItem): void {
    toast.item = item
    setText(toast.title, item.title)
    setAttribute(toast.element, 'aria-label', item.title)
    setName(toast.close, this.#host.messages().dismiss(item.title))
    toast.actions.update(item)
  }

  #wait(tag: string): void {
    const toast = this.#toastByTag.get(tag)
    if (!toast) return
    window.clearTimeout(toast.timer)
    toast.timer = window.setTimeout(() => {
      if (toast.element.matches(':hover, :focus-within')) this.#wait(tag)
      else this.#hide(tag)
    }, SHOWN_MS)
  }

  #hide(tag: string): void {
    const toast = this.#toastByTag.get(tag)
    window.clearTimeout(toast?.timer)
    toast?.element.remove()
    this.#toastByTag.delete(tag)
  }
}
