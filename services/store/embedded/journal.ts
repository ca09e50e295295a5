import { setImmediate as turn } from 'node:timers/promises'
import type { Operation } from './database.ts'

/** Operations written at once at most, so that no group holds up the event loop. */
const GROUP_MAX = 2000

/** Writes that reach the disk by one sync. */
export class CommitGroup {
  readonly operations: Operation[] = []
  /** Called in order once the group is on disk, after those who wait for `done` have been told. */
  readonly afterwards: (() => void)[] = []
  /** Resolves when the group is on disk. */
  readonly done: Promise<void>
  settled = false
  #resolve: () => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.done.catch(() => {})
  }

  settle(error?: Error): void {
    this.settled = true
    this.operations.length = 0
    if (error === undefined) this.#resolve()
    else this.#reject(error)
    if (error !== undefined || this.afterwards.length === 0) return
    setImmediate(() => {
      for (const call of this.afterwards) call()
    })
  }
}

/**
 * Group commit: what arrives while one group is being synced goes into the next.
 * After a write that failed nothing is known of the database: everything that waits is rejected, and the journal is at its end.
 */
export class Journal {
  readonly #database: { write(operations: Operation[]): Promise<void> }
  readonly #onFailure: (cause: unknown) => Error
  #groups: CommitGroup[] = []
  #running: Promise<void> | undefined

  /** @param onFailure called once, with what a write failed of; gives the error for those who wait */
  constructor(database: { write(operations: Operation[]): Promise<void> }, onFailure: (cause: unknown) => Error) {
    this.#database = database
    this.#onFailure = onFailure
  }

  add(operations: Operation[]): CommitGroup {
    let group = this.#groups.at(-1)
    if (group === undefined || group.operations.length >= GROUP_MAX) {
      group = new CommitGroup()
      this.#groups.push(group)
    }
    for (const operation of operations) group.operations.push(operation)
    this.#running ??= this.#run()
    return group
  }

  /** Resolves when everything that was added is on disk, or was rejected, and all is told. */
  async drain(): Promise<void> {
    await this.#running
    await turn()
  }

  async #run(): Promise<void> {
    await turn()
    for (let group = this.#groups.shift(); group !== undefined; group = this.#groups.shift()) {
      try {
        await this.#database.write(group.operations)
        group.settle()
      } catch (cause) {
        const error = this.#onFailure(cause)
        for (const lost of [group, ...this.#groups]) lost.settle(error)
        this.#groups = []
      }
    }
    this.#running = undefined
  }
}
