import { h } from './dom.ts'
import type { BellMessages } from './messages.ts'

/** Notifications within this time are announced in one sentence. */
const GATHER_MS = 700

/** Announces new notifications to screen readers, politely. */
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

  /** Announces one sentence at once, before the notifications that wait. */
  say(text: string): void {
    this.element.textContent = text
  }

  /** Drops the notifications that wait, and empties the element. */
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
