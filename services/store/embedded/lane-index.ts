/** A user and the time of their nearest call in a lane, Unix milliseconds. */
interface Caller {
  at: number
  user: string
}

/** The users with calls in one lane. */
interface LaneCallers {
  /** Those first whose call is due first. */
  sorted: Caller[]
  byUser: Map<string, Caller>
}

/**
 * The users with calls, by lane, those first whose call is due first. A change searches one lane, and does not depend on the other lanes. The
 * index holds about 150 bytes per user and lane. It does not hold the calls, which are on disk.
 */
export class LaneIndex {
  readonly #callersByLane = new Map<string, LaneCallers>()

  /** Returns the time of the nearest call in each lane of the user. */
  timesOf(user: string): ReadonlyMap<string, number> {
    let times: Map<string, number> | undefined
    for (const [lane, { byUser }] of this.#callersByLane) {
      const caller = byUser.get(user)
      if (caller === undefined) continue
      times ??= new Map()
      times.set(lane, caller.at)
    }
    return times ?? NO_TIMES
  }

  /** Sets the time of the nearest call in each lane of the user. */
  set(user: string, times: ReadonlyMap<string, number>): void {
    const before = this.timesOf(user)
    for (const [lane, at] of before) if (times.get(lane) !== at) this.#remove(lane, user)
    for (const [lane, at] of times) if (before.get(lane) !== at) this.#add(lane, { at, user })
  }

  /** Returns users with a call in the lane that is due, at most `limit`, those first that have waited longest. */
  dueUsers(lane: string, now: number, limit: number): string[] {
    const users: string[] = []
    for (const { at, user } of this.#callersByLane.get(lane)?.sorted ?? []) {
      if (at > now || users.length === limit) break
      users.push(user)
    }
    return users
  }

  #add(lane: string, caller: Caller): void {
    const { sorted, byUser } = this.#callersByLane.get(lane) ?? { sorted: [], byUser: new Map<string, Caller>() }
    this.#callersByLane.set(lane, { sorted, byUser })
    sorted.splice(placeOf(sorted, caller), 0, caller)
    byUser.set(caller.user, caller)
  }

  #remove(lane: string, user: string): void {
    const { sorted, byUser } = this.#callersByLane.get(lane) as LaneCallers
    sorted.splice(placeOf(sorted, byUser.get(user) as Caller), 1)
    byUser.delete(user)
    if (sorted.length === 0) this.#callersByLane.delete(lane)
  }
}

const NO_TIMES: ReadonlyMap<string, number> = new Map()

/** Returns the index of the first caller that is not before another one: by time, then by user. */
function placeOf(callers: Caller[], { at, user }: Caller): number {
  let low = 0
  let high = callers.length
  while (low < high) {
    const middle = (low + high) >> 1
    const other = callers[middle] as Caller
    if (other.at < at || (other.at === at && other.user < user)) low = middle + 1
    else high = middle
  }
  return low
}
