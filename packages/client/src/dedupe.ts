import { ahead } from './order.ts'
import { Recent } from './recent.ts'

/**
 * What to do with a row. `new`: show it; `shown`: its id was shown before, under another offset; `old`: at or below the last;
 * `hole`: rows before it are missing.
 */
export type Check = 'new' | 'shown' | 'old' | 'hole'

/** Where the log has been read to, and the last 1,000 ids shown. */
export class Dedupe {
  /** The last event id, '' when there is none. */
  last = ''
  #ids = new Recent()

  /** Oldest first, with spaces between. */
  get ids(): string {
    return [...this.#ids].join(' ')
  }

  load(last: string, ids: string): void {
    // What is no event id has no distance to itself.
    this.last = ahead(last, last) === 0 ? last : ''
    for (const id of ids.split(' ')) if (id) this.#ids.see(id)
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
    return id && this.#ids.see(id) ? 'shown' : 'new'
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
