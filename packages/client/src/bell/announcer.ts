import { h } from './dom.ts'
import type { BellMessages } from './messages.ts'

/** A burst is read out as one sentence. */
const GATHER_MS = 700

/** Says to screen readers what arrived, politely. */
export class Announcer {
  readonly element = h('div', { class: 'hidden', role: 'status', 'aria-live': 'polite' })
  readonly #messages: () => BellMessages
  #titles: string[] = []
  #timer: number | undefined

  constructor(messages: () => BellMessages) {
    this.#messages = messages
  }

  arrived(title: string): void {
    this.#titles.push(title)
    this.#timer ??= window.setTimeout(() => this.#say(), GATHER_MS)
  }

  /** Says one sentence at once; what arrived is said after it. */
  say(text: string): void {
    this.element.textContent = text
  }

  /** Nothing of what arrived is said any more, or can be read. */
  stop(): void {
    window.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#titles = []
    this.element.textContent = ''
  }

  #say(): void {
    const [first = '', ...more] = this.#titles
    const messages = this.#messages()
    this.stop()
    this.element.textContent = more.length === 0 ? messages.arrived(first) : messages.arrivedMany(more.length + 1)
  }
}
