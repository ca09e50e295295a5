/** A wall clock that moved this much more than the monotonic clock between two looks was set; it did not run. Milliseconds. */
export const STEP_MS = 60_000

/**
 * The wall clock of a store, compared with the monotonic clock of this process.
 *
 * A wall clock can be set forward and back (NTP, a resumed virtual machine). A step is not age: what was young before a step forward is young after it.
 * `agedTo` therefore leaves out every step forward that this process saw and that was not taken back.
 */
export class StoreClock {
  readonly #monotonic: () => number
  #wall: number | undefined
  #seenAt = 0
  #held = 0

  /** @param monotonic milliseconds since any fixed point */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  /**
   * Takes note of the wall clock, Unix milliseconds.
   *
   * @returns by how much the clock was set since the last look, milliseconds: above 0 forward, below 0 back, 0 for less than `toleranceMs`
   */
  look(wall: number, toleranceMs = STEP_MS): number {
    const seenAt = this.#monotonic()
    const step = this.#wall === undefined ? 0 : wall - this.#wall - (seenAt - this.#seenAt)
    this.#wall = wall
    this.#seenAt = seenAt
    if (Math.abs(step) > STEP_MS) this.#held = Math.max(0, this.#held + step)
    return Math.abs(step) > toleranceMs ? step : 0
  }

  /** The wall clock now, reckoned from the last look, Unix milliseconds; undefined before the first. */
  now(): number | undefined {
    return this.#wall === undefined ? undefined : Math.floor(this.#wall + this.#monotonic() - this.#seenAt)
  }

  /** The time up to which rows have aged: the wall clock without its steps forward, Unix milliseconds; undefined before the first look. */
  agedTo(): number | undefined {
    const now = this.now()
    return now === undefined ? undefined : Math.floor(now - this.#held)
  }
}
