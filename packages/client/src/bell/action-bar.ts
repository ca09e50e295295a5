import { h, setText } from './dom.ts'

/** Time to take the offer, milliseconds. It does not pass while the pointer or the focus is on the bar. */
const SHOWN_MS = 10_000

/** A line at the end of the panel that says what was done, or failed, and offers one action: undo, or try again. */
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

  /** Returns a function that hides the bar, unless it says something else by then. */
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
