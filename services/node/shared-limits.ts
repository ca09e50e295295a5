/** Time between two attempts to use the shared counts while they fail, milliseconds. */
const RETRY_MS = 1000

/** Callbacks for the two changes, each called once per change. */
interface SharedLimitsEvents {
  onFailure: (error: unknown) => void
  onRecovery: () => void
}

/**
 * Chooses between counts that all nodes share and the counts of this node. If the shared counts fail, the node's own are used, and one
 * request a second tries the shared ones again: the others need not wait for a Redis that does not answer.
 */
export class SharedLimits {
  readonly #events: SharedLimitsEvents
  #isFailing = false
  #retryAt = 0

  constructor(events: SharedLimitsEvents) {
    this.#events = events
  }

  /**
   * Returns the verdict of `shared`, or that of `own` where `shared` rejects or is not tried.
   *
   * @param now milliseconds of the monotonic clock
   */
  async check<Verdict>(shared: () => Promise<Verdict>, own: () => Promise<Verdict>, now = performance.now()): Promise<Verdict> {
    if (this.#isFailing) {
      if (now < this.#retryAt) return own()
      this.#retryAt = now + RETRY_MS
    }
    let verdict: Verdict
    try {
      verdict = await shared()
    } catch (error) {
      if (!this.#isFailing) {
        this.#isFailing = true
        this.#retryAt = now + RETRY_MS
        this.#events.onFailure(error)
      }
      return own()
    }
    if (this.#isFailing) {
      this.#isFailing = false
      this.#events.onRecovery()
    }
    return verdict
  }
}
