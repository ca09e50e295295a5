/** Difference between the wall clock and the monotonic clock, milliseconds, above which the wall clock did not drift but was set. */
const STEP_MS = 60_000

/**
 * The wall clock of a store, compared with the monotonic clock of this process.
 *
 * A wall clock can be set forward and back (by NTP, or when a virtual machine resumes). A step is not age: a row that was young before a step
 * forward is young after it. `agedTo` therefore leaves out each step forward that this process saw, unless a step back undid it.
 */
export class StoreClock {
  readonly #monotonic: () => number
  #wallMs: number | undefined
  /** The monotonic clock at the latest `observe`. */
  #observedAtMs = 0
  /** The sum of the steps forward that no step back undid. */
  #aheadMs = 0

  /** @param monotonic milliseconds since any fixed point */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic
  }

  /**
   * Records the wall clock, Unix milliseconds.
   *
   * @returns the step of the clock since the latest call, milliseconds: positive for forward, negative for back, 0 if it is within `toleranceMs`
   */
  observe(wallMs: number, toleranceMs = STEP_MS): number {
    const observedAtMs = this.#monotonic()
    const stepMs = this.#wallMs === undefined ? 0 : wallMs - this.#wallMs - (observedAtMs - this.#observedAtMs)
    this.#wallMs = wallMs
    this.#observedAtMs = observedAtMs
    if (Math.abs(stepMs) > STEP_MS) this.#aheadMs = Math.max(0, this.#aheadMs + stepMs)
    return Math.abs(stepMs) > toleranceMs ? stepMs : 0
  }

  /** Returns the wall clock, computed from the latest `observe`, Unix milliseconds; undefined before the first. */
  now(): number | undefined {
    return this.#wallMs === undefined ? undefined : Math.floor(this.#wallMs + this.#monotonic() - this.#observedAtMs)
  }

  /** Returns the time up to which rows have aged: the wall clock without its steps forward, Unix milliseconds; undefined before the first `observe`. */
  agedTo(): number | undefined {
    const now = this.now()
    return now === undefined ? undefined : Math.floor(now - this.#aheadMs)
  }
}
