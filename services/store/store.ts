import type { Durability, Position } from '../protocol/index.ts'
import type { Audiences } from './audiences.ts'
import type {
  AdvanceResult,
  AnswerCommand,
  AnswerResult,
  AttachCommand,
  AttachResult,
  Backlog,
  ConnectionInfo,
  DisconnectCommand,
  FindResult,
  InboxPage,
  InboxQuery,
  MarkCommand,
  MarkResult,
  PublishCommand,
  PublishResult,
  QueueInfo,
  ReadCommand,
  RetractResult,
  ScheduledPage,
  ScheduledQuery,
  SweepResult
} from './commands.ts'
import type { Outbox, PresenceTimes, ReachRule, WebhookEvent } from './outbox.ts'

export type * from './audiences.ts'
export type * from './commands.ts'
export type * from './outbox.ts'
export type { Durability }

/** Settings of a store. All nodes of a cluster must have the same. */
export interface StoreSettings {
  /** Notifications that a user may get within any window of `rateWindowMs`, at most 1,000; 0: no limit. */
  rateLimit: number
  /** Length of the rate window, milliseconds. */
  rateWindowMs: number
  /** Parked notifications that a user may have. */
  parkedMax: number
  /** Scheduled notifications that a user may have. */
  scheduledMax: number
  /** Age at which a row is trimmed, milliseconds. */
  retentionMs: number
  /** Notifications and digests kept per user. Trimming starts when a log holds a tenth more. */
  maxEntries: number
  /** Connections that a user may have, over all nodes; 0: no limit. */
  maxConnections: number
  /** Lifetime of a revocation, milliseconds: as long as a token from before it may be accepted. */
  revocationTtlMs: number
  /** The rule for pushing notifications that have none of their own. Default: pushes are not configured, and no notification is pushed. */
  push?: ReachRule | undefined
  /** Events for which webhooks are sent. Default: none. */
  webhookEvents?: readonly WebhookEvent[] | undefined
  /** Times of the presence of users. Default: the store does not watch it, and `notePresence` does nothing. */
  presence?: PresenceTimes | undefined
  /** The store's clock, Unix milliseconds. Default: the system's (embedded), or Redis `TIME` (redis). */
  clock?: () => number
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
  /**
   * Returns the newest row of the user's log that this node knows: each of the node's connections of the user has the rows up to it, or reads the log.
   * Undefined, or no such method: not known. A driver compares it with the log where it cannot know otherwise what the node missed.
   */
  newest?(user: string): Position | undefined
  status(status: StoreStatus): void
}

/**
 * The log, the cursors and the registry of every user: the contract of both drivers. `Machine` is its reference for the log.
 *
 * **Atomicity.** Each method is one step. A step never happens in part, and no other step of the same user comes between.
 *
 * **Errors.** If the outcome is not known, a method rejects with `StoreUnavailable`. The caller may then repeat the call: publishes with a key,
 * acks, marks, answers, retractions and advances are idempotent. If there is no room, a method rejects with `StoreFull`, and nothing was written.
 *
 * **Time.** All times are the store's. Times of rows never run backwards within a log; the rate limit follows a clock that is set back.
 */
export interface Store {
  /** Push subscriptions, and the calls that leave Belfry. */
  readonly outbox: Outbox

  /** Topics and broadcasts. */
  readonly audiences: Audiences

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

  /**
   * Advances a user: removes notifications that have expired, publishes those whose time has come, releases parked ones in their order and
   * within the rate, and carries out the checks for pushes and fallbacks that are due (see `Outbox`). One call does a bounded amount of each.
   * Any node may call it at any time.
   */
  advance(user: string): Promise<AdvanceResult>

  /**
   * Advances the users of this node's share for whom something is due; a single node has all users. The caller advances the users in `due`
   * at their times.
   */
  sweep(): Promise<SweepResult>

  /**
   * Registers the node for the user and reads the backlog, in one step: a publish before the step is in the backlog, and a publish
   * after it wakes the node. Stores `received`, or the start, of a device that has no cursor; the start only if there is no gap.
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

  /**
   * Takes a notification back, from the log or from the parked or scheduled ones. `reason` is for the devices. With `broadcastAt`, the start
   * of a broadcast in Unix milliseconds, an id that is unknown leaves a mark: a later keyed publish of it writes nothing, and its result is `recalled`.
   * If the user was erased since the start, there is no mark, because such a publish writes nothing anyway. With `only`, a notification that is not
   * scheduled stays, and is `unknown`.
   */
  retract(user: string, id: string, reason: string, broadcastAt?: number, only?: 'scheduled'): Promise<RetractResult>

  /** Lists retained notifications. Resolves with `restarted` if `before` is of another epoch. */
  inbox(query: InboxQuery): Promise<InboxPage | 'restarted'>

  /** Answers a notification. Of any number of answers, on any node, the first one stays. */
  answer(command: AnswerCommand): Promise<AnswerResult>

  /** Lists scheduled notifications in the order of their delivery. */
  scheduled(query: ScheduledQuery): Promise<ScheduledPage>

  /** Finds a notification in the log, among the parked or scheduled ones, or in a digest. Resolves with undefined if it is in none of them. */
  find(user: string, id: string): Promise<FindResult | undefined>

  /** Resolves with the ends of the log, its counts, and the cursor of each device. */
  queue(user: string): Promise<QueueInfo>

  /** Lists the user's connections on all live nodes. */
  connections(user: string): Promise<ConnectionInfo[]>

  /** Tells the nodes that hold the connections to close them. Resolves with the number of those connections. */
  disconnect(command: DisconnectCommand): Promise<number>

  /** Resolves with the time of the user's latest revocation, Unix milliseconds; 0 if there was none within `revocationTtlMs`. */
  revokedBefore(user: string): Promise<number>

  /**
   * Removes everything of a user, orders the nodes to close the connections (`kick` with the reason `erased`), and refuses the tokens issued up
   * to now. Only that refusal is kept, as long as any revocation. A later publish starts a new log.
   */
  erase(user: string): Promise<void>

  /** Resolves with 32 random bytes, which the first call for the name makes. Every node gets the same. */
  secret(name: string): Promise<Buffer>
}
