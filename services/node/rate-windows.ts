/** Callers counted at once; of more, the one not heard for the longest time starts anew. */
const MAX_CALLERS = 5000

interface RateWindow {
  count: number
  startedAt: number
}

/**
 * Counts the requests of each caller in fixed windows, in the shape `@fastify/rate-limit` takes a store in.
 *
 * The windows run on the monotonic clock: a wall clock that is set back would keep a caller locked out until it has caught up.
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
    const held = this.#windows.get(caller)
    const window = held === undefined || now - held.startedAt >= windowMs ? { count: 0, startedAt: now } : held
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
