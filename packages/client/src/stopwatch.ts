import type { Platform } from './platform.ts'

/** Measures the time since `restart()`. */
export class Stopwatch {
  readonly #platform: Platform
  #wallStart = 0
  #start = 0

  constructor(platform: Platform) {
    this.#platform = platform
    this.restart()
  }

  restart(): void {
    this.#wallStart = this.#platform.now()
    this.#start = this.#platform.monotonic()
  }

  /** Returns milliseconds of the monotonic clock: without the time that the machine slept, on most systems. */
  get runMs(): number {
    return this.#platform.monotonic() - this.#start
  }

  /** Returns milliseconds with the time that the machine slept. A step of the wall clock ahead cannot be told from sleep. */
  get elapsedMs(): number {
    return Math.max(this.runMs, this.#platform.now() - this.#wallStart)
  }
}
