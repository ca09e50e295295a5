import type { Counters } from '../node/counters.ts'
import type { Store } from '../store/store.ts'

const SWEEP_INTERVAL_MS = 1000

/** Timers are set this much late, so that a release finds its row due, milliseconds. */
const TIMER_SLACK_MS = 2

/** The least time to the next attempt after one that found nothing due: the store's clock may be behind this node's, milliseconds. */
const RETRY_MS = 50

/** `dueAt` is in milliseconds of the monotonic clock; while a release is under way nothing is nearer. */
interface ReleaseTimer {
  dueAt: number
  timeout: NodeJS.Timeout
}

/**
 * Sees to it that parked notifications are released in time. The node that parked one sets a timer for its user; every node sweeps its share
 * of users each second, which is what releases them when that node is gone, and sets the timers from then on. Both only call `Store.release`,
 * which is safe to call by anyone at any time.
 */
export class Releaser {
  readonly #store: Store
  readonly #counters: Counters
  readonly #timers = new Map<string, ReleaseTimer>()
  readonly #sweeper: NodeJS.Timeout
  #sweeping: Promise<void> | undefined
  #closed = false

  constructor(store: Store, counters: Counters) {
    this.#store = store
    this.#counters = counters
    const sweep = (): void => {
      this.#sweeping ??= this.#sweep()
    }
    this.#sweeper = setInterval(sweep, SWEEP_INTERVAL_MS)
    this.#sweeper.unref()
    sweep()
  }

  /**
   * Notes that something of the user's is parked. A timer that is set for later is brought forward.
   *
   * @param at when it is due, Unix milliseconds on the store's clock
   * @param leastMs how long to wait at least, milliseconds
   */
  schedule(user: string, at: number, leastMs = 0): void {
    if (this.#closed) return
    const delayMs = Math.max(leastMs, at - this.#store.now()) + TIMER_SLACK_MS
    const dueAt = performance.now() + delayMs
    const held = this.#timers.get(user)
    if (held !== undefined && held.dueAt <= dueAt) return
    clearTimeout(held?.timeout)
    const timeout = setTimeout(() => void this.#release(user), delayMs)
    timeout.unref()
    this.#timers.set(user, { dueAt, timeout })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    for (const { timeout } of this.#timers.values()) clearTimeout(timeout)
    this.#timers.clear()
    await this.#sweeping
  }

  async #release(user: string): Promise<void> {
    const timer = this.#timers.get(user)
    if (timer !== undefined) timer.dueAt = Number.NEGATIVE_INFINITY
    try {
      const { released, folded, nextAt } = await this.#store.release(user)
      this.#timers.delete(user)
      this.#counters.released += released
      this.#counters.folded += folded
      if (nextAt > 0) this.schedule(user, nextAt, released + folded > 0 ? 0 : RETRY_MS)
    } catch {
      this.#timers.delete(user)
    }
  }

  async #sweep(): Promise<void> {
    try {
      const { released, folded, waiting } = await this.#store.sweep()
      this.#counters.released += released
      this.#counters.folded += folded
      for (const { user, nextAt } of waiting) this.schedule(user, nextAt)
    } catch {
      // The store is away: what is due stays due, and the next sweep finds it.
    } finally {
      this.#sweeping = undefined
    }
  }
}
