import { type BelfryError, errors, isOfStore } from '../errors.ts'
import { keyedId, newId } from '../ids.ts'
import type { Audience, BroadcastCommand, BroadcastStatus, StartResult } from '../store/audiences.ts'
import type { Durability, PublishResult, ReachRule, Store } from '../store/store.ts'
import { carryOutBatch } from './batch.ts'
import type { OutcomeRecorder } from './outcome-recorder.ts'
import { audienceOf, canonical, type Publication, type PublishRequest, publicationOf, recipientsOf } from './publish-request.ts'
import { expiredError, fullError, type Outcome, type RecipientResult, recipientResult } from './recipient-result.ts'

export interface PublishAnswer {
  id: string
  durability: Durability
  results: RecipientResult[]
  /** The job that publishes to an audience. Then `results` is empty. */
  broadcast?: { id: string; status: BroadcastStatus }
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
  /** Starts the broadcast of a request for an audience. */
  startBroadcast: (command: BroadcastCommand) => Promise<StartResult>
  /** The rule for what a request leaves out of `push`. Default: that of `PUSH_AFTER_SECONDS` and `PUSH_UNLESS` without a value. */
  pushRule?: ReachRule | undefined
  /** Called with every request before it is carried out. Throws an error that refuses the request. Default: none, the routes validate. */
  check?: (request: PublishRequest) => void
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

  /** Returns a publisher that checks each request, for callers whose requests no route has validated. */
  withCheck(check: (request: PublishRequest) => void): Publisher {
    return new Publisher({ ...this.#options, check })
  }

  /**
   * Publishes to each recipient once. When the promise resolves, every accepted, parked or scheduled notification is in the store with the
   * `durability` of the answer. If the store fails for some recipients, their results have its error. If the store fails for all, the promise rejects.
   * A request for an audience starts a broadcast, which is as durable when the promise resolves, and goes on afterwards.
   *
   * @param publisher owner of the idempotency keys
   * @param key the Idempotency-Key, if any. The store looks it up for the first recipient before the others: a conflict there ends the request
   * @throws InvalidRequest, TooLarge, IdempotencyConflict, ParkedFull and ScheduledFull (one recipient), BroadcastsFull (an audience), StoreUnavailable, StoreFull
   */
  async publish(request: PublishRequest, publisher: string, key: string | undefined): Promise<PublishOutcome> {
    const { store, pushRule, check } = this.#options
    check?.(request)
    const users = recipientsOf(request)
    const keyed = key !== undefined
    const publication = publicationOf(request, store.now(), keyed, pushRule)
    const audience = audienceOf(request)
    if (audience !== undefined) return await this.#broadcast(audience, publication, idOfBroadcast(audience, request, publisher, key), keyed)
    const { tail, halfLife, options, expiresAt } = publication
    const id = keyed ? keyedId(publisher, key, JSON.stringify([users, canonical(request)])) : newId()
    const results = await outcomesOf(users, keyed, (user) => store.publish({ user, id, keyed, tail, halfLife, options }))
    return this.#outcome(id, users, results, expiresAt)
  }

  /** Records the results of the recipients, and returns the answer. Throws if there is one recipient, whose queue is full. */
  #outcome(id: string, users: readonly string[], results: readonly Outcome[], expiresAt: number): PublishOutcome {
    const { store, outcomes } = this.#options
    results.forEach((result, index) => {
      if (result.status !== 'failed') outcomes.record(users[index] as string, result, expiresAt)
    })
    const only = users.length === 1 ? results[0] : undefined
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

  async #broadcast(to: Audience, { expiresAt: _, ...content }: Publication, id: string, keyed: boolean): Promise<PublishOutcome> {
    const { store, startBroadcast } = this.#options
    const result = await startBroadcast({ to, id, keyed, ...content })
    if (result.status === 'conflict') throw new errors.IdempotencyConflict()
    if (result.status === 'expired') throw expiredError()
    if (result.status === 'full') throw Object.assign(new errors.BroadcastsFull(), { retryAfterMs: result.retryAfterMs })
    const { id: broadcastId, status } = result.broadcast
    return {
      answer: { id, durability: store.status().durability, results: [], broadcast: { id: broadcastId, status } },
      replayed: result.status === 'replayed'
    }
  }
}

/**
 * Returns the id of the notification of a broadcast. A key belongs to the audience: the same key may be used once for each topic, and for users
 * by name, as it may be used once for each user. So a broadcast never conflicts with another publish in the log of a member.
 */
function idOfBroadcast(audience: Audience, request: PublishRequest, publisher: string, key: string | undefined): string {
  if (key === undefined) return newId()
  const place = 'topic' in audience ? `topic\0${audience.topic}` : 'everyone'
  return keyedId(`${publisher}\0${place}`, key, JSON.stringify([audience.except.toSorted(), canonical(request)]))
}

/**
 * Publishes to each recipient by `send`, and returns the outcomes in their order: to the first one before the others if the request has a key.
 *
 * @throws IdempotencyConflict, InvalidRequest; the error of the store if it failed for every recipient
 */
async function outcomesOf(users: readonly string[], keyed: boolean, send: (user: string) => Promise<PublishResult>): Promise<Outcome[]> {
  const attempt = (user: string): Promise<Outcome> => send(user).catch(failed)
  if (keyed || users.length === 1) {
    const first = await send(users[0] as string)
    if (first.status === 'conflict') throw new errors.IdempotencyConflict()
    if (first.status === 'expired') throw expiredError()
    return users.length === 1 ? [first] : [first, ...(await Promise.all(users.slice(1).map(attempt)))]
  }
  const outcomes = await Promise.all(users.map(attempt))
  const [first] = outcomes
  if (first?.status === 'failed' && outcomes.every(({ status }) => status === 'failed')) throw first.error
  return outcomes
}

function failed(error: unknown): Outcome {
  if (!isOfStore(error)) throw error
  return { status: 'failed', error: error as BelfryError }
}
