import { isOfStore } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import { hasAdvanced } from '../store/advance-users.ts'
import type { AdvanceCounts, Store } from '../store/store.ts'

const SWEEP_INTERVAL_MS = 1000

/** Time after a sweep that did not reach every user until the next one, milliseconds. After an outage thousands of users are due. */
const RESUME_SWEEP_MS = 100

/** Delay added to every timer, so that the row is due when the timer fires, milliseconds. */
const TIMER_SLACK_MS = 2

/** Longest delay of a timer, milliseconds. The sweep finds later times. */
const HORIZON_MS = 600_000

/** Shortest delay after a step that found nothing due, milliseconds: the clock of the store may be behind this node's. */
const RETRY_MS = 50

/** `dueAt` is on the monotonic clock, milliseconds. During the step it is -Infinity, so that no other timer is set. */
interface UserTimer {
  dueAt: number
  timeout: NodeJS.Timeout
}

/**
 * Advances each user when a release, a delivery, an expiry or a check is due for them.
 *
 * The node that accepted a notification sets a timer for its user. A timer can be lost with its node, so every node also sweeps its
 * share of the users each second, and sets timers for the users for whom more is due. All of this therefore survives the death of every node. The
 * store decides whether a time has come, so any node may advance any user at any time.
 *
 * **No check is lost.** The store removes a check in the step that makes its calls. If a step fails, the check stays due, and a later sweep carries
 * it out. If a step was carried out and only its result was lost, the calls are in the outbox, where the courier's sweep finds them.
 */
export class UserClock {
  readonly #store: Store
  readonly #counters: Counters
  readonly #onCalls: (lanes: string[]) => void
  readonly #onFault: (error: unknown) => void
  readonly #timers = new Map<string, UserTimer>()
  readonly #sweeper: NodeJS.Timeout
  #resume: NodeJS.Timeout | undefined
  #sweeping: Promise<void> | undefined
  #closed = false

  /**
   * @param onCalls called with the lanes of the outbox in which a step made calls
   * @param onFault called on an error of a step that is not one of the store's. The step is repeated, as after any error
   */
  constructor(
    store: Store,
    counters: Counters,
    onCalls: (lanes: string[]) => void = () => undefined,
    onFault: (error: unknown) => void = () => undefined
  ) {
    this.#store = store
    this.#counters = counters
    this.#onCalls = onCalls
    this.#onFault = onFault
    this.#sweeper = setInterval(() => this.#startSweep(), SWEEP_INTERVAL_MS)
    this.#sweeper.unref()
    this.#startSweep()
  }

  /**
   * Sets a timer for a user. If one is set for an earlier time, or the time is beyond the horizon, does nothing.
   *
   * @param at time at which something is due, Unix milliseconds on the store's clock
   * @param minDelayMs shortest delay, milliseconds
   */
  schedule(user: string, at: number, minDelayMs = 0): void {
    if (this.#closed) return
    const delayMs = Math.max(minDelayMs, at - this.#store.now()) + TIMER_SLACK_MS
    if (delayMs > HORIZON_MS) return
    const dueAt = performance.now() + delayMs
    const current = this.#timers.get(user)
    if (current !== undefined && current.dueAt <= dueAt) return
    clearTimeout(current?.timeout)
    const timeout = setTimeout(() => void this.#advance(user), delayMs)
    timeout.unref()
    this.#timers.set(user, { dueAt, timeout })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    clearTimeout(this.#resume)
    for (const { timeout } of this.#timers.values()) clearTimeout(timeout)
    this.#timers.clear()
    await this.#sweeping
  }

  async #advance(user: string): Promise<void> {
    const timer = this.#timers.get(user)
    if (timer !== undefined) timer.dueAt = Number.NEGATIVE_INFINITY
    try {
      const result = await this.#store.advance(user)
      this.#timers.delete(user)
      this.#note(result)
      if (result.nextAt > 0) this.schedule(user, result.nextAt, hasAdvanced(result) ? 0 : RETRY_MS)
    } catch (error) {
      this.#timers.delete(user)
      this.#noteFault(error)
    }
  }

  /** Passes on an error that is not one of the store's. After those the user stays due, and a later sweep finds them. */
  #noteFault(error: unknown): void {
    if (!isOfStore(error)) this.#onFault(error)
  }

  #startSweep(): void {
    this.#sweeping ??= this.#sweep()
  }

  async #sweep(): Promise<void> {
    try {
      const { due, isPartial = false, fault, ...result } = await this.#store.sweep()
      this.#note(result)
      if (fault !== undefined) this.#noteFault(fault)
      for (const { user, nextAt } of due) this.schedule(user, nextAt)
      if (isPartial && !this.#closed) this.#resume = setTimeout(() => this.#startSweep(), RESUME_SWEEP_MS).unref()
    } catch (error) {
      this.#noteFault(error)
    } finally {
      this.#sweeping = undefined
    }
  }

  #note({ released, folded, delivered, expired, called, dropped, lanes }: AdvanceCounts & { lanes: string[] }): void {
    this.#counters.released += released
    this.#counters.folded += folded
    this.#counters.delivered += delivered
    this.#counters.expired += expired
    this.#counters.callsMade += called
    this.#counters.callsEvicted += dropped
    if (lanes.length > 0) this.#onCalls(lanes)
  }
}
