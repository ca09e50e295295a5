import { WebSocket } from 'ws'
import type { Page, PageListeners, Platform } from '../../packages/client/src/platform.ts'
import type { ClientStorage } from '../../packages/client/src/types.ts'

interface Timer {
  at: number
  run: () => void
  /** Set for intervals. */
  everyMs?: number
}

/** A monotonic clock, which timers follow, and a wall clock, which can step. Both move only by calls. */
export class FakeClock {
  monotonic = 1000
  /** The wall clock minus the monotonic one. */
  #offset = 1_753_999_999_000
  readonly #timers = new Set<Timer>()

  get now(): number {
    return this.#offset + this.monotonic
  }

  /** The waits of all timers but intervals, shortest first, milliseconds. */
  get waits(): number[] {
    const timers = [...this.#timers].filter(({ everyMs }) => everyMs === undefined)
    return timers.map(({ at }) => at - this.monotonic).sort((a, b) => a - b)
  }

  get intervals(): number {
    return [...this.#timers].filter(({ everyMs }) => everyMs !== undefined).length
  }

  /** Steps the wall clock. */
  step(ms: number): void {
    this.#offset += ms
  }

  set(run: () => void, ms: number): unknown {
    const timer = { at: this.monotonic + ms, run }
    this.#timers.add(timer)
    return timer
  }

  setInterval(run: () => void, everyMs: number): unknown {
    const timer = { at: this.monotonic + everyMs, run, everyMs }
    this.#timers.add(timer)
    return timer
  }

  clear(timer: unknown): void {
    this.#timers.delete(timer as Timer)
  }

  /** Moves the clocks and runs the timers that expire, in order. */
  advance(ms: number): void {
    const end = this.monotonic + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.monotonic = Math.max(this.monotonic, due.at)
      if (due.everyMs === undefined) this.#timers.delete(due)
      else due.at = this.monotonic + due.everyMs
      due.run()
    }
    this.monotonic = end
  }

  /** Moves the clocks without running timers, as in a tab that hangs: expired timers run late. */
  stall(ms: number): void {
    this.monotonic += ms
    this.advance(0)
  }
}

export class FakePage implements Page {
  seen = true
  #listeners: PageListeners | undefined

  visible(): boolean {
    return this.seen
  }

  watch(listeners: PageListeners): () => void {
    this.#listeners = listeners
    return () => {
      this.#listeners = undefined
    }
  }

  get watched(): boolean {
    return this.#listeners !== undefined
  }

  /** Fires an event of the page. */
  fire(event: Exclude<keyof PageListeners, 'visibilitychange'>): void {
    this.#listeners?.[event]()
  }

  show(seen: boolean): void {
    this.seen = seen
    this.#listeners?.visibilitychange()
  }
}

/** Web Storage whose values a test can read. */
export class FakeStorage implements ClientStorage {
  readonly values = new Map<string, string>()

  getItem(key: string): string | null {
    return this.values.get(key) ?? null
  }

  setItem(key: string, value: string): void {
    this.values.set(key, value)
  }

  removeItem(key: string): void {
    this.values.delete(key)
  }

  /** Returns the value of the one key with this end. */
  ending(end: string): string | undefined {
    return [...this.values].find(([key]) => key.endsWith(end))?.[1]
  }
}

export function nodePlatform(clock: FakeClock, given: Partial<Platform> = {}): Platform {
  return {
    now: () => clock.now,
    monotonic: () => clock.monotonic,
    random: Math.random,
    setTimeout: (run, ms) => clock.set(run, ms),
    clearTimeout: (timer) => clock.clear(timer),
    setInterval: (run, ms) => clock.setInterval(run, ms),
    clearInterval: (timer) => clock.clear(timer),
    warn: () => {},
    atob,
    WebSocket,
    fetch,
    ...given
  }
}

/** Returns an unsigned token with the form of a JWT. */
export function tokenOf(user: string, claims: Record<string, unknown> = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ sub: user, ...claims })}.x`
}
