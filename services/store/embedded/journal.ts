import { setImmediate as turn } from 'node:timers/promises'
import type { Operation } from './database.ts'

/** Operations of one group, so that encoding a group does not block the event loop. */
const GROUP_MAX = 2000

/** Writes that one sync brings to disk. */
export class CommitGroup {
  readonly operations: Operation[] = []
  /** Callbacks, called in order when the group is on disk, after the callers that wait for `done` have continued. */
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
 * Group commit: writes that arrive while a group is being synced form the next group.
 *
 * After a failed write the content of the database is not known. All groups that wait are rejected, and the journal must not be used again.
 */
export class Journal {
  readonly #database: { write(operations: Operation[]): Promise<void> }
  readonly #onFailure: (cause: unknown) => Error
  #groups: CommitGroup[] = []
  #running: Promise<void> | undefined

  /** @param onFailure called once, with the cause of a failed write; returns the error for the callers that wait */
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

  /** Resolves when all groups are on disk or rejected, and their callbacks were called. */
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
