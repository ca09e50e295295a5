import type { PresenceListener } from '../connection/presence-listener.ts'
import type { Outbox, PresenceChange } from '../store/store.ts'

/** Period at which arrivals are noted again that the store could not take, milliseconds. */
const RETRY_MS = 1000

interface PresenceWatchOptions {
  outbox: Pick<Outbox, 'notePresence'>
  /** Called when a step made a call of which a webhook is to be sent. */
  onCall: () => void
}

/**
 * Notes in the store which users arrive on this node and leave it, for the webhooks `user.online` and `user.offline`. A departure that the store
 * could not take is found by the next check of the user's connections.
 */
export class PresenceWatch implements PresenceListener {
  readonly #options: PresenceWatchOptions
  /** The users on this node, and whether the store has noted their arrival. */
  readonly #isNotedByUser = new Map<string, boolean>()
  readonly #retrying: NodeJS.Timeout

  constructor(options: PresenceWatchOptions) {
    this.#options = options
    this.#retrying = setInterval(() => this.#retry(), RETRY_MS)
    this.#retrying.unref()
  }

  arrived(user: string): void {
    if (this.#isNotedByUser.has(user)) return
    this.#isNotedByUser.set(user, true)
    void this.#note(user, 'arrived')
  }

  left(user: string): Promise<void> | undefined {
    return this.#isNotedByUser.delete(user) ? this.#note(user, 'left') : undefined
  }

  close(): void {
    clearInterval(this.#retrying)
  }

  async #note(user: string, change: PresenceChange): Promise<void> {
    try {
      if (await this.#options.outbox.notePresence(user, change)) this.#options.onCall()
    } catch {
      if (change === 'arrived' && this.#isNotedByUser.has(user)) this.#isNotedByUser.set(user, false)
    }
  }

  #retry(): void {
    for (const [user, isNoted] of this.#isNotedByUser) {
      if (isNoted) continue
      this.#isNotedByUser.set(user, true)
      void this.#note(user, 'arrived')
    }
  }
}
