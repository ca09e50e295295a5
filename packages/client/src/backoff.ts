const CAP_MS = 30_000
const BASE_MS = 500
const FLOOR_MS = 250

/** Waits between attempts: 250 ms + `random(0, min(29.75 s, 500 ms x 2^n))`. The floor is added: clients that would be below it must not return together. */
export class Backoff {
  #tries = 0
  readonly #random: () => number

  /** @param random from 0 to below 1 */
  constructor(random: () => number) {
    this.#random = random
  }

  /**
   * Returns the next wait, milliseconds.
   *
   * @param askedMs the wait that the service asked for; the step is added to it
   * @param slot the service gave this client a time of its own: the first wait is exactly that
   */
  next(askedMs = 0, slot = false): number {
    const step = FLOOR_MS + this.#random() * Math.min(CAP_MS - FLOOR_MS, BASE_MS * 2 ** this.#tries++)
    return slot && this.#tries === 1 ? askedMs : askedMs + step
  }

  reset(): void {
    this.#tries = 0
  }
}
