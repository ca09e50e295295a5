import type { Answer, Notification, State } from '../../../services/protocol/index.ts'
import { type Platform, TIMER_MAX_MS } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'

/** A notification with its state and its position in the log. */
export interface Tracked extends Notification {
  state: State
  eventId: string
  answer?: Answer | undefined
}

/**
 * The notifications that expire or that a newer one may replace, and the service's clock: corrected by each `hello`, continued by this
 * machine's. One timer runs, for the nearest expiry.
 */
export class Expiries {
  readonly #platform: Platform
  readonly #expired: (item: Tracked) => void
  readonly #items = new Map<string, Tracked>()
  readonly #sinceSync: Stopwatch
  #syncedMs: number
  #nearest = Infinity
  #timer: unknown

  /** @param expired called when a notification has expired; it is not tracked any more */
  constructor(platform: Platform, expired: (item: Tracked) => void) {
    this.#platform = platform
    this.#expired = expired
    this.#sinceSync = new Stopwatch(platform)
    this.#syncedMs = platform.now()
  }

  /** The service's clock, Unix milliseconds. */
  get now(): number {
    return this.#syncedMs + this.#sinceSync.elapsedMs
  }

  /**
   * Corrects the clock as little as the message allows. A network that stalls delivers `hello` late: then the time in it has passed, and a clock
   * set to that time would show notifications that have expired.
   *
   * @param serverTime the service's clock when it made the message, Unix milliseconds
   * @param maxAgeMs the longest time since then
   */
  sync(serverTime: number, maxAgeMs = 0): void {
    this.#syncedMs = Math.min(Math.max(this.now, serverTime), serverTime + maxAgeMs)
    this.#sinceSync.restart()
    this.check()
  }

  /** Returns true if the time has passed. */
  isOver(expiresAt = Infinity): boolean {
    return expiresAt <= this.now
  }

  /** Tracks a notification, unless it is tracked. Returns false if it has expired; answered ones do not expire. */
  add(item: Tracked): boolean {
    const end = endOf(item)
    if (this.isOver(end)) return false
    if ((item.collapseKey || end < Infinity) && !this.#items.has(item.id)) {
      this.#items.set(item.id, { ...item })
      if (end < this.#nearest) this.check()
    }
    return true
  }

  /** Returns the state of a notification, 'unread' if it is not known. */
  stateOf(id: string): State {
    return this.#items.get(id)?.state ?? 'unread'
  }

  /** Takes a change that the service named. An answered notification does not expire. */
  change(ids: string[], change: Partial<Tracked>): void {
    for (const id of ids) {
      const item = this.#items.get(id)
      if (item) Object.assign(item, change)
    }
  }

  /** Forgets a notification that was taken back or replaced, and the others of its key. */
  remove(id: string | undefined, collapseKey: string | undefined): void {
    for (const [other, { collapseKey: key }] of this.#items) {
      if (other === id || (key && key === collapseKey)) this.#items.delete(other)
    }
  }

  /** Reports the expired notifications, and sets the timer. */
  check(): void {
    this.stop()
    const { now } = this
    for (const item of this.#items.values()) {
      const end = endOf(item)
      if (end > now) this.#nearest = Math.min(this.#nearest, end)
      else {
        this.#items.delete(item.id)
        this.#expired(item)
      }
    }
    if (this.#nearest < Infinity) this.#timer = this.#platform.setTimeout(() => this.check(), Math.min(this.#nearest - now, TIMER_MAX_MS))
  }

  /** Stops the timer until the next `sync()`. */
  stop(): void {
    this.#platform.clearTimeout(this.#timer)
    this.#nearest = Infinity
  }
}

/** Returns the time at which the notification expires, Unix milliseconds by the service's clock; `Infinity` if it does not. */
function endOf({ expiresAt = Infinity, answer }: Tracked): number {
  return answer ? Infinity : expiresAt
}
