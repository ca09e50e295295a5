import { setTimeout, setImmediate as turn } from 'node:timers/promises'
import { isOfStore } from '../errors.ts'
import { type Counters, increment } from '../node/counters.ts'
import type { Audiences, Batch } from '../store/audiences.ts'
import { Semaphore } from '../store/semaphore.ts'
import type { PublishResult, Store } from '../store/store.ts'

/** Calls that a batch starts before the event loop serves others. Those of one turn may share a read or a request. */
const STARTS_PER_TURN = 16

/** Shortest and longest time before members for whom the store failed are tried again, milliseconds. */
const RETRY_MIN_MS = 200
const RETRY_MAX_MS = 3000

/** Outcomes of the members of a batch. */
export interface BatchCounts {
  accepted: number
  parked: number
  rejected: number
}

interface BatchRunnerOptions {
  store: Pick<Store, 'publish' | 'retract'> & { audiences: Pick<Audiences, 'publishesAtOnce'> }
  counters: Counters
  /** Called with the outcome of each member's publish. `expiresAt` is Unix milliseconds; 0: never. */
  onOutcome: (user: string, result: PublishResult, expiresAt: number) => void
}

/** Carries out batches: publishes the notification of a broadcast to each member, or recalls it from each. */
export class BatchRunner {
  readonly #options: BatchRunnerOptions
  readonly #slots: Semaphore
  readonly #closing = new AbortController()

  constructor(options: BatchRunnerOptions) {
    this.#options = options
    this.#slots = new Semaphore(options.store.audiences.publishesAtOnce)
  }

  /** Starts no further call. The batches under way resolve with undefined. */
  close(): void {
    this.#closing.abort()
  }

  /**
   * Carries out a batch. Members for whom the store fails are tried again until the deadline.
   *
   * @param deadline time after which no call is started, on the monotonic clock, milliseconds
   * @returns the outcomes of all members, all 0 for a recall; undefined if a member has none, so that the batch must not be settled
   * @throws errors that are none of the store's
   */
  async run(batch: Batch, deadline: number): Promise<BatchCounts | undefined> {
    const erased = batch.size - batch.users.length
    const counts: BatchCounts = { accepted: 0, parked: 0, rejected: batch.isRecall ? 0 : erased }
    const { signal } = this.#closing
    let left = batch.users
    for (let delayMs = RETRY_MIN_MS; ; delayMs = Math.min(2 * delayMs, RETRY_MAX_MS)) {
      const canStart = (): boolean => !signal.aborted && performance.now() < deadline
      left = await this.#attempt(batch, left, counts, canStart)
      if (left.length === 0) return counts
      if (!canStart()) return undefined
      await setTimeout(delayMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
    }
  }

  /** Calls the store once for each member. Resolves with the members that have no outcome. */
  async #attempt(batch: Batch, users: string[], counts: BatchCounts, canStart: () => boolean): Promise<string[]> {
    const left: string[] = []
    const calls: Promise<void>[] = []
    const carryOut = async (user: string): Promise<void> => {
      if (!canStart()) return void left.push(user)
      try {
        await (batch.isRecall ? this.#recall(batch, user) : this.#publish(batch, user, counts))
      } catch (error) {
        if (!isOfStore(error)) throw error
        left.push(user)
      }
    }
    for (const user of users) {
      await new Promise<void>((resolve) => {
        const call = this.#slots.take(() => {
          resolve()
          return carryOut(user)
        })
        // A fault is thrown below, when all calls have ended.
        call.catch(() => undefined)
        calls.push(call)
      })
      if (calls.length % STARTS_PER_TURN === 0) await turn()
    }
    const ended = await Promise.allSettled(calls)
    for (const result of ended) if (result.status === 'rejected') throw result.reason
    return left
  }

  async #publish({ publish }: Batch, user: string, counts: BatchCounts): Promise<void> {
    const result = await this.#options.store.publish({ user, keyed: true, ...publish })
    const count = countOf(result)
    counts[count] += 1
    increment(this.#options.counters.broadcastMembers, count)
    this.#options.onOutcome(user, result, publish.options?.expiresAt ?? 0)
  }

  async #recall({ publish }: Batch, user: string): Promise<void> {
    const { store, counters } = this.#options
    const result = await store.retract(user, publish.id, 'recalled', publish.broadcastAt)
    if (result === 'unknown' || result === 'folded') return
    counters.recalled += 1
    increment(counters.broadcastMembers, 'recalled')
  }
}

/** Returns the count to which the outcome of a member's publish adds. */
function countOf({ status }: PublishResult): keyof BatchCounts {
  switch (status) {
    case 'accepted':
    case 'scheduled':
    case 'recalled':
      return 'accepted'
    case 'parked':
      return 'parked'
    case 'full':
    case 'scheduledFull':
    case 'expired':
    case 'conflict':
    case 'erased':
      return 'rejected'
  }
}
