const CAP_MS = 30_000
const BASE_MS = 500
const FLOOR_MS = 250

/**
 * Waits between attempts: 250 ms + `random(0, min(29.75 s, 500 ms x 2^n))`. The floor of 250 ms is added and not a minimum, so that clients
 * with a short random wait do not return together.
 */
export class Backoff {
  #tries = 0
  readonly #random: () => number

  /** @param random returns a number from 0 to below 1 */
  constructor(random: () => number) {
    this.#random = random
  }

  /**
   * Returns the next wait, milliseconds.
   *
   * @param askedMs the wait that the service asked for; the back-off is added to it
   * @param slot true if the service asked this client alone for the wait: the first wait is exactly `askedMs`
   */
  next(askedMs = 0, slot = false): number {
    const step = FLOOR_MS + this.#random() * Math.min(CAP_MS - FLOOR_MS, BASE_MS * 2 ** this.#tries++)
    return slot && this.#tries === 1 ? askedMs : askedMs + step
  }

  reset(): void {
    this.#tries = 0
  }
}
