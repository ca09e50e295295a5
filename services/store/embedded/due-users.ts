import { nearestTime } from '../due.ts'
import { nearestByLane } from '../outbox-state.ts'
import type { UserState } from '../state.ts'
import type { CheckedEntry, Operation } from './database.ts'
import {
  decodeLanes,
  decodeTime,
  encodeLanesIndex,
  encodeParkedIndex,
  encodeTimesIndex,
  lanesRange,
  parkedRange,
  timesRange,
  userOfIndexKey
} from './index-codec.ts'
import { LaneIndex } from './lane-index.ts'

/** The users for whom something is due, by time. The data folder keeps the same, so that it is known after a restart. */
export class DueUsers {
  /** Time of the next release by user, of users with parked notifications, Unix milliseconds; 0: now, or not known yet. */
  readonly #releaseAtByUser = new Map<string, number>()
  /** Time of the next expiry, delivery or check by user, of users who have one, Unix milliseconds; 0: not known yet. */
  readonly #nearestAtByUser = new Map<string, number>()
  readonly #lanes = new LaneIndex()

  static async load(database: { range(from: Buffer, to: Buffer): Promise<CheckedEntry[]> }): Promise<DueUsers> {
    const due = new DueUsers()
    for (const [key] of await database.range(...parkedRange)) due.#releaseAtByUser.set(userOfIndexKey(key), 0)
    for (const [key, value] of await database.range(...timesRange)) due.#nearestAtByUser.set(userOfIndexKey(key), decodeTime(value))
    for (const [key, value] of await database.range(...lanesRange)) due.#lanes.set(userOfIndexKey(key), decodeLanes(value))
    return due
  }

  /**
   * Notes the times of a user after a step. Returns the operations for the data folder if `changed` says that the step changed the state.
   *
   * @param nextRelease Unix milliseconds; read only if notifications are parked
   */
  note(user: string, state: UserState, nextRelease: () => number, now: number, changed: boolean): Operation[] {
    const nearest = nearestTime(state)
    const operations = changed ? this.#changes(user, state, nearest) : []
    // 0 keeps a due notification due, also if the clock is set back later.
    if (state.parked.length > 0) this.#releaseAtByUser.set(user, nextRelease() <= now ? 0 : nextRelease())
    else this.#releaseAtByUser.delete(user)
    if (nearest > 0) this.#nearestAtByUser.set(user, nearest)
    else this.#nearestAtByUser.delete(user)
    return operations
  }

  /** Returns the users for whom a release, an expiry, a delivery or a check is due. */
  users(now: number, rateWindowMs: number): string[] {
    const users = new Set<string>()
    // The next release is due within a window. A time beyond it was noted before the clock was set back, or under a longer window.
    const windowEnd = now + rateWindowMs
    for (const [user, dueAt] of this.#releaseAtByUser) if (dueAt <= now || dueAt > windowEnd) users.add(user)
    for (const [user, at] of this.#nearestAtByUser) if (at <= now) users.add(user)
    return [...users]
  }

  /** Returns users with a call in the lane that is due, at most `limit`, those first that have waited longest. */
  callers(lane: string, now: number, limit: number): string[] {
    return this.#lanes.dueUsers(lane, now, limit)
  }

  #changes(user: string, state: UserState, nearest: number): Operation[] {
    const operations: Operation[] = []
    const parked = state.parked.length > 0
    if (parked !== this.#releaseAtByUser.has(user)) operations.push(encodeParkedIndex(user, parked))
    if (nearest !== (this.#nearestAtByUser.get(user) ?? 0)) operations.push(encodeTimesIndex(user, nearest))
    const lanes = nearestByLane(state)
    if (!isSame(lanes, this.#lanes.timesOf(user))) {
      operations.push(encodeLanesIndex(user, lanes))
      this.#lanes.set(user, lanes)
    }
    return operations
  }
}

function isSame(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): boolean {
  return one.size === other.size && [...one].every(([lane, at]) => other.get(lane) === at)
}
