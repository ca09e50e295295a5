import type { PublishOptions } from './commands.ts'

/** Topics and broadcasts. Commands of `Audiences`, and their results. */

/** Time for which a batch is leased to a node, milliseconds. */
export const BATCH_LEASE_MS = 30_000

/** Members of a batch at most. */
export const BATCH_MAX = 500

/** Time for which a broadcast is kept after its end, milliseconds. */
export const BROADCAST_KEPT_MS = 24 * 3600 * 1000

/** Broadcasts that may wait for one topic, the one that runs included. */
export const BROADCASTS_MAX = 1000

/** Names of one change of members at most. */
export const MEMBERS_MAX = 10_000

/** Those who get a broadcast: the members of a topic, or every user who has a log. */
export type Audience = { topic: string; except: string[] } | { everyone: true; except: string[] }

export interface MembersCommand {
  topic: string
  /** Names to add, and names to remove. No name is in both, and none is twice in one. Together at most `MEMBERS_MAX`. */
  add: string[]
  remove: string[]
}

/** Numbers of the names that were not members before, and of those that were. */
export interface MembersResult {
  added: number
  removed: number
}

/** `next` is the `after` of the following page; undefined: this is the last page. A page has at most `limit` names. */
export interface MembersPage {
  items: string[]
  next: string | undefined
}

export interface BroadcastCommand {
  to: Audience
  /** Id of the notification, 20 characters of base64url; the first 12 stand for the key of every member's publish. */
  id: string
  /** The id was made from an Idempotency-Key: a topic has one broadcast of ids with the same first 12 characters. */
  keyed: boolean
  /** The tail of the rows, from `tails.notification`. */
  tail: string
  /** Seconds, as of `PublishCommand`. */
  halfLife: number
  options?: PublishOptions | undefined
}

/** `cancelled` begins with `cancel`. What went out is recalled afterwards. */
export type BroadcastStatus = 'running' | 'done' | 'cancelled'

export interface Broadcast {
  /** 22 characters: the bucket of the topic, two hexadecimal digits, and the id of the notification. */
  id: string
  to: Audience
  status: BroadcastStatus
  /** Number of users in the audience. Absent while the audience is not complete. */
  members?: number
  /** Members whose publishes were accepted or scheduled, parked, and rejected. They grow by whole batches, and no member is counted twice. */
  accepted: number
  parked: number
  rejected: number
  /** Unix milliseconds. */
  startedAt: number
  /** The time at which the last batch was settled, or of the cancellation, Unix milliseconds; 0 before. */
  finishedAt: number
}

export type StartResult =
  /** The broadcast is durable. If it is the only one of its topic, its first batch is leased to the caller. */
  | { status: 'started'; broadcast: Broadcast; batch: Batch | undefined }
  /** The key started this broadcast before. The store wrote nothing. */
  | { status: 'replayed'; broadcast: Broadcast }
  /** The key started a broadcast with another body. The store wrote nothing. */
  | { status: 'conflict' }
  /** The notification has expired, and no key started it before. The store wrote nothing. */
  | { status: 'expired' }
  /** `BROADCASTS_MAX` broadcasts wait for the topic. The store wrote nothing. */
  | { status: 'full'; retryAfterMs: number }

/** A part of a broadcast that is leased to a node. */
export interface Batch {
  broadcastId: string
  /** Number of members before this batch. With `broadcastId` and `isRecall` it names the batch. */
  from: number
  /** The members must lose the notification: the broadcast was cancelled. Else they must get it. */
  isRecall: boolean
  /** The members, without those who were erased. */
  users: string[]
  /** Number of the members, including those who were erased. */
  size: number
  /** The publish of each member, without the user. Always keyed, so that a repeated batch writes nothing twice. */
  publish: { id: string; tail: string; halfLife: number; options: PublishOptions | undefined; broadcastAt: number }
}

/** Names a batch. */
export type BatchName = Pick<Batch, 'broadcastId' | 'from' | 'isRecall'>

export interface SettleBatchCommand extends BatchName {
  /** Size of the batch. The counts are the outcomes of its members, of whom the erased ones are rejected; all 0 for a recall. */
  size: number
  accepted: number
  parked: number
  rejected: number
}

/**
 * - `batch`: the next batch, of the same broadcast or of the next one of its topic, leased to the caller
 * - `collecting`: the audience of the broadcast is not complete yet; the caller calls `lease` again
 * - `leased`: another node has the batch
 * - `idle`: no broadcast waits for the topic
 */
export type LeaseBatchResult = { status: 'batch'; batch: Batch } | { status: 'collecting' | 'leased' | 'idle' }

/**
 * The topics and broadcasts of a store.
 *
 * **Members.** One step changes the members of a topic. The store also lists the topics of a user, and that list is exact while other changes are in
 * progress. If a change fails halfway, no list shows it, and the caller repeats it. `Store.erase` ends all memberships of a user.
 *
 * **A broadcast is a durable job.** `start` fixes its audience in one step: who is a member then gets it. Joining or leaving later changes nothing. For
 * everyone, it is every user who has a log at the start; one who gets a log before the audience is complete may be in it, too.
 *
 * **Batches.** The audience is handed out in batches of at most `BATCH_MAX`, one at a time, each leased for `BATCH_LEASE_MS`. A batch that was not
 * settled in that time is leased again, with the same members. `settle` moves the broadcast on and adds the counts in one step; of two nodes that
 * carry out the same batch, the first settles it. The members' publishes are keyed, so that a member gets the notification once.
 *
 * **Order.** The broadcasts of one topic run one after another, in the order of their starts. Those for everyone form a topic of their own.
 *
 * **Cancelling.** After `cancel` no further batch is sent. The members of all batches that were ever leased are handed out once more, with
 * `isRecall`. The caller retracts the notification with `broadcastAt`, so that a publish of a slower node writes nothing.
 *
 * **Erasure.** `Store.erase` removes the name of the user from every broadcast that is kept: from its audience, and from `except`. The numbers of members
 * and the batches stay as they are. A node may have leased a batch with the user before. It publishes with `broadcastAt`, and the store refuses.
 *
 * **Kept.** A broadcast can be looked up until `BROADCAST_KEPT_MS` after its end, and a key has its effect as long.
 *
 * A node's memory does not grow with the number of members. Errors and time are those of `Store`.
 */
export interface Audiences {
  /**
   * Publishes of broadcasts that a node has under way at one time. More make a broadcast faster, and other publishes slower, which share the store
   * with them.
   */
  readonly publishesAtOnce: number

  changeMembers(command: MembersCommand): Promise<MembersResult>

  /**
   * Lists members, in no certain order. A name that is a member all the while is in some page.
   *
   * @throws InvalidRequest if `after` is no `next` of a page
   */
  members(topic: string, after: string | undefined, limit: number): Promise<MembersPage>

  /** Removes all members, in several steps. Broadcasts that have started go on. */
  deleteTopic(topic: string): Promise<void>

  /** Lists the topics of a user in alphabetical order of their UTF-16 units. */
  topicsOf(user: string): Promise<string[]>

  start(command: BroadcastCommand): Promise<StartResult>

  /** Resolves with undefined if there is no such broadcast, or it is no longer kept. */
  broadcast(id: string): Promise<Broadcast | undefined>

  /** Stops a broadcast, and begins its recall, also after it was done. Resolves with undefined as `broadcast` does. */
  cancel(id: string): Promise<Broadcast | undefined>

  /** Leases the next batch of the topic to which a broadcast belongs. */
  lease(broadcastId: string): Promise<LeaseBatchResult>

  /** Ends a batch, and leases the next one as `lease` does. A batch that was settled before changes nothing. */
  settle(command: SettleBatchCommand): Promise<LeaseBatchResult>

  /**
   * Ends the lease of a batch that this node does not carry out to its end, so that another node goes on at once. If the lease has run out and another
   * node has the batch by now, a third one may take it, too, which is harmless. A batch that was settled before changes nothing.
   */
  release(batch: BatchName): Promise<void>

  /** Lists broadcasts of this node's share that no node has leased; a single node has all. One of each topic at most. */
  waiting(): Promise<string[]>
}
