import { errors } from '../errors.ts'
import type { Action, Urgency } from '../protocol/index.ts'
import type { Audience } from '../store/audiences.ts'
import { tails } from '../store/row.ts'
import type { PublishOptions, ReachRule, Unless } from '../store/store.ts'
import { expiredError } from './recipient-result.ts'

/** Maximum size of `data`, bytes of JSON. */
const DATA_MAX_BYTES = 4096

/** Longest time from a publish to its delivery, milliseconds. */
const SCHEDULE_AHEAD_MS = 30 * 24 * 3600 * 1000

/** Most fields of a JSON object that insertion sorts faster than `sort`. */
const FEW_NAMES = 8

const PUSH_RULE: ReachRule = { afterMs: 3000, unless: 'delivered' }

/** The rule for what a request leaves out of `fallback`. Its `after` is never left out. */
const FALLBACK_RULE: ReachRule = { afterMs: 0, unless: 'read' }

const LEVELS: Readonly<Record<Urgency, number>> = { high: 1, normal: 0, low: -1, 'very-low': -2 }

/** The members of a topic, or every user. Those in `except` do not get the notification. */
type RequestedAudience = { topic: string; except?: string[] } | { everyone: true; except?: string[] }

/** A valid request to publish. `timestamp` is Unix milliseconds, `halfLife` seconds. */
export interface PublishRequest {
  to: string | string[] | RequestedAudience
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

/** A notification of a request, in the form in which the store publishes it to each recipient. `expiresAt` is Unix milliseconds; 0: never. */
export interface Publication {
  tail: string
  halfLife: number
  options: PublishOptions | undefined
  expiresAt: number
}

/** Returns each recipient once, in the order of the request; none if the request is for an audience. */
export function recipientsOf({ to }: PublishRequest): string[] {
  if (typeof to === 'string') return [to]
  return Array.isArray(to) ? [...new Set(to)] : []
}

/** Returns the audience of a request; undefined if it is for recipients by name. */
export function audienceOf({ to }: PublishRequest): Audience | undefined {
  if (typeof to === 'string' || Array.isArray(to)) return undefined
  const except = [...new Set(to.except)]
  return 'topic' in to ? { topic: to.topic, except } : { everyone: true, except }
}

/**
 * Reads a valid request.
 *
 * @param now the store's clock, Unix milliseconds
 * @param keyed the request has an Idempotency-Key
 * @param pushRule the rule for what the request leaves out of `push`
 * @throws InvalidRequest, TooLarge
 */
export function publicationOf(request: PublishRequest, now: number, keyed: boolean, pushRule: ReachRule = PUSH_RULE): Publication {
  const lifetime = lifetimeOf(request, now, keyed)
  const { halfLife = 0 } = request
  return { tail: tailOf(request, lifetime), halfLife, options: optionsOf(request, lifetime, pushRule), expiresAt: lifetime.expiresAt }
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
  const hasReach = push !== undefined || fallback !== undefined
  if (!hasTimes && !hasReach && actions === undefined && collapseKey === undefined && urgency === 'normal') return undefined
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
  const head = {
    type,
    title,
    timestamp,
    ref,
    expiresAt: expiresAt > 0 ? expiresAt : undefined,
    collapseKey,
    urgency: urgency === 'normal' ? undefined : urgency,
    actions
  }
  return tails.notification(head, data === undefined ? undefined : dataOf(data))
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

/**
 * Returns the request without its recipients, in a form that does not depend on the order of the keys in it, nor on whether it has a default that
 * never changes. A default of the settings is another content than that which is left out: the settings may change between two attempts.
 */
export function canonical({ to: _to, type, title, timestamp, ref, data, halfLife, ...options }: PublishRequest): unknown {
  const common = [type, title, timestamp ?? null, ref ?? null, sorted(data ?? null), halfLife ?? 0]
  const written = withoutDefaults(options)
  return Object.keys(written).length === 0 ? common : [...common, sorted(written)]
}

function withoutDefaults({ urgency, push, fallback, ...options }: Partial<PublishRequest>): Partial<PublishRequest> {
  const { unless, ...check } = fallback ?? {}
  return {
    ...options,
    ...(urgency !== undefined && urgency !== 'normal' && { urgency }),
    ...(push !== undefined && !isEmpty(push) && { push }),
    ...(fallback !== undefined && { fallback: unless === FALLBACK_RULE.unless ? check : fallback })
  } as Partial<PublishRequest>
}

function isEmpty(push: false | RequestedReach): boolean {
  return push !== false && Object.keys(push).length === 0
}

/** Returns a JSON value whose objects are lists of entries, sorted by key. Nesting within `DATA_MAX_BYTES` cannot exhaust the stack. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const names = inOrder(Object.keys(value))
  return { entries: names.map((name) => [name, sorted((value as Record<string, unknown>)[name])]) }
}

/** Sorts a few names by their UTF-16 units, as `sort` does, which allocates ten times their size for it. */
function inOrder(names: string[]): string[] {
  if (names.length > FEW_NAMES) return names.sort()
  for (let i = 1; i < names.length; i++) {
    const name = names[i] as string
    let at = i
    for (; at > 0 && (names[at - 1] as string) > name; at--) names[at] = names[at - 1] as string
    names[at] = name
  }
  return names
}
