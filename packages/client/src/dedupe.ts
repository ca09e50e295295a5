import { formatEventId, type Position, parseEventId } from '../../../services/protocol/index.ts'

const IDS_KEPT = 1000

/**
 * What to do with a row. `new`: show it; `shown`: its id was shown before, under another offset; `old`: at or below the last;
 * `hole`: rows before it are missing.
 */
export type Check = 'new' | 'shown' | 'old' | 'hole'

/** Where the log has been read to, and the last 1,000 ids shown. */
export class Dedupe {
  #last: Position | undefined
  #ids = new Set<string>()

  /** The last position, '' when there is none. */
  get last(): string {
    return this.#last ? formatEventId(this.#last) : ''
  }

  /** Oldest first, with spaces between. */
  get ids(): string {
    return [...this.#ids].join(' ')
  }

  load(last: string, ids: string): void {
    this.#last = parseEventId(last)
    for (const id of ids.split(' ')) this.#remember(id)
  }

  /**
   * Moves the position to a row, unless it is `old` or a `hole`.
   *
   * @param id the notification's, undefined for other rows
   * @param gapless whether a hole matters: live rows of a connection follow each other, replayed ones need not
   */
  check(eventId: string, id: string | undefined, gapless: boolean): Check {
    const at = parseEventId(eventId)
    if (at && this.#last) {
      const ahead = at.epoch === this.#last.epoch ? at.offset - this.#last.offset : Number.NaN
      if (ahead <= 0) return 'old'
      if (ahead !== 1 && gapless) return 'hole'
    }
    this.#last = at ?? this.#last
    return id && this.#remember(id) ? 'shown' : 'new'
  }

  /** The replay is over: rows before this place will not come any more. */
  caughtUp(eventId: string): void {
    const at = parseEventId(eventId)
    if (at && (at.epoch !== this.#last?.epoch || at.offset > this.#last.offset)) this.#last = at
  }

  /** Offsets start anew with the next row; ids still count. */
  gap(): void {
    this.#last = undefined
  }

  #remember(id: string): boolean {
    if (id === '') return false
    const known = this.#ids.delete(id)
    this.#ids.add(id)
    if (this.#ids.size > IDS_KEPT) this.#ids.delete(this.#ids.values().next().value as string)
    return known
  }
}
