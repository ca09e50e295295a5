import type { LeasedCall, LeaseResult } from '../store/store.ts'

/** Calls of one lane that are in flight at one time. */
export const CALLS_PER_LANE = 4

/** Calls of one lane that a node holds leases of: those in flight, and as many that follow them without a step of the store between. */
const LEASES_PER_LANE = 2 * CALLS_PER_LANE

/** Outcomes of one lane that are being told to the store at one time. If the store takes more time than the receiver, they are many. */
const SETTLING_PER_LANE = 16 * CALLS_PER_LANE

/** A leased call, and when this node got the lease, on the monotonic clock, milliseconds. */
export interface Lease {
  call: LeasedCall
  leasedAt: number
}

/** The calls of one lane on this node: those that wait for a slot, and the number in flight. */
export class Lane {
  readonly name: string
  /** The receiver accepts no further call. */
  isStopped = false
  inFlight = 0
  /** Calls that have ended, and whose outcome is being told to the store. */
  settling = 0
  readonly #lease: (lane: string, limit: number) => Promise<LeaseResult>
  readonly #ready: Lease[] = []
  #hasMore = false
  #isLeasing = false

  constructor(name: string, lease: (lane: string, limit: number) => Promise<LeaseResult>) {
    this.name = name
    this.#lease = lease
  }

  /** Notes that calls may be due in the lane. */
  wake(): void {
    this.#hasMore = true
  }

  /**
   * Leases calls if some may be due and there is room for them. Resolves with the result; with undefined if nothing was leased, or the store
   * failed: the next sweep wakes the lane again.
   */
  async lease(): Promise<LeaseResult | undefined> {
    const room = LEASES_PER_LANE - this.inFlight - this.#ready.length
    // Half of the leases at a time, so that a busy lane does not cost a step of the store for each call.
    if (this.isStopped || this.#isLeasing || !this.#hasMore || room < CALLS_PER_LANE || this.settling >= SETTLING_PER_LANE) return undefined
    this.#isLeasing = true
    this.#hasMore = false
    try {
      const result = await this.#lease(this.name, room)
      const leasedAt = performance.now()
      this.#ready.push(...result.calls.map((call) => ({ call, leasedAt })))
      // The store divides the limit among users, so that fewer calls than the limit do not mean that there are no others.
      if (result.calls.length + result.dropped >= room / 2) this.#hasMore = true
      return result
    } catch {
      return undefined
    } finally {
      this.#isLeasing = false
    }
  }

  /** Takes the next leased call if the lane has a slot for it. The caller adds it to `inFlight`. */
  take(): Lease | undefined {
    return this.inFlight < CALLS_PER_LANE ? this.#ready.shift() : undefined
  }

  /** Removes and returns the leased calls that are not in flight. */
  release(): Lease[] {
    return this.#ready.splice(0)
  }
}
