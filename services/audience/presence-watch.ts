import type { PresenceListener } from '../connection/presence-listener.ts'
import type { Outbox, PresenceChange } from '../store/store.ts'

/** Period at which arrivals are noted again, milliseconds. */
const REPEAT_MS = 1000

/** Arrivals that are noted again in one period. After an outage of the store, all users of the node attach again. */
const REPEATS_PER_PERIOD = 1000

interface PresenceWatchOptions {
  outbox: Pick<Outbox, 'notePresence'>
  /** Called when a step made a call of which a webhook is to be sent. */
  onCall: () => void
}

/**
 * Notes in the store which users arrive on this node and leave it, for the webhooks `user.online` and `user.offline`. A departure that the store
 * could not take is found by the next check of the user's connections. An arrival is noted again if the store could not take it, and when a connection
 * attaches again: a node that was paused counts as dead, its users are offline then, and they come online when the node goes on.
 */
export class PresenceWatch implements PresenceListener {
  readonly #options: PresenceWatchOptions
  /** The users on this node, and whether the store has noted their arrival. */
  readonly #isNotedByUser = new Map<string, boolean>()
  readonly #repeating: NodeJS.Timeout

  constructor(options: PresenceWatchOptions) {
    this.#options = options
    this.#repeating = setInterval(() => this.#repeat(), REPEAT_MS)
    this.#repeating.unref()
  }

  arrived(user: string): void {
    if (this.#isNotedByUser.has(user)) return
    this.#isNotedByUser.set(user, true)
    void this.#note(user, 'arrived')
  }

  reattached(user: string): void {
    if (this.#isNotedByUser.has(user)) this.#isNotedByUser.set(user, false)
  }

  left(user: string): Promise<void> | undefined {
    return this.#isNotedByUser.delete(user) ? this.#note(user, 'left') : undefined
  }

  close(): void {
    clearInterval(this.#repeating)
  }

  async #note(user: string, change: PresenceChange): Promise<void> {
    try {
      if (await this.#options.outbox.notePresence(user, change)) this.#options.onCall()
    } catch {
      if (change === 'arrived' && this.#isNotedByUser.has(user)) this.#isNotedByUser.set(user, false)
    }
  }

  #repeat(): void {
    let left = REPEATS_PER_PERIOD
    for (const [user, isNoted] of this.#isNotedByUser) {
      if (isNoted) continue
      if (left-- === 0) break
      this.#isNotedByUser.set(user, true)
      void this.#note(user, 'arrived')
    }
  }
}
