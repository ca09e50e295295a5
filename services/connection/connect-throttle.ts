/** Callers admitted in each interval, and its length, milliseconds. */
const CALLERS_PER_INTERVAL = 6
const INTERVAL_MS = 1

/** Admits six callers per millisecond, in order, so that a reconnect storm cannot starve the event loop. A caller without a crowd does not wait. */
export class ConnectThrottle {
  readonly #waiting: (() => void)[] = []
  #free = CALLERS_PER_INTERVAL
  #timer: NodeJS.Timeout | undefined

  /** Resolves when the caller is admitted. */
  take(): Promise<void> {
    this.#timer ??= setTimeout(() => this.#admitNext(), INTERVAL_MS)
    if (this.#free === 0) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#free -= 1
    return Promise.resolve()
  }

  #admitNext(): void {
    const admitted = this.#waiting.splice(0, CALLERS_PER_INTERVAL)
    this.#free = CALLERS_PER_INTERVAL - admitted.length
    this.#timer = admitted.length === 0 ? undefined : setTimeout(() => this.#admitNext(), INTERVAL_MS)
    for (const admit of admitted) admit()
  }
}
