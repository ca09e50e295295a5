import { ahead } from './order.ts'
import { Recent } from './recent.ts'
import type { Memory } from './storage.ts'

/** Below this number all ids are written at once; above it so many of the newest are written apart, then merged. */
const MERGE_IDS = 1000

/**
 * What to do with a row. `new`: show it; `shown`: its id was shown before, under another offset; `old`: at or below the last;
 * `hole`: rows before it are missing.
 */
export type Check = 'new' | 'shown' | 'old' | 'hole'

/** Where the log has been read to, and the ids of the notifications whose handlers have finished. */
export class Dedupe {
  /** The last event id, '' when there is none. */
  last = ''
  readonly #ids = new Recent()
  /** At least those that `shown` does not hold. */
  #fresh: string[] = []

  load(memory: Memory): void {
    const last = memory.get('last')
    // What is no event id has no distance to itself.
    this.last = ahead(last, last) === 0 ? last : ''
    this.#fresh.push(...memory.get('recent').split(' '))
    for (const id of memory.get('shown').split(' ').concat(this.#fresh)) if (id) this.#ids.see(id)
  }

  /** Writes the settled ids. A `recent` that is older than `shown` is part of it. */
  save(memory: Memory): void {
    if (this.#fresh.length >= MERGE_IDS || this.#ids.size < MERGE_IDS) {
      this.#fresh = []
      memory.set('shown', [...this.#ids].join(' '))
    } else memory.set('recent', this.#fresh.join(' '))
  }

  /**
   * Moves the position to a row, unless it is `old` or a `hole`.
   *
   * @param id the notification's, undefined for other rows
   * @param gapless whether a hole matters: live rows of a connection follow each other, replayed ones need not
   */
  check(eventId: string, id: string | undefined, gapless: boolean): Check {
    const steps = ahead(eventId, this.last)
    if (steps <= 0) return 'old'
    if (this.last && gapless && steps !== 1) return 'hole'
    this.last = eventId
    return id && this.#ids.has(id) ? 'shown' : 'new'
  }

  /** The handlers of the notification have finished: it is not shown again. */
  settle(id: string): void {
    this.#ids.see(id)
    this.#fresh.push(id)
  }

  /** The replay is over: rows before this place will not come any more. */
  caughtUp(eventId: string): void {
    if (eventId && !(ahead(eventId, this.last) <= 0)) this.last = eventId
  }

  /** Offsets start anew with the next row; ids still count. */
  gap(): void {
    this.last = ''
  }
}
