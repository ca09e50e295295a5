import type { Belfry } from '../index.ts'
import type { PushOptions, PushState } from '../types.ts'
import { button, h, setAttribute, setText } from './dom.ts'
import type { BellMessages } from './messages.ts'

interface PushSwitchHost {
  messages(): BellMessages
  belfry(): Belfry | undefined
  /** The app's service worker; undefined if the app does not offer push. */
  serviceWorker(): PushOptions['serviceWorker'] | undefined
  changed(): void
  failed(cause: unknown): void
}

/** The switch of push notifications at the end of the panel, with a sentence that says what its state means. */
export class PushSwitch {
  readonly #host: PushSwitchHost
  readonly #label = h('strong', { id: 'push-label' })
  readonly #hint = h('span', { id: 'push-hint', role: 'status' })
  readonly #switch = button('switch', () => this.#toggle(), {
    part: 'push-switch',
    role: 'switch',
    'aria-labelledby': 'push-label',
    'aria-describedby': 'push-hint'
  })
  readonly element = h('div', { class: 'push', part: 'push', hidden: true }, h('div', {}, this.#label, this.#hint), this.#switch)
  #isBusy = false
  #hasFailed = false

  constructor(host: PushSwitchHost) {
    this.#host = host
  }

  render(): void {
    // Reading `push` loads its module: only if the app offers push.
    const state = this.#host.serviceWorker() === undefined ? undefined : this.#host.belfry()?.push
    const hint = state && this.#hintOf(state)
    this.element.hidden = hint === undefined
    if (hint === undefined) return
    setText(this.#label, this.#host.messages().push)
    setText(this.#hint, hint)
    this.#switch.hidden = state === 'denied' || state === 'unsupported'
    setAttribute(this.#switch, 'aria-checked', String(state === 'on'))
    setAttribute(this.#switch, 'aria-busy', this.#isBusy)
  }

  #hintOf(state: PushState): string | undefined {
    const { pushOn, pushOff, pushDenied, pushHomeScreen, pushFailed } = this.#host.messages()
    if (state === 'unsupported') {
      // Safari on iOS has this property, and Web Push only in apps on the home screen.
      return (navigator as { standalone?: boolean }).standalone === false ? pushHomeScreen : undefined
    }
    if (this.#hasFailed) return pushFailed
    return { on: pushOn, off: pushOff, denied: pushDenied }[state]
  }

  async #toggle(): Promise<void> {
    const belfry = this.#host.belfry()
    const serviceWorker = this.#host.serviceWorker()
    if (this.#isBusy || !belfry || serviceWorker === undefined) return
    this.#isBusy = true
    this.#hasFailed = false
    this.#host.changed()
    try {
      if (belfry.push === 'on') await belfry.disablePush()
      else await belfry.enablePush({ serviceWorker })
    } catch (cause) {
      this.#hasFailed = true
      this.#host.failed(cause)
    }
    this.#isBusy = false
    this.#host.changed()
  }
}
