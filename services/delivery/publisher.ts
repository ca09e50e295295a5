import { type BelfryError, errors, isOfStore } from '../errors.ts'
import { keyedId, newId } from '../ids.ts'
import type { Counters } from '../node/counters.ts'
import { retryAfterOf } from '../problem.ts'
import { formatEventId } from '../protocol/index.ts'
import { tails } from '../store/row.ts'
import type { Durability, PublishResult, Store } from '../store/store.ts'
import { carryOutBatch } from './batch.ts'
import type { Releaser } from './releaser.ts'

/** Largest `data`, bytes of JSON. */
export const DATA_MAX_BYTES = 4096

/** What a publisher asks for, as the routes validated it. `timestamp` is Unix milliseconds, `halfLife` seconds. */
export interface PublishRequest {
  to: string | string[]
  type: string
  title: string
  timestamp?: number
  ref?: string
  data?: Record<string, unknown>
  halfLife?: number
}

/** What became of it for one recipient. */
export type RecipientResult =
  | { user: string; status: 'accepted'; eventId?: string; nodes: number }
  | { user: string; status: 'parked'; releaseAt: number; nodes: number }
  | { user: string; status: 'rejected'; code: string; retryAfterMs?: number; nodes: number }

export interface PublishAnswer {
  id: string
  durability: Durability
  results: RecipientResult[]
}

/** `failed`: the store did not take it, or did not say so. */
type Outcome = PublishResult | { status: 'failed'; error: BelfryError }

/** `replayed`: an earlier request with the same key had been carried out, and nothing was written. */
export interface PublishOutcome {
  answer: PublishAnswer
  replayed: boolean
}

/** One item of a batch: a valid request with its Idempotency-Key, or the error that refuses the item. */
export type BatchItem = { request: PublishRequest; key: string | undefined } | { error: Error }

/** The result of one item of a batch. */
export type BatchResult = PublishAnswer | { error: Error }

/**
 * Publishes: append, then wake whoever is there, in one step of the store for each recipient. Whether the user is online is never asked.
 */
export class Publisher {
  readonly #store: Store
  readonly #releaser: Releaser
  readonly #counters: Counters

  constructor(store: Store, releaser: Releaser, counters: Counters) {
    this.#store = store
    this.#releaser = releaser
    this.#counters = counters
  }

  /**
   * Publishes to each recipient once. When it resolves, what was accepted or parked is in the store, as safe as `durability` says; recipients whom
   * the store failed are rejected with its error. When it failed all of them, so does this.
   *
   * @param publisher whom idempotency keys belong to
   * @param key the Idempotency-Key, if any. It is looked up per recipient, the first one first: a conflict there ends the request
   * @throws TooLarge, IdempotencyConflict, ParkedFull (one recipient), StoreUnavailable, StoreFull
   */
  async publish(request: PublishRequest, publisher: string, key: string | undefined): Promise<PublishOutcome> {
    const users = recipientsOf(request)
    const tail = tailOf(request)
    const id = key === undefined ? newId() : keyedId(publisher, key, JSON.stringify([users, canonical(request)]))
    const command = { id, keyed: key !== undefined, tail, halfLife: request.halfLife ?? 0 }

    const send = (user: string): Promise<PublishResult> => this.#store.publish({ user, ...command })
    const [first, ...rest] = users as [string, ...string[]]
    const attempt = (user: string): Promise<Outcome> => send(user).catch(failed)
    const results: Outcome[] = []
    if (key !== undefined || rest.length === 0) {
      const result = await send(first)
      if (result.status === 'conflict') throw new errors.IdempotencyConflict()
      results.push(result, ...(await Promise.all(rest.map(attempt))))
    } else results.push(...(await Promise.all(users.map(attempt))))

    if (results.every(({ status }) => status === 'failed')) throw (results[0] as Extract<Outcome, { status: 'failed' }>).error
    const only = rest.length === 0 ? results[0] : undefined
    if (only?.status === 'full') {
      this.#counters.rejected += 1
      throw parkedFull(only.retryAfterMs)
    }
    return {
      answer: {
        id,
        durability: this.#store.status().durability,
        results: results.map((result, index) => this.#settle(users[index] as string, result))
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

  #settle(user: string, result: Outcome): RecipientResult {
    const counters = this.#counters
    if ('replayed' in result && result.replayed) counters.replayed += 1
    switch (result.status) {
      case 'accepted':
        if (!result.replayed) counters.accepted += 1
        return { user, status: 'accepted', eventId: formatEventId(result), nodes: result.nodes }
      case 'recalled':
        return { user, status: 'accepted', nodes: 0 }
      case 'parked':
        if (!result.replayed) counters.parked += 1
        this.#releaser.schedule(user, result.releaseAt)
        return { user, status: 'parked', releaseAt: result.releaseAt, nodes: 0 }
      case 'full':
        counters.rejected += 1
        return { user, status: 'rejected', code: 'BELFRY_ERR_PARKED_FULL', retryAfterMs: result.retryAfterMs, nodes: 0 }
      case 'conflict':
        counters.rejected += 1
        return { user, status: 'rejected', code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT', nodes: 0 }
      case 'failed':
        return { user, status: 'rejected', code: result.error.code, retryAfterMs: retryAfterOf(result.error) as number, nodes: 0 }
    }
  }
}

/** Returns each recipient once, in the order of the request. */
function recipientsOf({ to }: PublishRequest): string[] {
  return typeof to === 'string' ? [to] : [...new Set(to)]
}

function failed(error: unknown): Outcome {
  if (!isOfStore(error)) throw error
  return { status: 'failed', error: error as BelfryError }
}

/** 429 with the time until there is nothing left to wait behind, in `retryAfterMs`. */
function parkedFull(retryAfterMs: number): Error {
  return Object.assign(new errors.ParkedFull(), { retryAfterMs })
}

/** The notification's JSON without its opening brace and its id: what the store keeps and sockets get. */
function tailOf({ type, title, timestamp = Date.now(), ref, data }: PublishRequest): string {
  return tails.notification({ type, title, timestamp, ref }, data === undefined ? undefined : dataOf(data))
}

function dataOf(data: Record<string, unknown>): string {
  const text = serialized(data)
  if (text !== undefined && Buffer.byteLength(text) <= DATA_MAX_BYTES) return text
  throw new errors.TooLarge(`data may have ${DATA_MAX_BYTES} bytes of JSON: keep a document elsewhere and send a ref to it`)
}

/** undefined when it is nested so deep that the stack does not reach, which needs far more than `DATA_MAX_BYTES`. */
function serialized(data: Record<string, unknown>): string | undefined {
  try {
    return JSON.stringify(data)
  } catch {
    return undefined
  }
}

/** The request with its keys, and those of every object in its data, in one order, but for the recipients. */
function canonical({ type, title, timestamp, ref, data, halfLife }: PublishRequest): unknown {
  return [type, title, timestamp ?? null, ref ?? null, sorted(data ?? null), halfLife ?? 0]
}

/** A JSON value in which the entries of every object are a list in order of their keys. Within `DATA_MAX_BYTES`, nesting is not too deep. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))
  return { entries: entries.map(([key, item]) => [key, sorted(item)]) }
}
