import type { Position } from '../protocol/index.ts'

/**
 * The outcome of an acknowledgement.
 * `moved`: it gets further than any before it, at or after the place the cursor started from.
 * `behind`: it lies before that place, and gets further than any before it.
 * `late`: it is the first for a row sent before a gap, and moves nothing.
 * `repeated`: nothing new. `unknown`: no such row was sent.
 */
export type AckOutcome = 'moved' | 'behind' | 'late' | 'repeated' | 'unknown'

/** Rows sent one after the other without a gap. `sent` and `acked` are offsets. */
interface Run {
  epoch: string
  sent: number
  acked: number
}

/** Runs before a gap whose acknowledgements may still arrive. */
const MAX_FORMER_RUNS = 4

/**
 * The frames of a connection that were sent and not acknowledged yet, and the acknowledgements that may come. Rows without a frame take no place.
 * The device's stored cursor is another thing: an acknowledgement moves it wherever this window stands.
 */
export class SendWindow {
  /** Offsets of the frames in flight, ascending. */
  #inFlight: number[] = []
  #start = 0
  #acked = -1
  #former: Run[] | undefined

  get inFlight(): number {
    return this.#inFlight.length
  }

  /**
   * Starts at a position: that of `hello`, or the end of a gap.
   *
   * @param sent the newest row sent before
   * @param stored the position is the device's stored cursor, so that an acknowledgement of it is nothing new
   */
  restart(start: Position, sent: Position, stored = false): void {
    if (sent.epoch !== '')
      this.#former = [...(this.#former ?? []), { epoch: sent.epoch, sent: sent.offset, acked: this.#acked }].slice(-MAX_FORMER_RUNS)
    this.#inFlight = []
    this.#start = start.offset
    this.#acked = stored ? start.offset : -1
  }

  /** Takes note of a frame that was sent. */
  push(offset: number): void {
    this.#inFlight.push(offset)
  }

  /**
   * Takes an acknowledgement of everything up to and with `position`.
   *
   * @param sent the newest row sent
   */
  acknowledge({ epoch, offset }: Position, sent: Position): AckOutcome {
    const current = epoch === sent.epoch && offset <= sent.offset
    if (current && offset >= this.#start && offset > this.#acked) {
      this.#advance(offset)
      return 'moved'
    }
    const former = this.#former?.filter((run) => run.epoch === epoch && offset <= run.sent) ?? []
    const late = former.find((run) => offset > run.acked)
    if (late !== undefined) {
      late.acked = offset
      return 'late'
    }
    if (current && offset > this.#acked) {
      this.#advance(offset)
      return 'behind'
    }
    return current || former.length > 0 ? 'repeated' : 'unknown'
  }

  #advance(offset: number): void {
    this.#acked = offset
    const left = this.#inFlight.findIndex((sent) => sent > offset)
    this.#inFlight.splice(0, left < 0 ? this.#inFlight.length : left)
  }
}
