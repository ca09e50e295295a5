import { type BelfryError, errors, isOfStore } from '../errors.ts'
import { keyedId, newId } from '../ids.ts'
import type { Durability, PublishResult, ReachRule, Store } from '../store/store.ts'
import { carryOutBatch } from './batch.ts'
import type { OutcomeRecorder } from './outcome-recorder.ts'
import { canonical, type PublishRequest, publicationOf, recipientsOf } from './publish-request.ts'
import { expiredError, fullError, type Outcome, type RecipientResult, recipientResult } from './recipient-result.ts'

export interface PublishAnswer {
  id: string
  durability: Durability
  results: RecipientResult[]
}

/** `replayed`: an earlier request with the same key was carried out, and this one wrote nothing. */
interface PublishOutcome {
  answer: PublishAnswer
  replayed: boolean
}

/** One item of a batch: a valid request with its Idempotency-Key, or the error that refuses the item. */
export type BatchItem = { request: PublishRequest; key: string | undefined } | { error: Error }

/** The result of one item of a batch. */
type BatchResult = PublishAnswer | { error: Error }

interface PublisherOptions {
  store: Store
  outcomes: OutcomeRecorder
  /** The rule for what a request leaves out of `push`. Default: that of `PUSH_AFTER_SECONDS` and `PUSH_UNLESS` without a value. */
  pushRule?: ReachRule | undefined
}

/**
 * Publishes notifications. For each recipient, one step of the store appends the row and wakes the nodes that hold the user. The publisher never
 * asks whether a user is online.
 */
export class Publisher {
  readonly #options: PublisherOptions

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /**
   * Publishes to each recipient once. When the promise resolves, every accepted, parked or scheduled notification is in the store with the
   * `durability` of the answer. If the store fails for some recipients, their results have its error. If the store fails for all, the promise rejects.
   *
   * @param publisher owner of the idempotency keys
   * @param key the Idempotency-Key, if any. The store looks it up for the first recipient before the others: a conflict there ends the request
   * @throws TooLarge, IdempotencyConflict, ParkedFull and ScheduledFull (one recipient), StoreUnavailable, StoreFull
   */
  async publish(request: PublishRequest, publisher: string, key: string | undefined): Promise<PublishOutcome> {
    const { store, outcomes, pushRule } = this.#options
    const users = recipientsOf(request)
    const keyed = key !== undefined
    const { expiresAt, ...content } = publicationOf(request, store.now(), keyed, pushRule)
    const id = keyed ? keyedId(publisher, key, JSON.stringify([users, canonical(request)])) : newId()
    const command = { id, keyed, ...content }

    const send = (user: string): Promise<PublishResult> => store.publish({ user, ...command })
    const [first, ...rest] = users as [string, ...string[]]
    const attempt = (user: string): Promise<Outcome> => send(user).catch(failed)
    const results: Outcome[] = []
    if (keyed || rest.length === 0) {
      const result = await send(first)
      if (result.status === 'conflict') throw new errors.IdempotencyConflict()
      if (result.status === 'expired') throw expiredError()
      results.push(result, ...(await Promise.all(rest.map(attempt))))
    } else results.push(...(await Promise.all(users.map(attempt))))

    if (results.every(({ status }) => status === 'failed')) throw (results[0] as Extract<Outcome, { status: 'failed' }>).error
    results.forEach((result, index) => {
      if (result.status !== 'failed') outcomes.record(users[index] as string, result, expiresAt)
    })
    const only = rest.length === 0 ? results[0] : undefined
    if (only?.status === 'full' || only?.status === 'scheduledFull') throw fullError(only)
    return {
      answer: {
        id,
        durability: store.status().durability,
        results: results.map((result, index) => recipientResult(users[index] as string, result))
      },
      replayed: results.every((result) => 'replayed' in result && result.replayed)
    }
  }

  /**
   * Publishes the items of a batch side by side. Items for the same user reach the store in the order of the batch, and an item that fails does
   * not stop the others.
   *
   * @returns the results, in the order of the items
   * @throws StoreUnavailable if every item failed with it
   */
  async publishBatch(items: readonly BatchItem[], publisher: string): Promise<BatchResult[]> {
    const publishItem = async (item: BatchItem): Promise<BatchResult> => {
      if ('error' in item) return item
      try {
        return (await this.publish(item.request, publisher, item.key)).answer
      } catch (error) {
        return { error: error as Error }
      }
    }
    const entries = items.map((item) => {
      const users = 'error' in item ? [] : recipientsOf(item.request)
      return { item, users, isGradual: users.length > 1 && 'key' in item && item.key !== undefined }
    })
    const results = await carryOutBatch(entries, publishItem)
    if (results.every((result) => 'error' in result && result.error instanceof errors.StoreUnavailable)) throw new errors.StoreUnavailable()
    return results
  }
}

function failed(error: unknown): Outcome {
  if (!isOfStore(error)) throw error
  return { status: 'failed', error: error as BelfryError }
}
