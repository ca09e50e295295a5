/** A user and the time of their nearest call in a lane, Unix milliseconds. */
interface Caller {
  at: number
  user: string
}

/**
 * The users with calls, by lane, those first whose call is due first. A change costs a search in one lane, however many users wait in it or in
 * others.
 */
export class LaneIndex {
  readonly #callersByLane = new Map<string, Caller[]>()
  readonly #timesByUser = new Map<string, ReadonlyMap<string, number>>()

  /** Returns the time of the nearest call in each lane of the user. */
  timesOf(user: string): ReadonlyMap<string, number> {
    return this.#timesByUser.get(user) ?? NO_TIMES
  }

  /** Sets the time of the nearest call in each lane of the user. */
  set(user: string, times: ReadonlyMap<string, number>): void {
    const before = this.timesOf(user)
    for (const [lane, at] of before) if (times.get(lane) !== at) this.#remove(lane, { at, user })
    for (const [lane, at] of times) if (before.get(lane) !== at) this.#add(lane, { at, user })
    if (times.size > 0) this.#timesByUser.set(user, times)
    else this.#timesByUser.delete(user)
  }

  /** Returns users with a call in the lane that is due, at most `limit`, those first that have waited longest. */
  dueUsers(lane: string, now: number, limit: number): string[] {
    const users: string[] = []
    for (const { at, user } of this.#callersByLane.get(lane) ?? []) {
      if (at > now || users.length === limit) break
      users.push(user)
    }
    return users
  }

  #add(lane: string, caller: Caller): void {
    const callers = this.#callersByLane.get(lane)
    if (callers === undefined) this.#callersByLane.set(lane, [caller])
    else callers.splice(placeOf(callers, caller), 0, caller)
  }

  #remove(lane: string, caller: Caller): void {
    const callers = this.#callersByLane.get(lane) as Caller[]
    callers.splice(placeOf(callers, caller), 1)
    if (callers.length === 0) this.#callersByLane.delete(lane)
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
