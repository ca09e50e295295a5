import { backoff } from './backoff.ts'
import { BelfryError, errorOf } from './errors.ts'
import type { Http } from './http.ts'
import { OrderedQueue, type QueuedCall } from './ordered-queue.ts'
import { traceHeaders } from './trace.ts'
import type { CallOptions, Problem, PublishedToAudience, PublishedToList, SignalLike, To } from './types.ts'

const REQUESTS_IN_FLIGHT = 4
/** The limits of the service for a batch: items, and bytes of the body. */
const MAX_CALLS = 1000
const MAX_BYTES = 8_388_608
/** Bytes of a body besides its items and the commas between them. */
const FRAME_BYTES = '{"notifications":[]}'.length
/** The code of a recipient for whom the store failed. The service asks for the whole request again, with its key. */
const STORE_UNAVAILABLE = 'BELFRY_ERR_STORE_UNAVAILABLE'

/** The answer to an item of a batch. */
export type ItemAnswer = PublishedToList & Partial<PublishedToAudience>

/** The result of a call in one request. */
type Outcome = ItemAnswer | BelfryError

/** One call of `notify`, from the call until its promise settles. */
interface Call extends QueuedCall {
  /** The item as JSON. */
  text: string
  trace: Record<string, string> | undefined
  /** Milliseconds of the monotonic clock. */
  deadline: number
  signal: SignalLike | undefined
  onAbort: () => void
  resolve(answer: ItemAnswer): void
  reject(error: unknown): void
  /** The last failure. */
  error?: BelfryError
  /** The last answer, in which the store failed for some recipients. */
  partial?: ItemAnswer
}

/**
 * Publishes calls in batches: the first goes at once, and those made while requests are under way go together. A call that fails for a reason that
 * may pass is repeated with its key, until its time is over.
 *
 * Order: see `OrderedQueue`; the keys of a call are its recipients. So the service gets the calls for one user, and for one audience, in the order in
 * which they were made, also if requests fail and are repeated.
 */
export class BatchSender {
  readonly #http: Http
  readonly #queue = new OrderedQueue<Call>()
  /** All calls that have not settled, in the order of their deadlines. */
  readonly #pending = new Set<Call>()
  /** Refused calls that wait for their next attempt, with their timers. */
  readonly #delayed = new Map<readonly Call[], ReturnType<typeof setTimeout>>()
  readonly #whenIdle: (() => void)[] = []
  #inFlight = 0
  #maxBytes = MAX_BYTES - FRAME_BYTES
  #failures = 0
  /** No request is sent before this time of the monotonic clock. */
  #resumeAt = 0
  #resumeTimer: ReturnType<typeof setTimeout> | undefined
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined
  #isFlushing = false

  constructor(http: Http) {
    this.#http = http
  }

  /** Resolves with the answer to the item once it is stored. Rejects with a BelfryError, a TypeError, or the reason of the signal. */
  publish(to: To, item: object, { signal }: CallOptions): Promise<ItemAnswer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw signal.reason
      const text = JSON.stringify(item)
      const call: Call = {
        keys: keysOf(to),
        text,
        bytes: bytesOf(text) + 1,
        trace: traceHeaders(),
        deadline: performance.now() + this.#http.timeoutMs,
        signal,
        onAbort: () => this.#end(call) && reject(signal?.reason),
        resolve,
        reject,
        failures: 0,
        isOver: false
      }
      signal?.addEventListener('abort', call.onAbort, { once: true })
      this.#pending.add(call)
      this.#queue.add(call)
      this.#deadlineTimer ??= setTimeout(() => this.#expire(), this.#http.timeoutMs)
      this.#flushSoon()
    })
  }

  /** Resolves when all calls have settled. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#pending.size === 0) resolve()
      else this.#whenIdle.push(resolve)
    })
  }

  /** Sends after the calls that the app makes right now, as in a loop. */
  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    queueMicrotask(() => {
      this.#isFlushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const waitMs = this.#resumeAt - performance.now()
    if (waitMs > 0 && this.#queue.isReady) {
      this.#resumeTimer ??= setTimeout(() => {
        this.#resumeTimer = undefined
        this.#flush()
      }, waitMs)
      return
    }
    while (this.#inFlight < REQUESTS_IN_FLIGHT && this.#queue.isReady) {
      const batch = this.#queue.take(MAX_CALLS, this.#maxBytes)
      if (batch.length > 0) void this.#send(batch)
    }
  }

  async #send(batch: readonly Call[]): Promise<void> {
    this.#inFlight += 1
    try {
      this.#settle(batch, await this.#post(batch))
      this.#failures = 0
    } catch (error) {
      this.#fail(batch, error as BelfryError)
    }
    this.#inFlight -= 1
    this.#flushSoon()
  }

  /** Returns the outcome of each call. If the service refuses the body, sends its halves, so that only the calls at fault fail. */
  async #post(batch: readonly Call[]): Promise<Outcome[]> {
    const body = `{"notifications":[${batch.map(({ text }) => text).join()}]}`
    const headers = batch.find(({ trace }) => trace !== undefined)?.trace
    try {
      const answer = await this.#http.send({ method: 'POST', path: '/v1/notifications/batch', body, headers })
      return outcomesIn(answer, batch.length)
    } catch (error) {
      const { status, temporary } = error as BelfryError
      if (batch.length === 1 && !temporary) return [error as BelfryError]
      if (status !== 400 && status !== 413) throw error
      // A proxy in front of the service may have a lower limit than the service.
      if (status === 413) this.#maxBytes = Math.min(this.#maxBytes, Math.ceil(body.length / 2))
      const middle = Math.ceil(batch.length / 2)
      return [...(await this.#post(batch.slice(0, middle))), ...(await this.#post(batch.slice(middle)))]
    }
  }

  #settle(batch: readonly Call[], outcomes: readonly Outcome[]): void {
    const again: Call[] = []
    let waitMs = 0
    for (const [index, call] of batch.entries()) {
      if (call.isOver) continue
      const outcome = outcomes[index] as Outcome
      if (outcome instanceof BelfryError) call.error = outcome
      else if (isPartial(outcome)) {
        call.partial = outcome
        call.error = new BelfryError(STORE_UNAVAILABLE, 'The store failed for some recipients', { status: 503, temporary: true })
      } else {
        this.#end(call)
        call.resolve(outcome)
        continue
      }
      call.failures += 1
      const callWaitMs = backoff(call.failures, call.error.retryAfterMs)
      if (call.error.temporary && performance.now() + callWaitMs < call.deadline) {
        again.push(call)
        waitMs = Math.max(waitMs, callWaitMs)
      } else this.#giveUp(call)
    }
    this.#queue.release(batch, again)
    if (again.length > 0)
      this.#delayed.set(
        again,
        setTimeout(() => this.#resume(again), waitMs)
      )
  }

  /** Handles the failure of a whole request. */
  #fail(batch: readonly Call[], error: BelfryError): void {
    if (error.temporary) this.#pause(error.retryAfterMs)
    const again: Call[] = []
    for (const call of batch) {
      if (call.isOver) continue
      call.error = error
      if (error.temporary && this.#resumeAt < call.deadline) again.push(call)
      else this.#giveUp(call)
    }
    this.#queue.putBack(batch, again)
  }

  /** Sends nothing for a while. Requests that fail together count as one failure. */
  #pause(askedMs = 0): void {
    const now = performance.now()
    if (this.#resumeAt <= now) this.#failures += 1
    this.#resumeAt = Math.max(this.#resumeAt, now + Math.min(backoff(this.#failures, askedMs), this.#http.timeoutMs))
  }

  #resume(calls: readonly Call[]): void {
    this.#delayed.delete(calls)
    this.#queue.putBack(calls)
    this.#flush()
  }

  #expire(): void {
    this.#deadlineTimer = undefined
    const now = performance.now()
    for (const call of this.#pending) {
      if (call.deadline > now) {
        this.#deadlineTimer = setTimeout(() => this.#expire(), call.deadline - now)
        return
      }
      this.#giveUp(call)
    }
  }

  #giveUp(call: Call): void {
    if (!this.#end(call)) return
    if (call.partial !== undefined) call.resolve(call.partial)
    else call.reject(call.error ?? new BelfryError('BELFRY_SDK_TIMEOUT', 'There was no result in time', { temporary: true }))
  }

  /** Takes a call out. Returns false if it had settled before. */
  #end(call: Call): boolean {
    if (call.isOver) return false
    call.isOver = true
    call.signal?.removeEventListener('abort', call.onAbort)
    this.#pending.delete(call)
    if (this.#pending.size === 0) this.#idle()
    return true
  }

  /** Clears the timers, so that they do not keep the process alive. */
  #idle(): void {
    clearTimeout(this.#deadlineTimer)
    clearTimeout(this.#resumeTimer)
    this.#deadlineTimer = undefined
    this.#resumeTimer = undefined
    for (const [calls, timer] of this.#delayed) {
      clearTimeout(timer)
      this.#queue.putBack(calls, [])
    }
    this.#delayed.clear()
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }
}

/** @throws BelfryError if the answer is not that of a batch */
function outcomesIn(answer: unknown, count: number): Outcome[] {
  const { results } = (answer ?? {}) as { results?: (ItemAnswer | { problem: Problem })[] }
  if (results?.length !== count) throw new BelfryError('BELFRY_SDK_HTTP', 'The answer does not have one result for each notification')
  return results.map((result) => ('problem' in result ? errorOf(result.problem.status, result.problem) : result))
}

/** Returns the keys of the order: the users, or one of the audience, which no user can have. */
function keysOf(to: To): readonly string[] {
  if (typeof to === 'string') return [to]
  if ('length' in to) return [...new Set(to)]
  return [`\0${'topic' in to ? to.topic : ''}`]
}

/** Returns at least the number of bytes of a text in UTF-8. */
function bytesOf(text: string): number {
  return /^[\0-\x7f]*$/.test(text) ? text.length : text.length * 3
}

function isPartial({ results }: ItemAnswer): boolean {
  return results.some((result) => result.status === 'rejected' && result.code === STORE_UNAVAILABLE)
}
