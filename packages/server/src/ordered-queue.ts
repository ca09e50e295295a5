/** A call in an `OrderedQueue`. */
export interface QueuedCall {
  /** Calls with a common key are taken in the order in which they were added. */
  readonly keys: readonly string[]
  /** Size in a batch. */
  readonly bytes: number
  /** It has settled: it is not taken any more. */
  isOver: boolean
  /** Above 0: it was refused before, and may be again, so no later call of its keys goes in its batch. */
  failures: number
}

/** The calls of one key. */
interface Lane<Call> {
  waiting: Call[]
  /** The batch that holds calls of this key and is not released yet. */
  holder: readonly Call[] | undefined
}

/**
 * A queue whose calls are taken in batches.
 *
 * Order: a call is taken only when each earlier call with one of its keys has been released, or is before it in the same batch. So two batches
 * that are under way never have a key in common. A call that is put back comes before the later calls of its keys. Each operation costs as much as the calls it moves, however many wait.
 */
export class OrderedQueue<Call extends QueuedCall> {
  readonly #lanes = new Map<string, Lane<Call>>()
  /** Calls that are first in all their lanes, none of which is held. */
  readonly #ready = new Set<Call>()

  get isReady(): boolean {
    return this.#ready.size > 0
  }

  add(call: Call): void {
    for (const key of call.keys) {
      const lane = this.#lanes.get(key)
      if (lane === undefined) this.#lanes.set(key, { waiting: [call], holder: undefined })
      else lane.waiting.push(call)
    }
    if (this.#canTake(call, undefined)) this.#ready.add(call)
  }

  /** Takes calls and holds their lanes, until `release` or `putBack`. A call that alone is larger than `maxBytes` is taken alone. */
  take(maxCalls: number, maxBytes: number): Call[] {
    const batch: Call[] = []
    let bytes = 0
    // A call of another key is taken before a second one of the same key, so that a burst for one user does not hold up others.
    const followers = new Set<Call>()
    while (batch.length < maxCalls) {
      const source = this.#ready.size > 0 ? this.#ready : followers
      const [call] = source
      if (call === undefined || (batch.length > 0 && !call.isOver && bytes + call.bytes > maxBytes)) break
      source.delete(call)
      if (!call.isOver) {
        batch.push(call)
        bytes += call.bytes
      }
      for (const key of call.keys) {
        const lane = this.#lanes.get(key) as Lane<Call>
        lane.waiting.shift()
        if (!call.isOver) lane.holder = batch
        const next = lane.waiting[0]
        if (next !== undefined && (call.isOver || call.failures === 0) && this.#canTake(next, batch)) followers.add(next)
        if (next === undefined && lane.holder === undefined) this.#lanes.delete(key)
      }
    }
    for (const call of followers) if (this.#canTake(call, undefined)) this.#ready.add(call)
    return batch
  }

  /** Frees the lanes of a batch, but not those of the calls in `kept`, which become a batch of their own. */
  release(batch: readonly Call[], kept: readonly Call[] = []): void {
    for (const { keys } of batch) for (const key of keys) this.#laneOf(key).holder = undefined
    for (const { keys } of kept) for (const key of keys) this.#laneOf(key).holder = kept
    for (const { keys } of batch) for (const key of keys) this.#wake(key)
  }

  /** Puts calls of a batch back to the front of their lanes, in their order, and frees the lanes of the whole batch. */
  putBack(batch: readonly Call[], calls: readonly Call[] = batch): void {
    for (const call of [...calls].reverse()) for (const key of call.keys) this.#laneOf(key).waiting.unshift(call)
    this.release(batch)
  }

  #laneOf(key: string): Lane<Call> {
    return this.#lanes.get(key) as Lane<Call>
  }

  #wake(key: string): void {
    const lane = this.#lanes.get(key)
    if (lane === undefined || lane.holder !== undefined) return
    const [first] = lane.waiting
    if (first === undefined) this.#lanes.delete(key)
    else if (this.#canTake(first, undefined)) this.#ready.add(first)
  }

  /** Returns true if a call is first in all its lanes, and no lane is held by a batch other than `batch`. */
  #canTake(call: Call, batch: readonly Call[] | undefined): boolean {
    return call.keys.every((key) => {
      const { waiting, holder } = this.#laneOf(key)
      return waiting[0] === call && (holder === undefined || holder === batch)
    })
  }
}
