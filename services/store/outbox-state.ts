import { insertSorted } from './due.ts'
import type { CallEvent, CallReceipt, PushSubscription } from './outbox.ts'
import type { Unless } from './reach-rule.ts'

/**
 * A check that is due at `at`, Unix milliseconds: if somebody has looked at a notification in the log (`push`, `fallback`), or if a user has a
 * connection. The user is online while there is one of the latter: `watch`, or `leave` after they left a node.
 */
export interface Check {
  kind: 'push' | 'fallback' | 'watch' | 'leave'
  at: number
  unless: Unless
  /** Id of the notification, and its offset; '' and 0 for a check of connections. */
  id: string
  offset: number
}

/** A call to a receiver, which waits or is leased. */
export interface Call {
  /** Calls are numbered together with the waiting notifications of the user. */
  no: number
  /** The epoch of the log when the call was made: `no` begins again after the user was erased. */
  epoch: string
  lane: string
  event: CallEvent
  /** Id of the notification, and its offset in the log; 0 if it was not in the log. */
  id: string
  offset: number
  /** The device to push to; '' for a webhook. */
  deviceId: string
  /** The state of the notification that makes the call unnecessary; undefined: none does. */
  unless: Unless | undefined
  /** JSON of what happened; '' if the lease tells how the notification is then. */
  data: string
  /** Number of times that the call was leased. */
  attempts: number
  /** Time at which the call was made, Unix milliseconds. */
  madeAt: number
  /** Time of the next attempt, Unix milliseconds; for a leased call, the end of the lease. */
  at: number
}

/** The part of a user's state that concerns calls to receivers. */
export interface OutboxState {
  /** Push subscription by device. */
  subscriptions: Map<string, PushSubscription>
  /** The checks of notifications in the log, those first that are due first. */
  checks: Check[]
  /** Call by number, in ascending order of number. */
  calls: Map<number, Call>
  /** Receipts of ended calls by the offset of their notification. */
  receipts: Map<number, CallReceipt[]>
}

export type OutboxEffect =
  | { type: 'subscribe'; subscription: PushSubscription }
  | { type: 'unsubscribe'; deviceId: string }
  | { type: 'check'; check: Check }
  /** Removes a check that was carried out or is not needed any more. */
  | { type: 'endCheck'; offset: number; kind: Check['kind'] }
  /** Keeps a call, in place of the one with its number. */
  | { type: 'call'; call: Call }
  | { type: 'endCall'; no: number }
  /** Replaces the receipts of the notification at an offset; removes them if there are none. */
  | { type: 'receipts'; offset: number; receipts: CallReceipt[] }

export function emptyOutbox(): OutboxState {
  return { subscriptions: new Map(), checks: [], calls: new Map(), receipts: new Map() }
}

/** Returns whether an effect concerns the outbox. */
export function isOutboxEffect(effect: { type: string }): effect is OutboxEffect {
  return ['subscribe', 'unsubscribe', 'check', 'endCheck', 'call', 'endCall', 'receipts'].includes(effect.type)
}

export function evolveOutbox(state: OutboxState & { parkNo: number }, effect: OutboxEffect): void {
  switch (effect.type) {
    case 'subscribe':
      state.subscriptions.set(effect.subscription.deviceId, effect.subscription)
      break
    case 'unsubscribe':
      state.subscriptions.delete(effect.deviceId)
      break
    case 'check':
      insertSorted(state.checks, effect.check, isCheckedBefore)
      break
    case 'endCheck': {
      const { offset, kind } = effect
      state.checks = state.checks.filter((check) => check.offset !== offset || check.kind !== kind)
      break
    }
    case 'call':
      state.calls.set(effect.call.no, effect.call)
      state.parkNo = Math.max(state.parkNo, effect.call.no)
      break
    case 'endCall':
      state.calls.delete(effect.no)
      break
    case 'receipts':
      if (effect.receipts.length > 0) state.receipts.set(effect.offset, effect.receipts)
      else state.receipts.delete(effect.offset)
      break
  }
}

/** Returns whether a check is one of the user's connections. */
export function isOfPresence({ kind }: Check): boolean {
  return kind === 'watch' || kind === 'leave'
}

/** Tells the order of checks: by time, then by kind, condition and offset. */
function isCheckedBefore(one: Check, other: Check): boolean {
  if (one.at !== other.at) return one.at < other.at
  return orderOf(one) === orderOf(other) ? one.offset < other.offset : orderOf(one) < orderOf(other)
}

function orderOf({ kind, unless }: Check): string {
  return kind.charAt(0) + unless.charAt(0)
}

const NO_TIMES: ReadonlyMap<string, number> = new Map()

/** Returns the time of the nearest call in each lane that has calls, Unix milliseconds. */
export function nearestByLane({ calls }: OutboxState): ReadonlyMap<string, number> {
  if (calls.size === 0) return NO_TIMES
  const nearest = new Map<string, number>()
  for (const { lane, at } of calls.values()) nearest.set(lane, Math.min(at, nearest.get(lane) ?? at))
  return nearest
}
