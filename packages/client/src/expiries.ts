import type { Answer, Notification, State } from '../../../services/protocol/index.ts'
import { type Platform, TIMER_MAX_MS } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'

/** A notification as far as its lifetime needs it. */
export interface Tracked extends Pick<Notification, 'id' | 'expiresAt' | 'collapseKey'> {
  state: State
  answer?: Answer | undefined
}

interface Entry {
  /** Unix milliseconds by the service's clock; `Infinity` for none. */
  expiresAt: number
  key: string | undefined
  /** The unread count includes the notification. */
  isCounted: boolean
}

/**
 * The notifications that expire or that a newer one may replace, and the service's clock: that of the last `hello`, continued by this
 * machine's. One timer runs, for the nearest expiry.
 */
export class Expiries {
  readonly #platform: Platform
  readonly #expired: (id: string, isCounted: boolean) => void
  readonly #entries = new Map<string, Entry>()
  readonly #sinceSync: Stopwatch
  #syncedMs: number
  #nearest = Infinity
  #timer: unknown

  /** @param expired called when a notification has expired; it is not tracked any more */
  constructor(platform: Platform, expired: (id: string, isCounted: boolean) => void) {
    this.#platform = platform
    this.#expired = expired
    this.#sinceSync = new Stopwatch(platform)
    this.#syncedMs = platform.now()
  }

  /** The service's clock, Unix milliseconds. */
  get now(): number {
    return this.#syncedMs + this.#sinceSync.elapsedMs
  }

  sync(serverTime: number): void {
    this.#syncedMs = serverTime
    this.#sinceSync.restart()
    this.check()
  }

  /** Returns true if the time has passed. */
  isOver(expiresAt = Infinity): boolean {
    return expiresAt <= this.now
  }

  /** Tracks a notification, unless it is tracked. Returns false if it has expired; answered ones do not expire. */
  add({ id, expiresAt: end = Infinity, collapseKey: key, state, answer }: Tracked): boolean {
    const expiresAt = answer ? Infinity : end
    if (this.isOver(expiresAt)) return false
    if ((key || expiresAt < Infinity) && !this.#entries.has(id)) {
      this.#entries.set(id, { expiresAt, key, isCounted: isUnread(state) })
      if (expiresAt < this.#nearest) this.check()
    }
    return true
  }

  /** Returns true if the unread count includes the notification, or if that is not known. */
  isCounted(id: string): boolean {
    return this.#entries.get(id)?.isCounted ?? true
  }

  /** Takes a state that the service named. */
  mark(ids: string[], state: State): void {
    for (const id of ids) {
      const entry = this.#entries.get(id)
      if (entry) entry.isCounted = isUnread(state)
    }
  }

  /** An answered notification does not expire. */
  answered(id: string): void {
    const entry = this.#entries.get(id)
    if (entry) entry.expiresAt = Infinity
  }

  /** Forgets a notification that was taken back or replaced, and the others of its key. */
  remove(id: string | undefined, collapseKey: string | undefined): void {
    for (const [other, { key }] of this.#entries) {
      if (other === id || (key && key === collapseKey)) this.#entries.delete(other)
    }
  }

  /** Reports the expired notifications, and sets the timer. */
  check(): void {
    this.stop()
    const { now } = this
    for (const [id, { expiresAt, isCounted }] of this.#entries) {
      if (expiresAt > now) this.#nearest = Math.min(this.#nearest, expiresAt)
      else {
        this.#entries.delete(id)
        this.#expired(id, isCounted)
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

/** Returns true for the states that the unread count includes. */
export function isUnread(state: State): boolean {
  return state === 'unread' || state === 'seen'
}
