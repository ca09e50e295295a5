/**
 * A node's tally of its counter in one bucket. It holds the invariant of *gapless counters* (docs/explanation/store.md): a node that has
 * heard every number up to the counter has missed nothing.
 */
export class WakeupTally {
  /** Numbers up to this one are settled: the connections of the bucket have read the log since. */
  #base = 0
  /** Number of counters above `#base` that the node has heard. */
  #count = 0
  /** Value of the counter at the last check. By the next check every number up to it must have been heard. */
  #target = 0
  /** Numbers heard above `#target`. They must not be counted towards it. */
  #aboveTarget: number[] = []
  /** Numbers heard while the base is being read; undefined while the base is known. */
  #heardBeforeBase: number[] | undefined = []

  get isKnown(): boolean {
    return this.#heardBeforeBase === undefined
  }

  /** True if the node has heard nothing above the target: without users of its own in the bucket, nothing is to be checked. */
  get isIdle(): boolean {
    return this.#aboveTarget.length === 0
  }

  /** True if the node has heard every number up to the target. */
  get hasReachedTarget(): boolean {
    return this.hasHeardUpTo(this.#target)
  }

  /** The highest number that the node can have heard, if it has missed none. */
  get heard(): number {
    return this.#base + this.#count
  }

  /** Returns whether the node has heard every number up to a value of the counter. */
  hasHeardUpTo(counter: number): boolean {
    return this.heard - this.#aboveTarget.filter((number) => number > counter).length >= counter
  }

  /** Notes a number that the node heard. */
  note(counter: number): void {
    if (this.#heardBeforeBase !== undefined) this.#heardBeforeBase.push(counter)
    else if (counter > this.#base) {
      this.#count += 1
      if (counter > this.#target) this.#aboveTarget.push(counter)
    }
  }

  /** Sets the value of the counter that must be reached by the next check. */
  aim(counter: number): void {
    this.#target = counter
    this.#aboveTarget = this.#aboveTarget.filter((number) => number > counter)
  }

  /** Starts afresh from the value that `readCounter` resolves with. Numbers heard in the meantime count. A later call wins. */
  async rebase(readCounter: () => Promise<number>): Promise<void> {
    const heard: number[] = []
    this.#heardBeforeBase = heard
    const base = await readCounter()
    if (this.#heardBeforeBase !== heard) return
    this.#base = base
    this.#aboveTarget = heard.filter((counter) => counter > base)
    this.#count = this.#aboveTarget.length
    this.#target = base
    this.#heardBeforeBase = undefined
  }
}
