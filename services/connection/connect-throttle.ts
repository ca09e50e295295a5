/** How many go on at a time, and the time between, milliseconds. */
const AT_A_TIME = 6
const PAUSE_MS = 1

/**
 * Lets callers go on a few at a time, first come, first served, with a moment between in which the event loop serves everybody else. Whoever comes
 * alone waits for nothing.
 */
export class ConnectThrottle {
  readonly #waiting: (() => void)[] = []
  #free = AT_A_TIME
  #timer: NodeJS.Timeout | undefined

  /** Resolves when it is the caller's turn. */
  take(): Promise<void> {
    this.#timer ??= setTimeout(() => this.#next(), PAUSE_MS)
    if (this.#free === 0) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#free -= 1
    return Promise.resolve()
  }

  #next(): void {
    const going = this.#waiting.splice(0, AT_A_TIME)
    this.#free = AT_A_TIME - going.length
    this.#timer = going.length === 0 ? undefined : setTimeout(() => this.#next(), PAUSE_MS)
    for (const go of going) go()
  }
}
