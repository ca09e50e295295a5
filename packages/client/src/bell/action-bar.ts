import { h, setText } from './dom.ts'

/** The bar is hidden after this time, milliseconds, but never while the pointer or the focus is on it. */
const SHOWN_MS = 10_000

/** A line at the end of the panel that reports a change or a failure and offers one action: undo, or try again. */
export class ActionBar {
  readonly #text = h('span', { role: 'status' })
  readonly #button = h('button', { type: 'button', class: 'text-button', part: 'action' })
  readonly element = h('div', { class: 'action-bar', part: 'action-bar', hidden: true }, this.#text, this.#button)
  #run: (() => void) | undefined
  #timer: number | undefined

  constructor() {
    this.#button.addEventListener('click', () => {
      const run = this.#run
      this.hide()
      run?.()
    })
    for (const event of ['pointerleave', 'focusout']) this.element.addEventListener(event, () => this.#wait())
  }

  /** Shows a text and an action. Returns a function that hides the bar, unless it shows another text by then. */
  show(text: string, action: string, run: () => void): () => void {
    this.#run = run
    setText(this.#button, action)
    this.element.hidden = false
    setText(this.#text, text)
    this.#wait()
    return () => {
      if (this.#run === run) this.hide()
    }
  }

  hide(): void {
    window.clearTimeout(this.#timer)
    this.#run = undefined
    this.element.hidden = true
    setText(this.#text, '')
  }

  #wait(): void {
    window.clearTimeout(this.#timer)
    if (this.element.hidden) return
    this.#timer = window.setTimeout(() => {
      if (this.element.matches(':hover, :focus-within')) this.#wait()
      else this.hide()
    }, SHOWN_MS)
  }
}
