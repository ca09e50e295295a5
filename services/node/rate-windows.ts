/** Largest number of callers that are counted. The least recently used one is forgotten. */
const MAX_CALLERS = 5000

interface RateWindow {
  count: number
  startedAt: number
}

/**
 * Counts the requests of each caller in fixed windows, as a store of `@fastify/rate-limit`.
 *
 * The windows follow the monotonic clock. A wall clock that is set back would lock a caller out until it has caught up.
 */
export class RateWindows {
  readonly #windows = new Map<string, RateWindow>()

  incr(
    caller: string,
    callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
    windowMs: number,
    _max?: number,
    now = performance.now()
  ): void {
    const current = this.#windows.get(caller)
    const window = current === undefined || now - current.startedAt >= windowMs ? { count: 0, startedAt: now } : current
    window.count += 1
    this.#windows.delete(caller)
    this.#windows.set(caller, window)
    const [oldest] = this.#windows.keys()
    if (oldest !== undefined && this.#windows.size > MAX_CALLERS) this.#windows.delete(oldest)
    callback(null, { current: window.count, ttl: Math.ceil(windowMs - (now - window.startedAt)) })
  }

  child(): RateWindows {
    return new RateWindows()
  }
}
