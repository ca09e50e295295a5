import { type DigestFrame, formatEventId, type Position, type RetractFrame, type ServerFrame, type StateFrame } from '../protocol/index.ts'
import { digestIn, retractedOffset, retractionIn, rowId, rowId8, rowKind, rowTail, stateChangeIn } from '../store/row.ts'
import type { Backlog } from '../store/store.ts'

const TEXT_FRAME = 0x81

const EVENT_END = Buffer.from('\n\n')

/**
 * One message to a client, encoded once and shared by every socket it goes to.
 *
 * `ws` is a whole unmasked WebSocket text frame (RFC 6455 §5.2), `text` the JSON inside it, without a copy.
 */
export class Frame {
  readonly ws: Buffer
  readonly eventId: string
  readonly #start: number
  #event: Buffer | undefined

  /**
   * JSON text, joined: the head, a row's tail, copied unread, and the end.
   *
   * @param head with a row: ASCII
   * @param end ASCII
   */
  constructor(eventId: string, head: string, row?: Buffer, end = '') {
    const headLength = row === undefined ? Buffer.byteLength(head) : head.length
    const tail = row === undefined ? undefined : rowTail(row)
    const length = headLength + (tail?.length ?? 0) + end.length
    const start = length < 126 ? 2 : length < 65_536 ? 4 : 10
    const ws = Buffer.allocUnsafe(start + length)
    ws[0] = TEXT_FRAME
    if (start === 2) ws[1] = length
    else if (start === 4) {
      ws[1] = 126
      ws.writeUInt16BE(length, 2)
    } else {
      ws[1] = 127
      ws.writeBigUInt64BE(BigInt(length), 2)
    }
    ws.write(head, start, row === undefined ? 'utf8' : 'latin1')
    tail?.copy(ws, start + headLength)
    for (let i = 0; i < end.length; i++) ws[start + length - end.length + i] = end.charCodeAt(i)
    this.ws = ws
    this.eventId = eventId
    this.#start = start
  }

  get text(): Buffer {
    return this.ws.subarray(this.#start)
  }

  /** The frame as a server-sent event: the event id as `id`, the JSON as `data`. */
  get event(): Buffer {
    this.#event ??= this.#encodeEvent()
    return this.#event
  }

  #encodeEvent(): Buffer {
    const head = this.eventId === '' ? 'data: ' : `id: ${this.eventId}\ndata: `
    return Buffer.concat([Buffer.from(head), this.text, EVENT_END])
  }
}

/** A frame that is no row of the log. */
export function plainFrame(frame: ServerFrame): Frame {
  return new Frame('', JSON.stringify(frame))
}

const HEADS = { s: 'state', r: 'retract', d: 'digest' } as const

/** The live frame of a row, or undefined for a row that has none (recalled, lost). The tail is copied, never parsed. */
export function rowFrame(position: Position, row: Buffer): Frame | undefined {
  const kind = rowKind(row)
  const eventId = formatEventId(position)
  if (kind === 'n') return notificationFrame(eventId, '', row)
  if (kind === 's' || kind === 'r' || kind === 'd') return new Frame(eventId, `{"type":"${HEADS[kind]}","eventId":"${eventId}",`, row)
  return undefined
}

/**
 * The frames of one read, which say the final truth only. A notification comes with the state it has now, a change of state only for ids that
 * still have it and did not come with it already, a retraction only for what may have been seen (a client that comes back may have shown
 * more than it acknowledged); counts are those of now.
 */
export class Replay {
  readonly #backlog: Backlog
  /** Ids of the notifications before row `#looked`: found out when a change of state asks for them. */
  readonly #ids = new Set<string>()
  #looked = 0

  constructor(backlog: Backlog) {
    this.#backlog = backlog
  }

  /** The frame of a row, by its place among the rows read, or undefined for one that has nothing to say any more. */
  frame(index: number): Frame | undefined {
    const { epoch, start, rows, states } = this.#backlog
    const row = rows[index] as Buffer
    const eventId = formatEventId({ epoch, offset: start.offset + 1 + index, id8: rowId8(row) })
    const kind = rowKind(row)
    if (kind === 'n') {
      const state = states.size === 0 ? undefined : states.get(rowId(row))
      return notificationFrame(eventId, state === undefined ? '"replay":true,' : `"replay":true,"state":"${state}",`, row)
    }
    return kind === 's' || kind === 'r' || kind === 'd' ? this.#change(index, eventId, kind, row) : undefined
  }

  #change(index: number, eventId: string, kind: 's' | 'r' | 'd', row: Buffer): Frame | undefined {
    const { resumed, start, states, unread } = this.#backlog
    if (kind === 'r' && !resumed && retractedOffset(row) > start.offset) return undefined
    if (kind === 'r') return changeFrame({ type: 'retract', eventId, replay: true, ...retractionIn(row), unread })
    if (kind === 'd') return changeFrame({ type: 'digest', eventId, replay: true, ...digestIn(row), unread })
    const change = stateChangeIn(row)
    const sent = this.#idsBefore(index)
    const ids = change.ids.filter((id) => !sent.has(id) && (states.get(id) ?? 'unread') === change.state)
    return ids.length === 0 ? undefined : changeFrame({ type: 'state', eventId, replay: true, ...change, ids, unread })
  }

  #idsBefore(index: number): Set<string> {
    for (; this.#looked < index; this.#looked++) {
      const row = this.#backlog.rows[this.#looked] as Buffer
      if (rowKind(row) === 'n') this.#ids.add(rowId(row))
    }
    return this.#ids
  }
}

function changeFrame(frame: StateFrame | RetractFrame | DigestFrame): Frame {
  return new Frame(frame.eventId, JSON.stringify(frame))
}

function notificationFrame(eventId: string, flags: string, row: Buffer): Frame {
  return new Frame(eventId, `{"type":"notification","eventId":"${eventId}",${flags}"notification":{"id":"${rowId(row)}",`, row, '}')
}
