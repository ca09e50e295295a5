import type { FeedSnapshot } from '../feed-snapshot.ts'
import { BelfryElement, controllerOf } from './base-element.ts'
import { button, h, icon, setAttribute, setText } from './dom.ts'
import type { View } from './view.ts'

/**
 * `<belfry-bell>`: a bell with a badge, and the inbox in a panel. The code of the panel is loaded when the client is connected and the page idle,
 * or before that when the pointer or the focus is on the button.
 *
 * Attributes, in addition to the shared ones: `badge` (`unread`, `unseen` or `none`), `placement` (`start`, `end` or `auto`) and `toasts` (the
 * bell shows toasts of its own).
 */
export class BelfryBell extends BelfryElement {
  #opened = false
  /** The panel while it is shown. */
  #view: View | undefined
  #frame = 0
  /** The place of the button, the size of the window and the attribute for which the panel was placed. */
  #placedFor = ''
  readonly #button: HTMLButtonElement
  readonly #badge = h('span', { class: 'badge', part: 'badge', 'aria-hidden': 'true' })

  constructor() {
    super('dialog')
    const controller = controllerOf(this)
    const root = this.shadowRoot as ShadowRoot
    const bell = icon('M18 8.500a6 6 0 1 0-12 0c0 7-2.500 8.500-2.500 8.500h17S18 15.500 18 8.500M13.700 20.500a2 2 0 0 1-3.400 0')
    const clicked = (): void => {
      if (controller.hasFailed) controller.retry()
      else if (this.#opened) this.close()
      else void this.open()
    }
    this.#button = button('bell', clicked, { part: 'button', 'aria-haspopup': 'dialog' }, bell, this.#badge)
    // A failure is reported when the panel is opened.
    for (const event of ['pointerenter', 'focus']) this.#button.addEventListener(event, () => controller.load().catch(() => {}))
    root.prepend(this.#button)
    controller.hooks = {
      rendered: (feed) => this.#render(feed),
      follow: (belfry) => [
        belfry.on('notification', ({ replay }) => replay || this.#ring()),
        belfry.on('toast', (ctx) => {
          if (controller.tell('belfry-toast', ctx) && this.hasAttribute('toasts')) void controller.toast(ctx)
        })
      ],
      shown: (view) => this.#shown(view),
      open: () => void this.open(),
      close: () => this.close()
    }
    root.addEventListener('keydown', (event) => this.#key(event as KeyboardEvent))
    this.addEventListener('focusout', ({ relatedTarget }) => {
      if (relatedTarget !== null && !this.contains(relatedTarget as Node)) this.close()
    })
  }

  /** True while the panel is open, or is loaded to be opened. */
  get opened(): boolean {
    return this.#opened
  }

  override disconnectedCallback(): void {
    this.close()
    super.disconnectedCallback()
  }

  /** Opens the panel and moves the focus there. Resolves when the panel is open, or was closed before its code was loaded. */
  async open(): Promise<void> {
    if (this.#opened || !this.isConnected) return
    this.#opened = true
    document.addEventListener('pointerdown', this.#outside, true)
    await controllerOf(this).show()
  }

  /** Closes the panel. If the focus was inside, it moves to the button. */
  close(): void {
    if (!this.#opened) return
    const controller = controllerOf(this)
    const view = this.#view
    this.#opened = false
    this.#view = undefined
    const inside = view?.panel.element.contains(this.shadowRoot?.activeElement ?? null)
    cancelAnimationFrame(this.#frame)
    document.removeEventListener('pointerdown', this.#outside, true)
    controller.hide()
    if (inside) this.#button.focus()
    if (view) controller.tell('belfry-close', null)
  }

  readonly #outside = (event: Event): void => {
    if (!event.composedPath().includes(this)) this.close()
  }

  #shown(view: View): void {
    this.#view = view
    setAttribute(this.#button, 'aria-controls', 'panel')
    this.#placedFor = ''
    this.#follow()
    view.panel.focus()
    const controller = controllerOf(this)
    controller.changed()
    controller.tell('belfry-open', null)
  }

  /** Keeps the panel beside its button, which can move for many reasons: scrolling, resizing, a change of the page's layout. */
  readonly #follow = (): void => {
    this.#frame = requestAnimationFrame(this.#follow)
    const at = JSON.stringify([this.#button.getBoundingClientRect(), innerWidth, innerHeight, this.getAttribute('placement')])
    if (at === this.#placedFor) return
    this.#placedFor = at
    this.#view?.place(this.#button)
  }

  #render({ unread, unseen }: FeedSnapshot): void {
    const { messages } = this
    const kind = this.getAttribute('badge')
    const isUnseen = kind === 'unseen'
    const name = isUnseen ? messages.buttonUnseen(unseen) : messages.button(unread)
    const badge = kind === 'none' ? '' : messages.badge(isUnseen ? unseen : unread)
    // The name of a control includes its visible text (WCAG 2.5.3), also one such as "99+".
    setAttribute(this.#button, 'aria-label', name.includes(badge) ? name : `${name}, ${badge}`)
    setAttribute(this.#button, 'aria-expanded', String(this.#opened))
    setAttribute(this.#button, 'aria-busy', this.#opened && !this.#view && 'true')
    setText(this.#badge, badge)
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
}
