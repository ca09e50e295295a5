import type { Durability, GapReason, Position, State } from '../protocol/index.ts'

export type { Durability }

/** What every driver is given. Each node of a cluster must be given the same values. */
export interface StoreSettings {
  /** Notifications a user may get in any rolling window; 0 turns the limit off, at most 1,000. */
  rateLimit: number
  /** Length of that window, milliseconds. */
  rateWindowMs: number
  /** Notifications that may wait for their release, per user. */
  parkedMax: number
  /** A row older than this is trimmed, milliseconds. */
  retentionMs: number
  /** Notifications and digests kept per user; trimming starts a tenth above it. */
  maxEntries: number
  /** Connections a user may have over all nodes; 0 for no limit. */
  maxConnections: number
  /** How long a revocation is kept, milliseconds: as long as a token from before it may be accepted. */
  revocationTtlMs: number
  /** The store's clock, Unix milliseconds. Default: the driver's own (the system's, or Redis `TIME`). */
  clock?: () => number
}

/** Idle metadata (epoch, cursors) outlives the log by this much. */
export const META_TTL_MS = 30 * 24 * 3600 * 1000
/** Devices whose cursor is kept per user; the one longest silent goes first. */
export const MAX_DEVICES = 20
/** An idempotency key is remembered for at least this many rows, and as long as the row it names is in the log. */
export const IDEMPOTENCY_WINDOW = 2000
/** Older keys are forgotten when the log's top is a multiple of this. */
export const FORGET_EVERY = 64
/** Rows a log may hold beside notifications and digests, at least: four for each notification when that is more. */
export const MAX_CHANGES = 5000
/** Changes of state that later ones superseded are emptied when the number of changes is a multiple of this. */
export const COALESCE_EVERY = 128
/** A parked notification worth less than this when its turn comes is folded into a digest. */
export const FOLD_BELOW = 1 / 16
/** Half-lives after which that is so: 2^-4 is 1/16. */
export const FOLD_AFTER_HALF_LIVES = 4
/** Rows released by one step while the rate limit is off. */
export const RELEASE_BATCH = 100
/** A store that lost more rows of one user than this starts the user's log afresh instead of fencing each off. */
export const MAX_FENCE = 1000
/** Rows longer than this do not travel inside the wake-up, bytes. */
export const INLINE_MAX = 8192

export interface PublishCommand {
  user: string
  /** 20 characters of base64url; the first 12 stand for the key when `keyed`, else all are random. */
  id: string
  /** An Idempotency-Key made the id: the same 12 characters are never appended twice. */
  keyed: boolean
  /** The row's tail: the notification's JSON without its opening brace and id. */
  tail: string
  /** Seconds in which a parked notification loses half its worth; 0: never. */
  halfLife: number
}

export type PublishResult =
  /**
   * In the log at this position; `nodes` were woken (0 when `replayed`: nothing was written). Of a row that was trimmed since, `id8`
   * is ''; of a notification that was folded, the position is that of the digest.
   */
  | { status: 'accepted'; epoch: string; offset: number; id8: string; nodes: number; replayed: boolean }
  /** Waits for its turn, expected at `releaseAt` (Unix milliseconds). */
  | { status: 'parked'; releaseAt: number; replayed: boolean }
  /** Nothing was written: an earlier publish with the key was recalled while it was parked. */
  | { status: 'recalled'; replayed: true }
  /** Nothing was written: `parkedMax` wait already; they will have drained in `retryAfterMs`. */
  | { status: 'full'; retryAfterMs: number }
  /** Nothing was written: the key came with another body before. */
  | { status: 'conflict' }

/** One socket, as the registry lists it. `connectedAt` is Unix milliseconds. */
export interface ConnectionInfo {
  connectionId: string
  deviceId: string
  node: string
  connectedAt: number
  address: string
}

/** The highest offset this node itself got from the store for the user: never a client's claim. */
export interface Seen {
  epoch: string
  offset: number
}

/** Where a cursor starts: at a position, at either end, at the device's stored cursor, or at something that is no event id. */
export type Start = { at: 'position'; position: Position } | { at: 'earliest' } | { at: 'latest' } | { at: 'device' } | { at: 'unknown' }

export interface AttachCommand {
  user: string
  deviceId: string
  start: Start
  /** Every connection of the user on this node, the new one included: what the registry holds for the node from now on. */
  connections: ConnectionInfo[]
  /**
   * The new one of `connections`. If the user has `maxConnections`, it takes the place of the oldest connections of its device: those before
   * it in `connections`, and those of other nodes. Undefined: it takes no place.
   */
  newcomer?: string | undefined
  /** When the token was issued, Unix milliseconds; refused when the user's tokens were revoked since (`isRevoked`). */
  issuedAt: number
  seen: Seen | undefined
  /** Rows to return at most. */
  limit: number
  /** The rows end with the first that brings their sum to this many bytes, so that at least one is returned. Default: no bound. */
  bytes?: number | undefined
}

export interface ReadCommand {
  user: string
  position: Position
  seen: Seen | undefined
  /** As in `AttachCommand`. */
  limit: number
  bytes?: number | undefined
}

/** Part of a log from a position on. */
export interface Backlog {
  epoch: string
  /** The newest offset; 0 while the log is empty. */
  top: number
  /** The tag of the newest row; '' when there never was one. */
  topId8: string
  /** The cursor the rows follow: `rows[i]` has offset `start.offset + 1 + i`. */
  start: Position
  /** Whether the cursor was known: a position was given, or the device had one stored. */
  resumed: boolean
  /** Where the position could not be continued. The rows are the oldest retained ones then. */
  gap: { reason: GapReason; from: string; to: string; count: number } | undefined
  /** Contiguous, at most `limit`, within `bytes`. Rows in the format of `row.ts`. */
  rows: Buffer[]
  /** The state now of every id named by `rows`, where it is not `unread`. */
  states: Map<string, State>
  unread: number
  parked: number
  /** When the oldest retained row leaves by age, milliseconds from now; 0 when there is none. */
  expiresInMs: number
}

export type AttachResult =
  /** `displaced` are connections of this node whose place the newcomer took: the node closes them. Other nodes are told by `kick`. */
  | { status: 'attached'; backlog: Backlog; displaced: string[] }
  /** Not registered: the token was issued at or before the user's revocation. */
  | { status: 'revoked' }
  /**
   * Not registered: the user has `maxConnections` elsewhere and here. `silentMs` is there if other nodes hold some of them: the time since
   * the heartbeat of the one silent longest. If that node is dead, its connections are not counted for much longer.
   */
  | { status: 'limit'; silentMs?: number }

export interface MarkCommand {
  user: string
  /** Ids to mark, or the position up to which all are marked. Unknown ids are passed over. */
  target: { ids: string[] } | { upTo: Position }
  state: State
  /**
   * Milliseconds since the user made the mark: it does not change what was marked later than that. Default 0. A mark that was
   * executed before, and is sent again, changes nothing.
   */
  ageMs?: number | undefined
}

/** `ids` are those whose state changed; none: nothing was written. */
export interface MarkResult {
  ids: string[]
  unread: number
}

/**
 * `retracted`: it was in the log and is taken back on every device; `unparked`: it was parked and never appears;
 * `unknown`: no such notification, or recalled before; `folded`: it is part of a digest already.
 */
export type RetractResult = 'retracted' | 'unparked' | 'unknown' | 'folded'

export interface ReleaseResult {
  released: number
  folded: number
  /** Parked after it. */
  left: number
  /** When the next is due, Unix milliseconds; 0 when none is left. */
  nextAt: number
}

/** What a sweep released, and for whom of those users more is parked; `nextAt` is when the next of it is due, Unix milliseconds. */
export interface SweepResult {
  released: number
  folded: number
  waiting: { user: string; nextAt: number }[]
}

/** A place in one log: offsets of another epoch mean other rows. */
export type LogPlace = Pick<Position, 'epoch' | 'offset'>

export interface InboxQuery {
  user: string
  /** Only notifications in one of these states; undefined: all. */
  states: State[] | undefined
  /** Only rows before this place of the log; undefined: from the newest. */
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

/** Newest first. `next` is the `before` of the following page, undefined on the last. */
export interface InboxPage {
  items: InboxItem[]
  next: LogPlace | undefined
  unread: number
}

export type Found =
  | { in: 'log'; item: InboxItem }
  /** `row` is in the format of `row.ts`, kind `n`; its time is that of the publish. */
  | { in: 'parked'; row: Buffer; releaseAt: number }
  /** Folded into the digest at this position. */
  | { in: 'digest'; position: Position }

export interface QueueInfo {
  /** The newest row and the oldest retained one; offset 0 while there is none. */
  head: Position
  first: Position
  parked: number
  unread: number
  /** `at` is when the device last acknowledged, or first connected, Unix milliseconds. `lag` counts rows after its cursor. */
  devices: { deviceId: string; position: Position; lag: number; at: number }[]
}

export interface DisconnectCommand {
  user: string
  /** undefined: all of the user's connections. */
  connectionId: string | undefined
  reason: string
  /** Refuse every token of the user issued up to now, too. */
  revoke: boolean
}

/** A hint that a user's log grew. `row` is there when it is not longer than `INLINE_MAX`. */
export interface Wake {
  user: string
  epoch: string
  offset: number
  row: Buffer | undefined
}

/** Connections of a user on this node are to be closed: an operator wants it, or a newer connection of the device took the place of one. */
export interface Kick {
  user: string
  connectionId: string | undefined
  reason: string
  revoked: boolean
  displaced?: true
}

export interface StoreStatus {
  /** At least a part of the store can be used. */
  available: boolean
  /** Why it is not available, for operators; '' when it is. */
  reason: string
  durability: Durability
  /** Slots of a Redis Cluster that cannot be used while others can. Absent when the store is whole, or away altogether. */
  away?: { slots: string; reason: string }[]
  /** There is no room: publishes reject with `StoreFull`; reads, connections and acknowledgements work. */
  full?: boolean
  /** What of the store cannot be read, for operators; absent or '' when all can. */
  damage?: string
}

/** What a driver tells its node. Called synchronously; the listener must not throw. */
export interface StoreEvents {
  /** In offset order per user while nothing is lost. May be repeated, late, or missing: never the truth. */
  wake(wake: Wake): void
  /** Repeated at each attach that still lists a connection which was told to close before: the first message may have been lost. */
  kick(kick: Kick): void
  /** Wake-ups of users for whom `affected` is true may have been lost: attach them again from where they are. */
  suspect(affected: (user: string) => boolean): void
  status(status: StoreStatus): void
}

/**
 * The log, the cursors and the registry of every user.
 *
 * Each method is one atomic step: it happens whole or not at all, and no other step of the same user comes between.
 * Each rejects with `StoreUnavailable` when the outcome is not known (the caller may repeat it: publishes with a key,
 * acks, marks, retractions and releases are idempotent), and with `StoreFull` when nothing was written for want of room.
 * Times are the store's own. Those of rows never run backwards inside one log; those of the rate limit follow a clock that is set back.
 */
export interface Store {
  readonly kind: 'embedded' | 'redis'

  /**
   * Starts the driver for the node. Resolves when the store can be used, or, where that depends on another machine,
   * when the first attempt is over; `status()` tells. Rejects when it must not be used (wrong policy, damaged, locked).
   */
  open(node: string, events: StoreEvents): Promise<void>

  /** Finishes what is under way, takes the node out of the registry and lets go of everything. */
  close(): Promise<void>

  status(): StoreStatus

  /** Returns whether the part of the store that holds the user can be used. */
  availableTo(user: string): boolean

  /** The store's clock as this node knows it, Unix milliseconds: what the times of its answers are to be compared with. */
  now(): number

  /** Live nodes of the store whose settings differ from this node's. */
  differingNodes(): number

  /**
   * Appends a notification, or parks it, or finds that it is there already.
   * Resolves after it is as safe as `status().durability` says. Wake-ups follow the append, never precede it.
   */
  publish(command: PublishCommand): Promise<PublishResult>

  /** Moves what is due from parked to the log, in publish order, within the rate. Any node may call it at any time. */
  release(user: string): Promise<ReleaseResult>

  /** Releases what is due for this node's share of users; with one node that is everybody. What is left of theirs is the caller's to release. */
  sweep(): Promise<SweepResult>

  /**
   * Registers the node for the user and reads the backlog in one step: a publish before it is in the rows,
   * a publish after it wakes the node. A device that has no cursor gets the one it starts from,
   * unless there is a gap.
   */
  attach(command: AttachCommand): Promise<AttachResult>

  /** Reads on from a position, without registering. Changes the log only by trimming what is past retention, and by fencing off a lost tail (`seen`). */
  read(command: ReadCommand): Promise<Backlog>

  /** Sets what the registry holds for this node and user; none left: the node is no longer woken for the user. */
  detach(user: string, connections: ConnectionInfo[]): Promise<void>

  /** Moves a device's cursor, forward only, within the log. A position of another epoch or past the log is ignored. */
  ack(user: string, deviceId: string, position: Position): Promise<void>

  /** Resolves with `restarted`, and writes nothing, if `upTo` is of another epoch: the log was started afresh since. */
  mark(command: MarkCommand): Promise<MarkResult | 'restarted'>

  retract(user: string, id: string, reason: string): Promise<RetractResult>

  /** Resolves with `restarted` if `before` is of another epoch: the log was started afresh since. */
  inbox(query: InboxQuery): Promise<InboxPage | 'restarted'>

  find(user: string, id: string): Promise<Found | undefined>

  queue(user: string): Promise<QueueInfo>

  /** The user's connections on all live nodes. */
  connections(user: string): Promise<ConnectionInfo[]>

  /** Tells the nodes concerned; resolves with how many connections were told to close. A node that does not hear it finds it when it attaches. */
  disconnect(command: DisconnectCommand): Promise<number>

  /** When the user's tokens were last revoked, Unix milliseconds; 0: never, or longer ago than any token lives. */
  revokedBefore(user: string): Promise<number>
}
