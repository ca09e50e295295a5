import { setTimeout } from 'node:timers/promises'
import { isOfStore } from '../errors.ts'
import { type Counters, increment } from '../node/counters.ts'
import { type CallOutcome, type LeasedCall, type Outbox, WEBHOOK_LANE } from '../store/outbox.ts'
import type { CallFormat } from './call-format.ts'
import { type Failure, FailureReports } from './failure-reports.ts'
import type { HttpSender, OutgoingRequest } from './http-sender.ts'
import { Lane, type Lease } from './lane.ts'
import type { Outcome } from './outcome.ts'

/** Calls of this node that are in flight at one time. */
const CALLS_PER_NODE = 64

/**
 * Most calls in flight to receivers that did not answer their last call. A receiver that hangs holds a slot for 10 s. The other slots stay free for
 * receivers that answer.
 */
const UNANSWERED_CALLS_PER_NODE = 32

/** Period at which each lane is asked for calls that no local step made: retries, and those of other nodes and of the time before the start. */
const SWEEP_INTERVAL_MS = 1000

/** Age of a lease from which its call is not started any more: it could outlast the lease, and be sent by another node at the same time. */
const LAST_START_MS = 15_000

/** Time that a leased call waits for a slot at most, milliseconds: then its receiver hangs, and the store gets it back. */
const MAX_WAIT_MS = 1000

/** Delays before an outcome is told to the store again if the store failed, milliseconds. After the last one the lease runs out. */
const SETTLE_DELAYS_MS = [200, 1000, 3000]

interface CourierOptions {
  outbox: Outbox
  /** The store's clock, Unix milliseconds. */
  now: () => number
  sender: Pick<HttpSender, 'send' | 'close'>
  /** The format of the calls in each lane. */
  formats: ReadonlyMap<string, CallFormat>
  counters: Counters
  /** Called for each leased call. @param waitedMs time since the call was due, milliseconds */
  onLeased: (waitedMs: number) => void
  /** Called when the receiver of a lane answered that it accepts no further call, and the lane stopped. */
  onStopped: (lane: string) => void
  /** Called for the failures that the log gets. */
  onFailure: (failure: Failure) => void
  /** Called on an error of a format, which costs the call. */
  onFault: (error: unknown) => void
}

/**
 * Carries calls out of the store: leases those that are due, sends them, and settles them.
 *
 * A lane has few slots, and the node has more than that: a receiver that hangs holds up its own lane only, and any number of those that hang leave half of
 * the slots to the others. A node leases calls when it has slots for them, and the others wait in the store: any number of them costs no memory here.
 * If the node dies, its leases run out and another node sends the calls again. An attempt counts once it was made: the store gets back a call
 * that was leased and not sent.
 */
export class Courier {
  readonly #options: CourierOptions
  readonly #lanes: Map<string, Lane>
  /** The lanes in the order in which they get the next slot. */
  #turns: Lane[]
  readonly #sweeper: NodeJS.Timeout
  /** The calls that were started and whose outcome the store does not have yet. */
  readonly #carried = new Set<Promise<void>>()
  #inFlight = 0
  /** Time at which the oldest call of each lane was due, as of its last lease, Unix milliseconds. */
  readonly #oldestDueByLane = new Map<string, number>()
  readonly #failures = new FailureReports()
  #closed = false

  constructor(options: CourierOptions) {
    const { formats, outbox } = options
    this.#options = options
    this.#lanes = new Map([...formats.keys()].map((name) => [name, new Lane(name, (lane, limit) => outbox.lease({ lane, limit }))]))
    this.#turns = [...this.#lanes.values()]
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS)
    this.#sweeper.unref()
    this.wake()
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Age of the oldest call that this node knows to wait for its receiver, milliseconds; 0 if there is none. */
  get oldestWaitingMs(): number {
    const oldest = Math.min(...this.#oldestDueByLane.values())
    return Number.isFinite(oldest) ? Math.max(0, this.#options.now() - oldest) : 0
  }

  /** Leases calls of lanes in which some are due now. @param names default: all lanes */
  wake(names: Iterable<string> = this.#lanes.keys()): void {
    if (this.#closed) return
    for (const name of names) this.#lanes.get(name)?.wake()
    this.#fill()
  }

  /**
   * Leases nothing more, and waits for the calls in flight and their outcomes. Calls that are leased and not in flight are due again at once; those that do not end in
   * time are due when their lease runs out.
   */
  async close(graceMs: number): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    await Promise.all([...this.#lanes.values()].map((lane) => this.#giveBack(lane, 0)))
    const ended = new AbortController()
    const grace = setTimeout(graceMs, undefined, { signal: ended.signal }).catch(() => undefined)
    await Promise.race([Promise.allSettled([...this.#carried]), grace])
    ended.abort()
    await this.#options.sender.close()
  }

  #sweep(): void {
    for (const lane of this.#lanes.values()) void this.#giveBack(lane, MAX_WAIT_MS)
    this.wake()
  }

  /** Leases calls for the slots that are free: those of each lane in turn. */
  #fill(): void {
    for (const lane of this.#turns) {
      const room = lane.room(() => this.#freeSlots(lane))
      if (room === 0) continue
      this.#turns = [...this.#turns.filter((other) => other !== lane), lane]
      void this.#lease(lane, room)
    }
  }

  /** Returns the number of slots of the node that a lane may take. A lane without any may always wait for its turn to get one. */
  #freeSlots(lane: Lane): number {
    const taken = (lanes: Lane[]): number => lanes.reduce((sum, { slots }) => sum + slots, 0)
    const free = Math.max(CALLS_PER_NODE - taken(this.#turns), lane.slots === 0 ? 1 : 0)
    if (!lane.isUnanswered) return free
    return Math.min(free, UNANSWERED_CALLS_PER_NODE - taken(this.#turns.filter(({ isUnanswered }) => isUnanswered)))
  }

  async #lease(lane: Lane, room: number): Promise<void> {
    const result = await lane.lease(room)
    if (result === undefined) return
    const { now, onLeased } = this.#options
    const { calls, dropped } = result
    if (calls.length === 0) this.#oldestDueByLane.delete(lane.name)
    else this.#oldestDueByLane.set(lane.name, Math.min(...calls.map(({ dueAt }) => dueAt)))
    if (dropped > 0) this.#count(lane, 'dropped', dropped)
    for (const { dueAt } of calls) onLeased(Math.max(0, now() - dueAt))
    if (this.#closed) return await this.#giveBack(lane, 0)
    this.#goOn()
  }

  /** Starts calls while the node has slots: one of each lane in turn. */
  #start(): void {
    for (let idle = 0; idle < this.#turns.length && this.#inFlight < CALLS_PER_NODE; ) {
      const [lane, ...others] = this.#turns as [Lane, ...Lane[]]
      this.#turns = [...others, lane]
      const lease = lane.take()
      idle = lease === undefined ? idle + 1 : 0
      if (lease !== undefined) this.#send(lane, lease)
    }
  }

  #send(lane: Lane, lease: Lease): void {
    lane.inFlight += 1
    this.#inFlight += 1
    const carried = this.#carryOut(lane, lease)
      .catch((error: unknown) => {
        if (isOfStore(error)) return { status: 'unsent' } as const
        this.#options.onFault(error)
        return undefined
      })
      .then((outcome) => {
        lane.inFlight -= 1
        this.#inFlight -= 1
        return this.#settleInLane(lane, lease.call, outcome)
      })
      .finally(() => {
        this.#carried.delete(carried)
        this.#goOn()
      })
    this.#carried.add(carried)
  }

  /** Tells the store the outcome of a call while the slot of the call has the next one. */
  async #settleInLane(lane: Lane, call: LeasedCall, outcome: CallOutcome | undefined): Promise<void> {
    if (outcome === undefined) return
    lane.settling += 1
    this.#goOn()
    try {
      await this.#settle(call, outcome)
    } catch (error) {
      if (!isOfStore(error)) this.#options.onFault(error)
    } finally {
      lane.settling -= 1
    }
  }

  #goOn(): void {
    if (this.#closed) return
    this.#start()
    this.#fill()
  }

  /** Sends a call. Resolves with what the store is to be told; undefined: nothing, the call is due when its lease runs out. */
  async #carryOut(lane: Lane, { call, leasedAt }: Lease): Promise<CallOutcome | undefined> {
    const startedAt = performance.now()
    if (lane.isStopped || startedAt - leasedAt > LAST_START_MS) return { status: 'unsent' }
    const { formats, sender, now, onStopped } = this.#options
    const format = formats.get(lane.name) as CallFormat
    const request = await this.#requestOf(format, call)
    if (request === undefined) {
      this.#count(lane, 'dropped')
      return { status: 'givenUp' }
    }
    const attempt = await sender.send(request)
    lane.noteEnd(attempt.status !== 'unreachable', performance.now() - startedAt)
    // A close aborts calls. They are due again when their leases run out.
    if (this.#closed && attempt.status === 'unreachable') return undefined
    const outcome = format.outcome(attempt, call)
    this.#count(lane, outcome.result)
    this.#report({ lane: lane.name, kind: kindOf(lane), attempt, result: outcome.result })
    if (outcome.result === 'gone' && call.event !== 'push' && !lane.isStopped) {
      lane.isStopped = true
      onStopped(lane.name)
    }
    return settlementOf(outcome, call, now())
  }

  /** Resolves with undefined if the call cannot be sent: a fault that every attempt would repeat. @throws errors of the store */
  async #requestOf(format: CallFormat, call: LeasedCall): Promise<OutgoingRequest | undefined> {
    try {
      return await format.request(call)
    } catch (error) {
      if (isOfStore(error)) throw error
      this.#options.onFault(error)
      return undefined
    }
  }

  #count(lane: Lane, result: Outcome['result'] | 'dropped', by = 1): void {
    increment(this.#options.counters.calls, `${kindOf(lane)} ${result}`, by)
  }

  #report(failure: Failure): void {
    const { result } = failure
    // A subscription that has ended is no fault, and a lane that stops has a report of its own.
    if (result === 'delivered' || result === 'gone') return
    const { now, onFailure } = this.#options
    if (this.#failures.take(failure, now())) onFailure(failure)
  }

  /** Makes the leased calls of a lane due again that have waited for a slot for so long. If the store fails, they are due when their leases run out. */
  async #giveBack(lane: Lane, waitedMs: number): Promise<void> {
    const calls = lane.release(waitedMs).map(({ call }) => call)
    await Promise.allSettled(calls.map((call) => this.#settleOnce(call, { status: 'unsent' })))
  }

  /** Tells the store an outcome. If the store fails for longer than a few seconds, the call is sent again when its lease runs out. */
  async #settle(call: LeasedCall, outcome: CallOutcome): Promise<void> {
    if (outcome.status === 'unsent') return await this.#settleOnce(call, outcome)
    for (const delayMs of SETTLE_DELAYS_MS) {
      try {
        return await this.#settleOnce(call, outcome)
      } catch (error) {
        if (!isOfStore(error)) throw error
        await setTimeout(delayMs, undefined, { ref: false })
      }
    }
  }

  async #settleOnce({ user, epoch, no, madeAt, attempt }: LeasedCall, outcome: CallOutcome): Promise<void> {
    await this.#options.outbox.settle({ user, epoch, no, madeAt, attempt, outcome })
  }
}

function kindOf({ name }: Lane): Failure['kind'] {
  return name === WEBHOOK_LANE ? 'webhook' : 'push'
}

/** Returns how a call is settled whose attempt had an outcome. @param now Unix milliseconds */
function settlementOf(outcome: Outcome, call: LeasedCall, now: number): CallOutcome {
  switch (outcome.result) {
    case 'delivered':
      return { status: 'done' }
    case 'retry':
      return { status: 'retry', at: now + outcome.delayMs }
    case 'gone':
      // The webhook may work again after a restart: its calls stay due, and stopped lanes lease none.
      return call.event === 'push' ? { status: 'gone', endpoint: call.subscription.endpoint } : { status: 'retry', at: now }
    case 'refused':
    case 'exhausted':
      return { status: 'givenUp' }
  }
}
