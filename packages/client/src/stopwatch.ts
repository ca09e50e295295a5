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

  /** The elapsed time by the monotonic clock, milliseconds: on most systems without the time in which the machine slept. */
  get runMs(): number {
    return this.#platform.monotonic() - this.#start
  }

  /** The elapsed time including sleep, milliseconds. A wall clock that is set ahead looks like sleep. */
  get elapsedMs(): number {
    return Math.max(this.runMs, this.#platform.now() - this.#wallStart)
  }
}
