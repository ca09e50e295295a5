import { isAtOrBefore, isEventId, isNext } from './order.ts'
import { Recent } from './recent.ts'
import type { Memory } from './storage.ts'

/** With fewer ids than this, all are written each time. With more, only new ids are written, under `recent`, and merged at this number. */
const MERGE_IDS = 1000

/**
 * The result of `check()`. `new`: show the row; `shown`: the notification was shown before, at another offset; `old`: the row is at or
 * before the position; `hole`: rows before it are missing.
 */
type Check = 'new' | 'shown' | 'old' | 'hole'

/** The position up to which the log was read, and the ids of the notifications whose handlers have finished. */
export class Dedupe {
  /** The last event id; '' for none. */
  last = ''
  readonly #ids = new Recent()
  /** Ids that are not written under `shown` yet. Some of them may be. */
  #unmerged: string[] = []

  load(memory: Memory): void {
    const last = memory.get('last')
    this.last = isEventId(last) ? last : ''
    this.#unmerged.push(...memory.get('recent').split(' '))
    for (const id of memory.get('shown').split(' ').concat(this.#unmerged)) if (id) this.#ids.see(id)
  }

  /** Writes the settled ids. `recent` is not cleared when `shown` is written: its ids are in `shown` then. */
  save(memory: Memory): void {
    if (this.#unmerged.length >= MERGE_IDS || this.#ids.size < MERGE_IDS) {
      this.#unmerged = []
      memory.set('shown', [...this.#ids].join(' '))
    } else memory.set('recent', this.#unmerged.join(' '))
  }

  /**
   * Moves the position to a row, unless the row is `old` or after a `hole`.
   *
   * @param id of the notification; undefined for other rows
   * @param gapless true for live rows, which follow each other without a hole; replays may skip rows
   */
  check(eventId: string, id: string | undefined, gapless: boolean): Check {
    if (isAtOrBefore(eventId, this.last)) return 'old'
    if (this.last && gapless && !isNext(eventId, this.last)) return 'hole'
    this.last = eventId
    return id && this.#ids.has(id) ? 'shown' : 'new'
  }

  /** Remembers a notification whose handlers have finished, so that it is not shown again. */
  settle(id: string): void {
    this.#ids.see(id)
    this.#unmerged.push(id)
  }

  /** Moves the position to the end of a replay: rows that the replay skipped will not be sent. */
  caughtUp(eventId: string): void {
    if (eventId && !isAtOrBefore(eventId, this.last)) this.last = eventId
  }

  /** Forgets the position: after a gap the next row sets another. The ids stay. */
  gap(): void {
    this.last = ''
  }
}
