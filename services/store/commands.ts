import type { Answer, GapReason, Position, State } from '../protocol/index.ts'
import type { CallReceipt } from './call-receipt.ts'
import type { ReachRule } from './reach-rule.ts'
import type { UnreadCounts } from './row.ts'

/** Commands of `Store`, and their results. */

/** A place in one log, without the tag of its row. An offset means nothing without its epoch. */
export type LogPlace = Pick<Position, 'epoch' | 'offset'>

export interface PublishCommand {
  user: string
  /** 20 characters of base64url. If `keyed`, the first 12 stand for the key and the rest for the body; else all are random. */
  id: string
  /** The id was made from an Idempotency-Key: ids with the same first 12 characters are appended once. */
  keyed: boolean
  /** The tail of the row, from `tails.notification`. */
  tail: string
  /** Seconds in which a parked notification loses half its worth; 0: never. */
  halfLife: number
  options?: PublishOptions | undefined
  /** Start of the broadcast whose member the user is, Unix milliseconds; default: the publish is of no broadcast. */
  broadcastAt?: number | undefined
}

/** Options of a notification that the store acts on. Those that devices need are in the tail as well. */
export interface PublishOptions {
  /** Unix milliseconds, after `deliverAt`. Default 0: the notification does not expire. */
  expiresAt?: number
  /**
   * 1 to 64 printable characters. At most one notification of a key is in the log, one parked and one scheduled: a new one takes the place of
   * the old. Default '': none.
   */
  collapseKey?: string
  /** Urgency: 1 high, 0 normal, -1 low, -2 very low. Parked notifications of a higher level are released first. Default 0. */
  level?: number
  /** Time of delivery, Unix milliseconds. A time that is not after the store's clock means now. Default 0. */
  deliverAt?: number
  /** Names of the actions that the notification offers, at most three: `[a-z0-9_-]{1,32}`. Default none. */
  actions?: string[]
  /** The rule for pushing the notification to the push subscriptions of the user; false: it is not pushed. Default: the rule of the settings. */
  push?: false | ReachRule
  /** The rule for a webhook which tells that nobody has looked at the notification. Default: none. */
  fallback?: ReachRule
}

export type PublishResult =
  /**
   * The notification is in the log, and `nodes` nodes were woken. If `replayed`, nothing was written: the key was used before, and this is where
   * the first notification is. Then `id8` is '' if its row was trimmed, and the position is that of the digest if it was folded. `checkAt` is
   * present if a push or a fallback may follow: the time at which `advance` is to check it, Unix milliseconds.
   */
  | { status: 'accepted'; epoch: string; offset: number; id8: string; nodes: number; replayed: boolean; checkAt?: number }
  /** The notification is parked. It is expected to be released at `releaseAt`, Unix milliseconds. */
  | { status: 'parked'; releaseAt: number; replayed: boolean }
  /** The notification is scheduled. If `replayed`, `deliverAt` is that of the first publish. Unix milliseconds. */
  | { status: 'scheduled'; deliverAt: number; replayed: boolean }
  /** The store wrote nothing: `scheduledMax` notifications are scheduled. The store delivers the next one in `retryAfterMs`. */
  | { status: 'scheduledFull'; retryAfterMs: number }
  /** The store wrote nothing: the first notification with the key was recalled, or expired, before it was in the log. */
  | { status: 'recalled'; replayed: true }
  /** The store wrote nothing: `expiresAt` is not after the store's clock. */
  | { status: 'expired' }
  /** The store wrote nothing: the user was erased after the start of the broadcast (`broadcastAt`), and is no member any more. */
  | { status: 'erased' }
  /** The store wrote nothing: `parkedMax` notifications are parked. The store releases all of them within `retryAfterMs`. */
  | { status: 'full'; retryAfterMs: number }
  /** The store wrote nothing: an earlier publish used the key with another body. */
  | { status: 'conflict' }

/** One connection, as the registry lists it. `connectedAt` is Unix milliseconds. */
export interface ConnectionInfo {
  connectionId: string
  deviceId: string
  node: string
  connectedAt: number
  address: string
}

/** The start of a cursor: a position, one end of the log, the device's stored cursor, or text that is not an event id (`unknown`). */
export type Start = { at: 'position'; position: Position } | { at: 'earliest' } | { at: 'latest' } | { at: 'device' } | { at: 'unknown' }

/** Bounds of one read. */
export interface ReadBounds {
  /**
   * The highest place of the user's log that this node got from the store; undefined: none. It is never taken from a client.
   *
   * If the log ends below it, the store lost rows. The step then fences the lost offsets off (`MAX_FENCE`), so that no offset is given out twice.
   */
  seen: LogPlace | undefined
  /** Rows to return at most. */
  limit: number
  /** The rows end with the one that brings their sum to this many bytes: at least one row is returned. Default: no bound. */
  bytes?: number | undefined
}

export interface AttachCommand extends ReadBounds {
  user: string
  deviceId: string
  start: Start
  /** All connections of the user on this node, the new one included. They replace those that the registry holds for this node. */
  connections: ConnectionInfo[]
  /**
   * Id of the new connection, if it may take the place of others. When the user has more than `maxConnections`, it displaces the oldest
   * connections of its device: those before it in `connections`, and those of other nodes.
   */
  newcomer?: string | undefined
  /**
   * The position up to which the device has received everything for certain, if its connection was open before: the newest that it acknowledged,
   * or where it started. It becomes the cursor of a device that has none, also if there is a gap. It is undefined for a new connection, because a
   * bad `last_event_id` changes nothing in the store.
   */
  received?: Position | undefined
  /** Time at which the token was issued, Unix milliseconds. The attach is refused if the token was revoked since (`isRevoked`). */
  issuedAt: number
}

export interface ReadCommand extends ReadBounds {
  user: string
  position: Position
}

/** A part of a log, from a cursor on. */
export interface Backlog extends UnreadCounts {
  epoch: string
  /** Offset of the newest row; 0 before the first. */
  top: number
  /** Tag of the newest row; '' before the first. */
  topId8: string
  /** The cursor before the rows: `rows[i]` has offset `start.offset + 1 + i`. */
  start: Position
  /** The cursor was known: a position was given, or the device had one stored. */
  resumed: boolean
  /** Rows that cannot be delivered: the log does not continue the position asked for. `rows` then begin with the oldest retained row. */
  gap: { reason: GapReason; from: string; to: string; count: number } | undefined
  /** Contiguous rows in the format of `row.ts`. */
  rows: Buffer[]
  /** The current state of each notification that `rows` name, by id; those that are `unread` are left out. */
  states: Map<string, State>
  /** The answers to notifications among the rows, by id. */
  answers: Map<string, Answer>
  parked: number
  /** Time until the oldest retained row expires, milliseconds; 0 if there is none. */
  expiresInMs: number
}

export type AttachResult =
  /** `displaced` are ids of connections of this node, which has to close them. The other nodes are told by `kick`. */
  | { status: 'attached'; backlog: Backlog; displaced: string[] }
  /** Not registered: the token was revoked. */
  | { status: 'revoked' }
  /**
   * Not registered: the user has `maxConnections` connections. `silentMs` is present if other nodes hold some of them: the time since the last
   * heartbeat of the node that was silent longest. If that node is dead, its connections will soon no longer count.
   */
  | { status: 'limit'; silentMs?: number }

export interface MarkCommand {
  user: string
  /** The ids to mark, or the position up to which every notification is marked. Unknown ids are ignored. */
  target: { ids: string[] } | { upTo: Position }
  state: State
  /**
   * Marks only the notifications that have this state; default: by `ids` all of them, up to a position those that the mark raises (as unread:
   * lowers), archived ones excepted.
   */
  only?: State | undefined
  /**
   * Time since the user made the mark, milliseconds; default 0. Notifications that were marked later keep their state, so that a mark that is
   * sent twice changes nothing the second time.
   */
  ageMs?: number | undefined
}

/** `ids` are the notifications whose state changed. If there are none, nothing was written. */
export interface MarkResult extends UnreadCounts {
  ids: string[]
}

/**
 * - `retracted`: the notification was in the log, and is taken back on every device
 * - `unparked`: the notification was parked, and will never be released
 * - `unscheduled`: the notification was scheduled, and will never be delivered
 * - `folded`: the notification is part of a digest; nothing was written
 * - `unknown`: there is no such notification, or it was recalled before; nothing was written, unless the call barred the id (`broadcastAt`)
 */
export type RetractResult = 'retracted' | 'unparked' | 'unscheduled' | 'folded' | 'unknown'

export interface AnswerCommand {
  user: string
  id: string
  action: string
  /** The device that answers. */
  deviceId: string
  /**
   * The answer came by a link, which only a notification with actions has. One that has none is `unknown` then, and the log is not searched for it: the
   * time of the step must not tell a forged link from one whose notification was recalled.
   */
  byLink?: boolean
}

export type AnswerResult =
  /** This answer is the first. If `replayed`, the same device gave it before, and nothing was written. */
  | { status: 'answered'; answer: Answer; replayed: boolean }
  /** The store wrote nothing: another answer was first. */
  | { status: 'already'; answer: Answer }
  /** The store wrote nothing: the notification is not in the log, or it does not offer the action. */
  | { status: 'unknown' | 'notOffered' }

/**
 * Counts of a step or of a sweep: `released` rows were appended from the parked ones, digests among them; `folded` notifications are in those
 * digests; `delivered` notifications were scheduled; `expired` ones were removed; `checked` checks for pushes and fallbacks were carried out;
 * `called` calls were made; `dropped` older calls were dropped because the user had `MAX_CALLS`.
 */
export interface AdvanceCounts {
  released: number
  folded: number
  delivered: number
  expired: number
  checked: number
  called: number
  dropped: number
}

export interface AdvanceResult extends AdvanceCounts {
  /** Number of notifications that are still parked or scheduled. */
  waiting: number
  /**
   * Time at which the user's next release, delivery, expiry or check is due, Unix milliseconds; 0 if there is none. The check of the connections of an
   * online user does not count: the sweeps renew it, for many users at a time.
   */
  nextAt: number
  /** Lanes in which calls were made, in alphabetical order. They are due now. */
  lanes: string[]
}

/** The sums of the steps, the users for whom more is due, at `nextAt`, Unix milliseconds, and the lanes in which calls were made. */
export interface SweepResult extends AdvanceCounts {
  /** The time of the sweep ended before it reached every user for whom something is due. */
  isPartial?: true
  /** An error of a step that is not one of the store's. The user stays due. */
  fault?: unknown
  due: { user: string; nextAt: number }[]
  lanes: string[]
}

/** A place in the order of delivery: the time of delivery, Unix milliseconds, and the number of the publish. */
export interface SchedulePlace {
  deliverAt: number
  no: number
}

export interface ScheduledQuery {
  user: string
  /** The list starts behind this place; undefined: at the next to be delivered. */
  after: SchedulePlace | undefined
  limit: number
}

/** `row` is an `n` row whose time is that of the publish. `next` is the `after` of the following page; undefined: this is the last page. */
export interface ScheduledPage {
  items: { deliverAt: number; row: Buffer }[]
  next: SchedulePlace | undefined
}

export interface InboxQuery {
  user: string
  /** The states to list; undefined: all. */
  states: State[] | undefined
  /** The types to list: each is a type, or a prefix of types that ends in `*`. undefined: all. */
  types?: string[] | undefined
  /** The list starts below this place; undefined: at the newest row. */
  before: LogPlace | undefined
  limit: number
  /** Also counts the notifications in all pages. Default false. */
  isCounted?: boolean | undefined
}

/** A retained notification with its state and the answer to it. */
export interface InboxItem {
  epoch: string
  offset: number
  row: Buffer
  state: State
  answer: Answer | undefined
}

/** Items from the newest to the oldest. `next` is the `before` of the following page; undefined: this is the last page. */
export interface InboxPage extends UnreadCounts {
  items: InboxItem[]
  next: LogPlace | undefined
  /** Number of the notifications in all pages, if the query is `isCounted`. */
  count?: number
}

export type FindResult =
  /** `receipts` tell of the pushes and of the fallback for the notification, by event and device. */
  | { in: 'log'; item: InboxItem; receipts: CallReceipt[] }
  /** `row` is an `n` row whose time is that of the publish. */
  | { in: 'parked'; row: Buffer; releaseAt: number }
  /** `row` as for a parked one. */
  | { in: 'scheduled'; row: Buffer; deliverAt: number }
  /** The notification was folded into the digest at this position. */
  | { in: 'digest'; position: Position }

export interface QueueInfo extends UnreadCounts {
  /** Position of the newest row; offset 0 before the first. */
  head: Position
  /** Position of the oldest retained row; offset 0 if there is none. */
  first: Position
  parked: number
  scheduled: number
  /** `at` is when the device last acknowledged or first connected, Unix milliseconds. `lag` is the number of rows after its cursor. */
  devices: { deviceId: string; position: Position; lag: number; at: number }[]
}

export interface DisconnectCommand {
  user: string
  /** undefined: all connections of the user. */
  connectionId: string | undefined
  reason: string
  /** Also revokes all tokens of the user that were issued up to now. */
  revoke: boolean
}
