import { WebSocket } from 'ws'
import type { Page, PageListeners, Platform } from '../../packages/client/src/platform.ts'
import type { ClientStorage } from '../../packages/client/src/types.ts'

interface Timer {
  at: number
  run: () => void
}

/** A clock that moves when told to. */
export class FakeClock {
  now = 1_754_000_000_000
  readonly #timers = new Set<Timer>()

  /** The waits of all timers, shortest first, milliseconds. */
  get waits(): number[] {
    return [...this.#timers].map(({ at }) => at - this.now).sort((a, b) => a - b)
  }

  set(run: () => void, ms: number): unknown {
    const timer = { at: this.now + ms, run }
    this.#timers.add(timer)
    return timer
  }

  clear(timer: unknown): void {
    this.#timers.delete(timer as Timer)
  }

  /** Runs what falls due, in order. */
  advance(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.now = Math.max(this.now, due.at)
      due.run()
    }
    this.now = end
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

  online(): void {
    this.#listeners?.online()
  }

  show(seen: boolean): void {
    this.seen = seen
    this.#listeners?.visibilitychange()
  }

  hide(): void {
    this.#listeners?.pagehide()
  }
}

/** Web Storage that can be looked into. */
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

  /** The value of the one key that ends so. */
  ending(end: string): string | undefined {
    return [...this.values].find(([key]) => key.endsWith(end))?.[1]
  }
}

export function nodePlatform(clock: FakeClock, given: Partial<Platform> = {}): Platform {
  return {
    now: () => clock.now,
    random: Math.random,
    setTimeout: (run, ms) => clock.set(run, ms),
    clearTimeout: (timer) => clock.clear(timer),
    atob,
    WebSocket,
    fetch,
    ...given
  }
}

/** A JWT in form, unsigned. */
export function tokenOf(user: string, claims: Record<string, unknown> = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part({ sub: user, ...claims })}.x`
}
