import type { Counters } from '../node/counters.ts'
import type { Store } from '../store/store.ts'

const SWEEP_INTERVAL_MS = 1000

/** Delay added to every timer, so that the row is due when the timer fires, milliseconds. */
const TIMER_SLACK_MS = 2

/** Shortest delay after a release that found no row due, milliseconds: the clock of the store may be behind this node's. */
const RETRY_MS = 50

/** `dueAt` is on the monotonic clock, milliseconds. During the release it is -Infinity, so that no other timer is set. */
interface ReleaseTimer {
  dueAt: number
  timeout: NodeJS.Timeout
}

/**
 * Releases parked notifications in time.
 *
 * The node that parked a notification sets a timer for its user. If that node dies, another node finds the user: every node sweeps its share of
 * the users each second, and sets timers for those with more parked notifications. The store decides which notifications are due, so that any node may release at
 * any time.
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
   * Schedules a release for a user. If a timer is set for an earlier time, does nothing.
   *
   * @param at time at which the next notification is due, Unix milliseconds on the store's clock
   * @param minDelayMs shortest delay, milliseconds
   */
  schedule(user: string, at: number, minDelayMs = 0): void {
    if (this.#closed) return
    const delayMs = Math.max(minDelayMs, at - this.#store.now()) + TIMER_SLACK_MS
    const dueAt = performance.now() + delayMs
    const current = this.#timers.get(user)
    if (current !== undefined && current.dueAt <= dueAt) return
    clearTimeout(current?.timeout)
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
      // The store is unavailable. The notifications stay due, and a later sweep releases them.
    } finally {
      this.#sweeping = undefined
    }
  }
}
