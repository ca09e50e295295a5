import type { InboxItem } from './commands.ts'
import type { UnreadCounts } from './row.ts'

export type { CallReceipt } from './call-receipt.ts'
export type { ReachRule, Unless } from './reach-rule.ts'

/** The calls that leave Belfry: Web Push and webhooks. Commands of `Outbox`, and their results. */

/** The occasion of a call. All but `push` are webhooks. */
export type CallEvent = 'push' | WebhookEvent

/** An event of which webhooks tell. */
export type WebhookEvent = 'notification.fallback' | 'notification.answered' | 'notification.expired' | PresenceEvent

/** An event of a user who came online, or went offline. */
export type PresenceEvent = 'user.online' | 'user.offline'

/** The first connection of a user on a node, or the end of the last one there. */
export type PresenceChange = 'arrived' | 'left'

/** Times of presence, milliseconds. */
export interface PresenceTimes {
  /** Time without a connection after which a user is offline. */
  graceMs: number
  /** Period at which the connections of an online user are checked, so that the death of their nodes is noticed. */
  checkMs: number
}

/** The lane of all webhooks. A push has the lane of its subscription. */
export const WEBHOOK_LANE = 'webhook'

/** The push subscription of a device. */
export interface PushSubscription {
  deviceId: string
  /** The URL to which pushes are sent. Without spaces, as every serialized URL. */
  endpoint: string
  /** The public key of the browser and the secret that both share, base64url. */
  p256dh: string
  auth: string
  /** Unix milliseconds; 0: never. The store keeps it, and does not act on it. */
  expirationTime: number
  /**
   * The receiver: calls of one lane are leased together, so that a receiver that hangs holds up its own lane only. 1 to 255 characters, without
   * spaces. The caller derives it from the endpoint.
   */
  lane: string
}

/** A call that was leased: what is common to all. `user`, `epoch` and `no` together are unique, and stay the same in every attempt. */
interface LeasedCallBase {
  user: string
  /** The epoch of the user's log when the call was made. */
  epoch: string
  /** Number of the call among the waiting notifications and calls of the user. */
  no: number
  lane: string
  /** Number of this attempt, from 1. `settle` needs it. */
  attempt: number
  /** Time at which this attempt was due, Unix milliseconds. */
  dueAt: number
  /** Time at which the call was made, Unix milliseconds. */
  madeAt: number
}

/** A push to a device, with the notification as it is now. */
export interface LeasedPush extends LeasedCallBase, UnreadCounts {
  event: 'push'
  item: InboxItem
  subscription: PushSubscription
}

/** A webhook for a notification that nobody has looked at. */
export interface LeasedFallback extends LeasedCallBase {
  event: 'notification.fallback'
  item: InboxItem
  /** Devices of the user. `received`: the device has received the notification. `at` is when it last acknowledged or first connected. */
  devices: { deviceId: string; received: boolean; at: number }[]
}

/** A webhook for something that happened. */
export interface LeasedEvent extends LeasedCallBase {
  event: 'notification.answered' | 'notification.expired' | PresenceEvent
  /**
   * JSON of what happened. `notification.answered`: `{id, action, answeredAt, deviceId}`. `notification.expired`: `{id, type}`.
   * `user.online`, `user.offline`: `{at}`, Unix milliseconds.
   */
  data: string
}

export type LeasedCall = LeasedPush | LeasedFallback | LeasedEvent

export interface LeaseCommand {
  lane: string
  /** Calls to lease at most. */
  limit: number
  /** Leases calls of this user only. Default: calls of all users of this node's share, about in the order of their times. */
  user?: string | undefined
}

export interface LeaseResult {
  calls: LeasedCall[]
  /** Number of calls that were dropped instead, because the reason for them no longer holds. */
  dropped: number
}

/** A call that was carried out, by what `lease` told of it. */
export interface SettleCommand {
  user: string
  epoch: string
  no: number
  /** Tells the call from another one of the same number, which a store has after it lost its latest writes. */
  madeAt: number
  attempt: number
  outcome: CallOutcome
}

export type CallOutcome =
  /** The receiver took the call. It counts also if the lease has run out. */
  | { status: 'done' }
  /** The call is due again at a time, Unix milliseconds. Ignored if the lease has run out and the call was leased again. */
  | { status: 'retry'; at: number }
  /**
   * The call was not sent: it is due again at once, and the attempt does not count. Ignored as for `retry`. The next lease has the same number of
   * attempt, so that this outcome must not be told again if the store failed.
   */
  | { status: 'unsent' }
  /** The receiver will never take it. Ignored as for `retry`. */
  | { status: 'givenUp' }
  /**
   * The subscription does not exist any more: it is removed, and so are its calls. If the device has another endpoint by now, the call is due at
   * once, for that one; ignored as for `retry`.
   */
  | { status: 'gone'; endpoint: string }

/**
 * The outbox of a store: push subscriptions, and the calls that are to be made. A call is a row of its user's state.
 *
 * **Checks.** A check asks, some time after a notification was appended, whether somebody has looked at it. The store keeps the check in the step
 * that appends a notification which a push or a fallback may follow. `Store.advance` carries out the checks that are due. If nobody has looked by
 * then, it makes the calls in the same step: one for each subscription, or one for the fallback. A notification that is answered, retracted,
 * replaced, trimmed, or expired drops its checks.
 *
 * **Written once, carried out at least once.** A call is written in the same step as what caused it, so it is neither lost nor written twice.
 * It is leased for `LEASE_MS` to the node that carries it out. If the node dies, the call is due again when the lease runs out.
 *
 * **Still wanted.** A lease checks the reason again. A push or a fallback for a notification that was read in time (`unless`), answered, or is
 * no longer in the log is dropped, not handed out.
 *
 * **Lanes.** Calls to one receiver share a lane, and each lane has an index of its own over the users. Waiting calls cost nothing to other
 * lanes, to publishes, and to the users' clocks.
 *
 * **Presence.** A user is online from `notePresence` with `arrived`. A check then looks at the registry, every `checkMs`, or `graceMs` after `left`. When
 * it finds no connection on a live node, the user is offline. `arrived` follows the attach, and `left` precedes the detach, so that the grace begins
 * before the last connection is out of the registry; only the death of a node ends presence without it.
 *
 * **Receipts.** The end of a push or a fallback is kept with the user's state until its notification leaves the log. `Store.find` shows it.
 *
 * **Bounded.** A user has at most `MAX_CALLS` calls; one more drops the oldest. `AdvanceResult.dropped` counts those that `advance` dropped. A call
 * that nobody has leased for `MAX_OVERDUE_MS`, because its lane is no longer configured, ends when rows are trimmed or another call is made. A user
 * has at most `MAX_RECEIPTS` receipts.
 *
 * Errors and time are those of `Store`.
 */
export interface Outbox {
  /**
   * Keeps the push subscription of a device, in place of the one it had. Calls that wait for the device follow it to the new lane. Resolves with
   * `full`, and writes nothing, if other devices of the user have `MAX_SUBSCRIPTIONS`.
   */
  putSubscription(user: string, subscription: PushSubscription): Promise<'kept' | 'full'>

  /** Removes the subscription of a device, and the calls that wait for it. Resolves with false if there is none. */
  deleteSubscription(user: string, deviceId: string): Promise<boolean>

  /** Lists the subscriptions of a user, by device. */
  subscriptions(user: string): Promise<PushSubscription[]>

  /** Leases calls that are due. Each is leased to nobody else for `LEASE_MS`; then it is due again, unless it was settled. */
  lease(command: LeaseCommand): Promise<LeaseResult>

  /** Ends a call, or schedules its next attempt. Resolves with false, and writes nothing, if the call is unknown or was leased again. */
  settle(command: SettleCommand): Promise<boolean>

  /** Notes that a user arrived on a node or left it. Resolves with true if that made a call in the lane of the webhooks. */
  notePresence(user: string, change: PresenceChange): Promise<boolean>
}
