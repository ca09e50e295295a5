const CAP_MS = 30_000
const BASE_MS = 500
const FLOOR_MS = 250

/** Waits between attempts: `random(0, min(30 s, 500 ms x 2^n))`, at least 250 ms. */
export class Backoff {
  #tries = 0
  readonly #random: () => number

  /** @param random from 0 to below 1 */
  constructor(random: () => number) {
    this.#random = random
  }

  /** @param asked what the service asked for: replaces the first step, and is the least of later ones, milliseconds */
  next(asked?: number): number {
    const step = Math.max(FLOOR_MS, this.#random() * Math.min(CAP_MS, BASE_MS * 2 ** this.#tries++))
    if (asked === undefined) return step
    return this.#tries === 1 ? asked : Math.max(asked, step)
  }

  reset(): void {
    this.#tries = 0
  }
}
