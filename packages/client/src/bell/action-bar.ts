import { button, h, setText } from './dom.ts'

/** The bar is hidden after this time, milliseconds. The time stops while the pointer or the focus is on it. */
const SHOWN_MS = 6000

/** A line at the end of the panel that reports a change or a failure and offers one action: undo, or try again. */
export class ActionBar {
  readonly #text = h('span', { role: 'status' })
  readonly #button = button('text-button', () => this.#choose(), { part: 'action' })
  readonly element = h('div', { class: 'action-bar', part: 'action-bar', hidden: true }, this.#text, this.#button)
  #run: (() => void) | undefined
  #timer: number | undefined

  constructor() {
    for (const event of ['pointerenter', 'pointerleave', 'focusin', 'focusout']) this.element.addEventListener(event, () => this.#wait())
  }

  /** Shows a text and an action, in place of the last ones. */
  show(text: string, action: string, run: () => void): void {
    this.#run = run
    setText(this.#button, action)
    this.element.hidden = false
    setText(this.#text, text)
    this.#wait()
  }

  /** Returns true while the bar offers this action. */
  offers(run: () => void): boolean {
    return this.#run === run
  }

  hide(): void {
    window.clearTimeout(this.#timer)
    this.#run = undefined
    this.element.hidden = true
    setText(this.#text, '')
  }

  #choose(): void {
    const run = this.#run
    this.hide()
    run?.()
  }

  /** Starts the time again, or stops it. The focus moves after its events. */
  #wait(): void {
    window.clearTimeout(this.#timer)
    this.#timer = window.setTimeout(() => {
      if (!this.element.matches(':hover, :focus-within')) this.#timer = window.setTimeout(() => this.hide(), SHOWN_MS)
    })
  }
}
