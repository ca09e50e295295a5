import {
  type Audience,
  BATCH_MAX,
  type Batch,
  type BatchName,
  BROADCAST_KEPT_MS,
  type Broadcast,
  type BroadcastCommand,
  type SettleBatchCommand
} from './audiences.ts'
import { bucketOf } from './buckets.ts'

/** Retry time of a start that is refused because too many broadcasts wait, milliseconds. */
export const FULL_RETRY_MS = 10_000

/** A broadcast as a store keeps it, without the names of its audience. The audience has an order, which never changes. */
export interface BroadcastState extends Broadcast {
  publish: Omit<Batch['publish'], 'broadcastAt'>
  /** The audience is not complete. */
  isCollecting: boolean
  /** Number of members in the audience, as far as it is complete. */
  size: number
  /** Number of members in batches that were ever leased. */
  sent: number
  /** Number of members in batches that were settled: of the recall, if there is one. */
  next: number
  isRecalling: boolean
  /** Time at which the broadcast left the queue of its topic, Unix milliseconds; 0: it is in the queue. */
  endedAt: number
}

/** Begins the text that stands for an erased member in an audience. No user's name has this character. */
export const ERASED = '\0'

/** The queue of those for everyone. No topic has this name. */
const EVERYONE = ''

/** Returns the name of the queue that a broadcast waits in. */
export function queueOf(to: Audience): string {
  return 'topic' in to ? to.topic : EVERYONE
}

/** Returns the bucket of a broadcast. */
export function homeOf(to: Audience): number {
  return 'topic' in to ? bucketOf(to.topic) : 0
}

/** Returns the id of a broadcast. */
export function broadcastIdOf({ to, id }: Pick<BroadcastCommand, 'to' | 'id'>): string {
  return homeOf(to).toString(16).padStart(2, '0') + id
}

/** Returns a new broadcast whose audience is not complete. */
export function newBroadcast(command: BroadcastCommand, now: number): BroadcastState {
  const { to, id, tail, halfLife, options } = command
  return {
    id: broadcastIdOf(command),
    to,
    status: 'running',
    accepted: 0,
    parked: 0,
    rejected: 0,
    startedAt: now,
    finishedAt: 0,
    publish: { id, tail, halfLife, options },
    isCollecting: true,
    size: 0,
    sent: 0,
    next: 0,
    isRecalling: false,
    endedAt: 0
  }
}

/** Completes the audience. A broadcast to nobody is done. */
export function completeAudience(state: BroadcastState, size: number, now: number): void {
  state.isCollecting = false
  state.size = size
  endIfSettled(state, now)
}

/** Returns the members of the next batch, as the part of the audience from `from` to before `to`. The batch is the same if it is leased again. */
export function nextSpan({ isRecalling, next, sent, size }: BroadcastState): { from: number; to: number } {
  return { from: next, to: Math.min(next + BATCH_MAX, isRecalling ? sent : size) }
}

/** Notes that the next batch was leased. */
export function noteLease(state: BroadcastState): void {
  state.sent = Math.max(state.sent, nextSpan(state).to)
}

/** Returns true if the next batch of a broadcast is this one. */
export function isNextBatch({ endedAt, isRecalling, next }: BroadcastState, { from, isRecall }: BatchName): boolean {
  return endedAt === 0 && isRecall === isRecalling && from === next
}

/** Ends a batch. Returns false, and changes nothing, if it is not the one that was leased last. */
export function settleBatch(state: BroadcastState, command: SettleBatchCommand, now: number): boolean {
  const { from, isRecall, size, accepted, parked, rejected } = command
  const leasedEnd = Math.min(state.next + BATCH_MAX, state.sent)
  if (!isNextBatch(state, command) || size === 0 || from + size !== leasedEnd) return false
  state.next += size
  if (!isRecall) {
    state.accepted += accepted
    state.parked += parked
    state.rejected += rejected
  }
  endIfSettled(state, now)
  return true
}

/** Cancels a broadcast. If batches of it were leased, their recall begins. Returns false, and changes nothing, if it was cancelled before. */
export function cancelBroadcast(state: BroadcastState, now: number): boolean {
  if (state.status === 'cancelled') return false
  state.status = 'cancelled'
  state.finishedAt = now
  state.isRecalling = true
  state.next = 0
  state.endedAt = state.sent === 0 ? now : 0
  return true
}

/** Returns true if the notification expires before its broadcast starts. */
export function isExpired({ options }: BroadcastCommand, now: number): boolean {
  const { expiresAt = 0 } = options ?? {}
  return expiresAt > 0 && expiresAt <= now
}

/** Returns whether a broadcast that ended is no longer kept. */
export function isForgotten({ endedAt }: Pick<BroadcastState, 'endedAt'>, now: number): boolean {
  return endedAt > 0 && endedAt + BROADCAST_KEPT_MS <= now
}

/** @param names the members of the batch, with `ERASED` for those who were erased */
export function batchOf(state: BroadcastState, names: string[]): Batch {
  const publish = { ...state.publish, broadcastAt: state.startedAt }
  return { broadcastId: state.id, from: state.next, isRecall: state.isRecalling, ...membersIn(names), publish }
}

/** Returns the members of a batch who were not erased, and its size. */
export function membersIn(names: string[]): Pick<Batch, 'users' | 'size'> {
  return { users: names.filter((name) => !name.startsWith(ERASED)), size: names.length }
}

/** Returns an audience without the name of an erased user. */
export function withoutName<To extends Audience>(to: To, name: string): To {
  return { ...to, except: to.except.filter((other) => other !== name) }
}

/** Returns what is told of a broadcast. */
export function broadcastOf(state: BroadcastState): Broadcast {
  const { id, to, status, isCollecting, size, accepted, parked, rejected, startedAt, finishedAt } = state
  return { id, to, status, ...(!isCollecting && { members: size }), accepted, parked, rejected, startedAt, finishedAt }
}

function endIfSettled(state: BroadcastState, now: number): void {
  if (state.isCollecting || state.next < (state.isRecalling ? state.sent : state.size)) return
  state.endedAt = now
  if (state.isRecalling) return
  state.status = 'done'
  state.finishedAt = now
}
