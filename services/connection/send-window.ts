import type { Position } from '../protocol/index.ts'

/**
 * The outcome of an acknowledgement.
 * `moved`: it goes further than every earlier one, to the start of the window or after it.
 * `behind`: it goes further than every earlier one, but lies before the start of the window.
 * `late`: it is the first one for a row that was sent before a gap. It moves nothing.
 * `repeated`: it tells nothing new. `unknown`: the connection sent no such row.
 */
type AckOutcome = 'moved' | 'behind' | 'late' | 'repeated' | 'unknown'

/** Rows that were sent without a gap between them. `sent` and `acked` are offsets. */
interface Run {
  epoch: string
  sent: number
  acked: number
}

/** Earlier runs whose acknowledgements may still arrive. */
const MAX_FORMER_RUNS = 4

/**
 * The frames that a connection has sent and the client has not acknowledged. Rows without a frame take no room in the window.
 *
 * The window is not the stored cursor of the device: an acknowledgement behind the window moves that cursor, too.
 */
export class SendWindow {
  /** The position up to which the client has received everything for certain: the newest that it acknowledged, or that of `hello`. */
  received: Position = { epoch: '', offset: 0, id8: '' }
  /** Offsets of the frames in flight, ascending. */
  #inFlight: number[] = []
  #start = 0
  #acked = -1
  #former: Run[] | undefined

  get inFlight(): number {
    return this.#inFlight.length
  }

  /**
   * Restarts the window at a position: that of `hello`, or the end of a gap.
   *
   * @param sent the newest row sent before
   * @param isStored the position is the stored cursor of the device, so that an acknowledgement of it tells nothing new
   */
  restart(start: Position, sent: Position, isStored = false): void {
    if (sent.epoch === '') this.received = start
    else this.#former = [...(this.#former ?? []), { epoch: sent.epoch, sent: sent.offset, acked: this.#acked }].slice(-MAX_FORMER_RUNS)
    this.#inFlight = []
    this.#start = start.offset
    this.#acked = isStored ? start.offset : -1
  }

  /** Records a frame that was sent. */
  push(offset: number): void {
    this.#inFlight.push(offset)
  }

  /**
   * Takes an acknowledgement of everything up to and with `position`.
   *
   * @param sent the newest row sent
   */
  acknowledge(position: Position, sent: Position): AckOutcome {
    const { epoch, offset } = position
    const current = epoch === sent.epoch && offset <= sent.offset
    if (current && offset >= this.#start && offset > this.#acked) {
      this.#advance(offset)
      this.received = position
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
    const acknowledged = this.#inFlight.findIndex((sent) => sent > offset)
    this.#inFlight.splice(0, acknowledged < 0 ? this.#inFlight.length : acknowledged)
  }
}
