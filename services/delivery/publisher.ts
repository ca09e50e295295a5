import { type BelfryError, errors, isOfStore } from '../errors.ts'
import { keyedId, newId } from '../ids.ts'
import type { Counters } from '../node/counters.ts'
import { retryAfterOf } from '../problem.ts'
import { type Action, formatEventId, type Urgency } from '../protocol/index.ts'
import { tails } from '../store/row.ts'
import type { Durability, PublishOptions, PublishResult, ReachRule, Store, Unless } from '../store/store.ts'
import { carryOutBatch } from './batch.ts'
import type { UserClock } from './user-clock.ts'

/** Maximum size of `data`, bytes of JSON. */
const DATA_MAX_BYTES = 4096

/** Longest time from a publish to its delivery, milliseconds. */
const SCHEDULE_AHEAD_MS = 30 * 24 * 3600 * 1000

const PUSH_RULE: ReachRule = { afterMs: 3000, unless: 'delivered' }

/** The rule for what a request leaves out of `fallback`. Its `after` is never left out. */
const FALLBACK_RULE: ReachRule = { afterMs: 0, unless: 'read' }

const LEVELS: Readonly<Record<Urgency, number>> = { high: 1, normal: 0, low: -1, 'very-low': -2 }

/** A valid request to publish. `timestamp` is Unix milliseconds, `halfLife` seconds. */
export interface PublishRequest {
  to: string | string[]
  type: string
  title: string
  timestamp?: number
  ref?: string
  data?: Record<string, unknown>
  halfLife?: number
  /** Unix milliseconds. Not together with `ttl`. */
  expiresAt?: number
  /** Seconds from the acceptance, or from `deliverAt` if that is given. */
  ttl?: number
  collapseKey?: string
  urgency?: Urgency
  /** Unix milliseconds. A time in the past means now. */
  deliverAt?: number
  actions?: Action[]
  /** Default: as the settings say. */
  push?: false | RequestedReach
  fallback?: RequestedReach & { after: number }
}

/** A rule for a push or a fallback. `after` is seconds. */
interface RequestedReach {
  after?: number
  unless?: Unless
}

/** The result of a publish for one recipient. */
export type RecipientResult =
  | { user: string; status: 'accepted'; eventId?: string; nodes: number }
  | { user: string; status: 'parked'; releaseAt: number; nodes: number }
  | { user: string; status: 'scheduled'; deliverAt: number; nodes: number }
  | { user: string; status: 'rejected'; code: string; retryAfterMs?: number; nodes: number }

export interface PublishAnswer {
  id: string
  durability: Durability
  results: RecipientResult[]
}

/** `failed`: the store refused the publish, or its answer was lost. */
type Outcome = PublishResult | { status: 'failed'; error: BelfryError }

/** `replayed`: an earlier request with the same key was carried out, and this one wrote nothing. */
interface PublishOutcome {
  answer: PublishAnswer
  replayed: boolean
}

/** One item of a batch: a valid request with its Idempotency-Key, or the error that refuses the item. */
export type BatchItem = { request: PublishRequest; key: string | undefined } | { error: Error }

/** The result of one item of a batch. */
type BatchResult = PublishAnswer | { error: Error }

/**
 * Publishes notifications. For each recipient, one step of the store appends the row and wakes the nodes that hold the user. The publisher never
 * asks whether a user is online.
 */
export class Publisher {
  readonly #store: Store
  readonly #clock: UserClock
  readonly #counters: Counters
  readonly #pushRule: ReachRule

  /** @param pushRule the rule for what a request leaves out of `push`; default: that of `PUSH_AFTER_SECONDS` and `PUSH_UNLESS` without a value */
  constructor(store: Store, clock: UserClock, counters: Counters, pushRule = PUSH_RULE) {
    this.#store = store
    this.#clock = clock
    this.#counters = counters
    this.#pushRule = pushRule
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
    const users = recipientsOf(request)
    const lifetime = lifetimeOf(request, this.#store.now(), key !== undefined)
    const tail = tailOf(request, lifetime)
    const id = key === undefined ? newId() : keyedId(publisher, key, JSON.stringify([users, canonical(request)]))
    const command = {
      id,
      keyed: key !== undefined,
      tail,
      halfLife: request.halfLife ?? 0,
      options: optionsOf(request, lifetime, this.#pushRule)
    }

    const send = (user: string): Promise<PublishResult> => this.#store.publish({ user, ...command })
    const [first, ...rest] = users as [string, ...string[]]
    const attempt = (user: string): Promise<Outcome> => send(user).catch(failed)
    const results: Outcome[] = []
    if (key !== undefined || rest.length === 0) {
      const result = await send(first)
      if (result.status === 'conflict') throw new errors.IdempotencyConflict()
      if (result.status === 'expired') throw expiredError()
      results.push(result, ...(await Promise.all(rest.map(attempt))))
    } else results.push(...(await Promise.all(users.map(attempt))))

    if (results.every(({ status }) => status === 'failed')) throw (results[0] as Extract<Outcome, { status: 'failed' }>).error
    const only = rest.length === 0 ? results[0] : undefined
    if (only?.status === 'full' || only?.status === 'scheduledFull') {
      this.#counters.rejected += 1
      throw fullError(only)
    }
    return {
      answer: {
        id,
        durability: this.#store.status().durability,
        results: results.map((result, index) => this.#settle(users[index] as string, result, lifetime.expiresAt))
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

  #settle(user: string, result: Outcome, expiresAt: number): RecipientResult {
    const counters = this.#counters
    if (expiresAt > 0 && (result.status === 'accepted' || result.status === 'parked')) this.#clock.schedule(user, expiresAt)
    if ('replayed' in result && result.replayed) counters.replayed += 1
    switch (result.status) {
      case 'accepted':
        if (!result.replayed) counters.accepted += 1
        if (result.checkAt !== undefined) this.#clock.schedule(user, result.checkAt)
        return { user, status: 'accepted', eventId: formatEventId(result), nodes: result.nodes }
      case 'recalled':
        return { user, status: 'accepted', nodes: 0 }
      case 'parked':
        if (!result.replayed) counters.parked += 1
        this.#clock.schedule(user, result.releaseAt)
        return { user, status: 'parked', releaseAt: result.releaseAt, nodes: 0 }
      case 'scheduled':
        if (!result.replayed) counters.scheduled += 1
        this.#clock.schedule(user, result.deliverAt)
        return { user, status: 'scheduled', deliverAt: result.deliverAt, nodes: 0 }
      case 'full':
      case 'scheduledFull':
        counters.rejected += 1
        return { user, status: 'rejected', code: fullError(result).code, retryAfterMs: result.retryAfterMs, nodes: 0 }
      case 'expired':
        counters.rejected += 1
        return { user, status: 'rejected', code: expiredError().code, nodes: 0 }
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

/** Returns the error of a publish to a user with `PARKED_MAX` parked or `SCHEDULED_MAX` scheduled notifications. */
function fullError({ status, retryAfterMs }: { status: 'full' | 'scheduledFull'; retryAfterMs: number }): BelfryError {
  const error = status === 'full' ? new errors.ParkedFull() : new errors.ScheduledFull()
  return Object.assign(error, { retryAfterMs })
}

/** Returns the error of a publish whose `expiresAt` has passed, or comes before the delivery. */
function expiredError(): BelfryError {
  return new errors.InvalidRequest('expiresAt must be in the future, and after deliverAt; it is Unix milliseconds')
}

/** The times of a notification, Unix milliseconds; 0: none. */
interface Lifetime {
  deliverAt: number
  expiresAt: number
}

/**
 * Returns the times of a notification.
 *
 * @param now the store's clock, Unix milliseconds
 * @param keyed the request may be a late repeat: the store refuses an `expiresAt` in the past, unless it knows the key
 * @throws InvalidRequest if the times are out of range, or the notification would expire before it is delivered
 */
function lifetimeOf({ deliverAt = 0, expiresAt, ttl }: PublishRequest, now: number, keyed: boolean): Lifetime {
  const isScheduled = deliverAt > now
  if (expiresAt !== undefined && ttl !== undefined) throw new errors.InvalidRequest('give either expiresAt or ttl')
  if (isScheduled && deliverAt > now + SCHEDULE_AHEAD_MS) throw new errors.InvalidRequest('deliverAt may be up to 30 days ahead')
  const from = isScheduled ? deliverAt : now
  if (expiresAt !== undefined && expiresAt <= from && !(keyed && expiresAt > deliverAt)) throw expiredError()
  return { deliverAt: isScheduled ? deliverAt : 0, expiresAt: ttl === undefined ? (expiresAt ?? 0) : from + ttl * 1000 }
}

/** Returns the options that the store acts on; undefined if the notification has none. */
function optionsOf(
  { actions, collapseKey, urgency = 'normal', push, fallback }: PublishRequest,
  { deliverAt, expiresAt }: Lifetime,
  pushRule: ReachRule
): PublishOptions | undefined {
  const hasTimes = deliverAt > 0 || expiresAt > 0
  const isPlain = !hasTimes && [actions, collapseKey, push, fallback].every((option) => option === undefined) && urgency === 'normal'
  if (isPlain) return undefined
  return {
    deliverAt,
    expiresAt,
    level: LEVELS[urgency],
    ...(collapseKey !== undefined && { collapseKey }),
    ...(actions !== undefined && { actions: namesOf(actions) }),
    ...(push !== undefined && { push: push && ruleOf(push, pushRule) }),
    ...(fallback !== undefined && { fallback: ruleOf(fallback, FALLBACK_RULE) })
  }
}

/** Returns the rule of a request, with the parts that it leaves out from another rule. */
function ruleOf({ after, unless }: RequestedReach, rule: ReachRule): ReachRule {
  return { afterMs: after === undefined ? rule.afterMs : Math.round(after * 1000), unless: unless ?? rule.unless }
}

/** Returns the names of actions. Throws InvalidRequest if two actions have the same name. */
function namesOf(actions: Action[]): string[] {
  const names = actions.map(({ action }) => action)
  if (new Set(names).size < names.length) throw new errors.InvalidRequest('the actions of a notification must have different names')
  return names
}

/** Returns the row's tail: the JSON of the notification without its opening brace and its id. */
function tailOf(request: PublishRequest, { deliverAt, expiresAt }: Lifetime): string {
  const { type, title, ref, collapseKey, urgency, actions, data } = request
  const timestamp = request.timestamp ?? (deliverAt > 0 ? deliverAt : Date.now())
  const options = {
    expiresAt: expiresAt > 0 ? expiresAt : undefined,
    collapseKey,
    urgency: urgency === 'normal' ? undefined : urgency,
    actions
  }
  return tails.notification({ type, title, timestamp, ref, ...options }, data === undefined ? undefined : dataOf(data))
}

function dataOf(data: Record<string, unknown>): string {
  const text = serialized(data)
  if (text !== undefined && Buffer.byteLength(text) <= DATA_MAX_BYTES) return text
  throw new errors.TooLarge(`data may have ${DATA_MAX_BYTES} bytes of JSON: keep a document elsewhere and send a ref to it`)
}

/** Returns undefined if the nesting exhausts the stack. Such data is far larger than `DATA_MAX_BYTES`. */
function serialized(data: Record<string, unknown>): string | undefined {
  try {
    return JSON.stringify(data)
  } catch {
    return undefined
  }
}

/** Returns the request without its recipients, in a form that does not depend on the order of the keys in it. */
function canonical({ to: _to, type, title, timestamp, ref, data, halfLife, ...options }: PublishRequest): unknown {
  const common = [type, title, timestamp ?? null, ref ?? null, sorted(data ?? null), halfLife ?? 0]
  return Object.keys(options).length === 0 ? common : [...common, sorted(options)]
}

/** Returns a JSON value whose objects are lists of entries, sorted by key. Nesting within `DATA_MAX_BYTES` cannot exhaust the stack. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))
  return { entries: entries.map(([key, item]) => [key, sorted(item)]) }
}
