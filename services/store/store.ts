import type { Durability, GapReason, Position, State } from '../protocol/index.ts'

export type { Durability }

/** Settings of a store. All nodes of a cluster must have the same. */
export interface StoreSettings {
  /** Notifications that a user may get within any window of `rateWindowMs`, at most 1,000; 0: no limit. */
  rateLimit: number
  /** Length of the rate window, milliseconds. */
  rateWindowMs: number
  /** Parked notifications that a user may have. */
  parkedMax: number
  /** Age at which a row is trimmed, milliseconds. */
  retentionMs: number
  /** Notifications and digests kept per user. Trimming starts when a log holds a tenth more. */
  maxEntries: number
  /** Connections that a user may have, over all nodes; 0: no limit. */
  maxConnections: number
  /** Lifetime of a revocation, milliseconds: as long as a token from before it may be accepted. */
  revocationTtlMs: number
  /** The store's clock, Unix milliseconds. Default: the system's (embedded), or Redis `TIME` (redis). */
  clock?: () => number
}

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
}

export type PublishResult =
  /**
   * The notification is in the log, and `nodes` nodes were woken. If `replayed`, nothing was written: the key was used before, and this is where
   * the first notification is. Then `id8` is '' if its row was trimmed, and the position is that of the digest if it was folded.
   */
  | { status: 'accepted'; epoch: string; offset: number; id8: string; nodes: number; replayed: boolean }
  /** The notification is parked. It is expected to be released at `releaseAt`, Unix milliseconds. */
  | { status: 'parked'; releaseAt: number; replayed: boolean }
  /** Nothing was written: the notification of an earlier publish with the key was recalled while it was parked. */
  | { status: 'recalled'; replayed: true }
  /** Nothing was written: `parkedMax` notifications are parked. They will be released within `retryAfterMs`. */
  | { status: 'full'; retryAfterMs: number }
  /** Nothing was written: the key was used before, with another body. */
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
  /** Time at which the token was issued, Unix milliseconds. The attach is refused if the token was revoked since (`isRevoked`). */
  issuedAt: number
}

export interface ReadCommand extends ReadBounds {
  user: string
  position: Position
}

/** A part of a log, from a cursor on. */
export interface Backlog {
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
  unread: number
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
   * heartbeat of the node that was silent longest. If that node is dead, its connections will soon be counted no more.
   */
  | { status: 'limit'; silentMs?: number }

export interface MarkCommand {
  user: string
  /** The ids to mark, or the position up to which every notification is marked. Unknown ids are ignored. */
  target: { ids: string[] } | { upTo: Position }
  state: State
  /**
   * Time since the user made the mark, milliseconds; default 0. Notifications that were marked later keep their state, so that a mark that is
   * sent twice changes nothing the second time.
   */
  ageMs?: number | undefined
}

/** `ids` are the notifications whose state changed. If there are none, nothing was written. */
export interface MarkResult {
  ids: string[]
  unread: number
}

/**
 * - `retracted`: the notification was in the log, and is taken back on every device
 * - `unparked`: the notification was parked, and will never be released
 * - `folded`: the notification is part of a digest; nothing was written
 * - `unknown`: there is no such notification, or it was recalled before; nothing was written
 */
export type RetractResult = 'retracted' | 'unparked' | 'folded' | 'unknown'

/** `released` rows were appended, digests among them; `folded` notifications are in those digests; `parked` notifications stay parked. */
export interface ReleaseResult {
  released: number
  folded: number
  parked: number
  /** Time at which the next parked notification is due, Unix milliseconds; 0 if none is parked. */
  nextAt: number
}

/** The sums of the releases, and the users among theirs who have more parked, due at `nextAt`, Unix milliseconds. */
export interface SweepResult {
  released: number
  folded: number
  waiting: { user: string; nextAt: number }[]
}

export interface InboxQuery {
  user: string
  /** The states to list; undefined: all. */
  states: State[] | undefined
  /** The list starts below this place; undefined: at the newest row. */
  before: LogPlace | undefined
  limit: number
}

/** A retained notification with its state. */
export interface InboxItem {
  epoch: string
  offset: number
  row: Buffer
  state: State
}

/** Items from the newest to the oldest. `next` is the `before` of the following page; undefined: this is the last page. */
export interface InboxPage {
  items: InboxItem[]
  next: LogPlace | undefined
  unread: number
}

export type FindResult =
  | { in: 'log'; item: InboxItem }
  /** `row` is an `n` row whose time is that of the publish. */
  | { in: 'parked'; row: Buffer; releaseAt: number }
  /** The notification was folded into the digest at this position. */
  | { in: 'digest'; position: Position }

export interface QueueInfo {
  /** Position of the newest row; offset 0 before the first. */
  head: Position
  /** Position of the oldest retained row; offset 0 if there is none. */
  first: Position
  parked: number
  unread: number
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

/** A hint that a user's log grew. `row` is undefined if it is longer than `INLINE_MAX`. */
export interface Wake {
  user: string
  epoch: string
  offset: number
  row: Buffer | undefined
}

/** An order to close connections of a user on this node: one, or all if `connectionId` is undefined. */
export interface Kick {
  user: string
  connectionId: string | undefined
  reason: string
  /** The user's tokens were revoked, too. */
  revoked: boolean
  /** A newer connection of the same device took the place of this one. */
  displaced?: true
}

export interface StoreStatus {
  /** The store, or a part of it, can be used. */
  available: boolean
  /** Why the store is not available, for operators; '' if it is. */
  reason: string
  durability: Durability
  /** The slots of a Redis Cluster that cannot be used, if others can. */
  away?: { slots: string; reason: string }[]
  /** There is no room: publishes reject with `StoreFull`; reads, connections and acknowledgements work. */
  full?: boolean
  /** The part of the data that cannot be read, for operators; '' or absent if all can. */
  damage?: string
}

/** Events that a driver sends to its node. A driver calls the listener synchronously; the listener must not throw. */
export interface StoreEvents {
  /** A hint, never the truth: a wake-up may be repeated, late, or missing. While none is lost, a user's come in order of offset. */
  wake(wake: Wake): void
  /** A driver whose messages can be lost repeats the order at each attach that still lists the connection. */
  kick(kick: Kick): void
  /** Wake-ups may have been lost. The node must attach each user for whom `affected` returns true again, from where their cursors are. */
  suspect(affected: (user: string) => boolean): void
  status(status: StoreStatus): void
}

/**
 * The log, the cursors and the registry of every user: the contract of both drivers. `Machine` is its reference for the log.
 *
 * **Atomicity.** Each method is one step. A step never happens in part, and no other step of the same user comes between.
 *
 * **Errors.** If the outcome is not known, a method rejects with `StoreUnavailable`. The caller may then repeat the call: publishes with a key,
 * acks, marks, retractions and releases are idempotent. If there is no room, a method rejects with `StoreFull`, and nothing was written.
 *
 * **Time.** All times are the store's. Times of rows never run backwards within a log; the rate limit follows a clock that is set back.
 */
export interface Store {
  /**
   * Starts the driver for this node. Resolves when the store can be used; or, if the data are on another machine, after the first
   * attempt to reach it, whose outcome is in `status()`. Rejects if the store must not be used (wrong eviction policy, damage, in use).
   */
  open(node: string, events: StoreEvents): Promise<void>

  /** Waits for the calls under way, takes the node out of the registry, and releases all resources. */
  close(): Promise<void>

  status(): StoreStatus

  /** Returns whether the part of the store that holds the user can be used. */
  availableTo(user: string): boolean

  /** Returns the store's clock as this node knows it, Unix milliseconds. Times in the store's answers are compared with this clock. */
  now(): number

  /** Returns the number of live nodes whose settings differ from this node's. */
  differingNodes(): number

  /**
   * Appends a notification and wakes the nodes that hold the user. If the user is over the rate, or has parked notifications, the notification is
   * parked. If its key was used before, nothing is written, and the outcome of the first publish is returned.
   *
   * Resolves when the write is as safe as `status().durability` says. Wake-ups follow the append, never precede it.
   */
  publish(command: PublishCommand): Promise<PublishResult>

  /** Moves parked notifications to the log, in the order of their publishes and within the rate. Any node may call it at any time. */
  release(user: string): Promise<ReleaseResult>

  /**
   * Releases the due notifications of this node's share of the users; a single node has all users. The caller schedules the further releases of
   * the users in `waiting`.
   */
  sweep(): Promise<SweepResult>

  /**
   * Registers the node for the user and reads the backlog, in one step: a publish before the step is in the backlog, and a publish
   * after it wakes the node. Stores the start of a device that has no cursor, unless there is a gap.
   */
  attach(command: AttachCommand): Promise<AttachResult>

  /** Reads on from a position. Does not register the node. Writes nothing but what every read may: rows are trimmed, lost ones fenced off. */
  read(command: ReadCommand): Promise<Backlog>

  /** Replaces the connections that the registry holds for this node and user. If there are none, the node is no longer woken for the user. */
  detach(user: string, connections: ConnectionInfo[]): Promise<void>

  /** Moves a device's cursor, forward only. A position of another epoch, or above the newest row, is ignored. */
  ack(user: string, deviceId: string, position: Position): Promise<void>

  /** Changes the state of notifications and appends the change. Resolves with `restarted`, and writes nothing, if `upTo` is of another epoch. */
  mark(command: MarkCommand): Promise<MarkResult | 'restarted'>

  /** Takes a notification back, from the log or from the parked ones. `reason` is for the devices. */
  retract(user: string, id: string, reason: string): Promise<RetractResult>

  /** Lists retained notifications. Resolves with `restarted` if `before` is of another epoch. */
  inbox(query: InboxQuery): Promise<InboxPage | 'restarted'>

  /** Finds a notification in the log, among the parked ones, or in a digest. Resolves with undefined if it is in none of them. */
  find(user: string, id: string): Promise<FindResult | undefined>

  /** Resolves with the ends of the log, its counts, and the cursor of each device. */
  queue(user: string): Promise<QueueInfo>

  /** Lists the user's connections on all live nodes. */
  connections(user: string): Promise<ConnectionInfo[]>

  /** Tells the nodes that hold the connections to close them. Resolves with the number of those connections. */
  disconnect(command: DisconnectCommand): Promise<number>

  /** Resolves with the time of the user's latest revocation, Unix milliseconds; 0 if there was none within `revocationTtlMs`. */
  revokedBefore(user: string): Promise<number>
}
