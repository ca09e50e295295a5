import type { LeasedCall, LeaseResult } from '../store/store.ts'

/** Calls of one lane that are in flight at one time. */
export const CALLS_PER_LANE = 4

/** Calls that a node holds leases of for a lane that is quick: those in flight, and as many that follow them without a step of the store between. */
const LEASES_PER_QUICK_LANE = 2 * CALLS_PER_LANE

/** Longest time of a call after which its lane is quick, milliseconds. */
const QUICK_MS = 1000

/** Outcomes of one lane that are being told to the store at one time. If the store takes more time than the receiver, they are many. */
const SETTLING_PER_LANE = 16 * CALLS_PER_LANE

/** A leased call, and when this node asked for the lease, on the monotonic clock, milliseconds. */
export interface Lease {
  call: LeasedCall
  leasedAt: number
}

/**
 * The calls of one lane on this node: those in flight, and those that wait for a slot.
 *
 * **Leased to be sent.** The lane leases as many calls as there are slots for it now. Only a quick lane, whose receiver answered the last call within a
 * second, leases further ones. If the receiver then hangs, they are released.
 */
export class Lane {
  readonly name: string
  /** The receiver accepts no further call. */
  isStopped = false
  /** The receiver did not answer the last call that ended. */
  isUnanswered = false
  inFlight = 0
  /** Calls that have ended, and whose outcome is being told to the store. */
  settling = 0
  readonly #lease: (lane: string, limit: number) => Promise<LeaseResult>
  readonly #ready: Lease[] = []
  /** Calls that the store is being asked for. */
  #asked = 0
  #isQuick = false
  #hasMore = false

  constructor(name: string, lease: (lane: string, limit: number) => Promise<LeaseResult>) {
    this.name = name
    this.#lease = lease
  }

  /** Slots of the node that the lane has, or has leased calls for. */
  get slots(): number {
    return Math.min(CALLS_PER_LANE, this.#held)
  }

  get #held(): number {
    return this.inFlight + this.#ready.length + this.#asked
  }

  /** Notes that calls may be due in the lane. */
  wake(): void {
    this.#hasMore = true
  }

  /** Notes that a call ended. */
  noteEnd(isAnswered: boolean, elapsedMs: number): void {
    this.isUnanswered = !isAnswered
    this.#isQuick = isAnswered && elapsedMs <= QUICK_MS
  }

  /** Returns how many calls to lease. @param freeSlots returns the number of slots of the node that the lane may take */
  room(freeSlots: () => number): number {
    if (this.isStopped || this.#asked > 0 || !this.#hasMore || this.settling >= SETTLING_PER_LANE) return 0
    if (!this.#isQuick) return Math.max(0, Math.min(CALLS_PER_LANE - this.#held, freeSlots()))
    // Half of the leases at a time, so that a busy lane does not cost a step of the store for each call.
    const room = LEASES_PER_QUICK_LANE - this.#held
    return room < CALLS_PER_LANE ? 0 : room
  }

  /** Leases calls. Resolves with undefined if the store failed: the next sweep wakes the lane again. @param room result of `room` */
  async lease(room: number): Promise<LeaseResult | undefined> {
    this.#asked = room
    this.#hasMore = false
    const leasedAt = performance.now()
    try {
      const result = await this.#lease(this.name, room)
      this.#ready.push(...result.calls.map((call) => ({ call, leasedAt })))
      // The store divides the limit among users, so that fewer calls than the limit do not mean that there are no others.
      if (result.calls.length + result.dropped >= room / 2) this.#hasMore = true
      return result
    } catch {
      return undefined
    } finally {
      this.#asked = 0
    }
  }

  /** Takes the next leased call if the lane has a slot for it. The caller adds it to `inFlight`. */
  take(): Lease | undefined {
    return this.inFlight < CALLS_PER_LANE ? this.#ready.shift() : undefined
  }

  /** Removes and returns the calls that have waited for a slot since their lease for so long. If there are some, the lane is no longer quick. */
  release(waitedMs: number): Lease[] {
    const before = performance.now() - waitedMs
    const count = this.#ready.filter(({ leasedAt }) => leasedAt <= before).length
    if (count > 0) this.#isQuick = false
    return this.#ready.splice(0, count)
  }
}
