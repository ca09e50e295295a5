import {
  type AnsweredFrame,
  type DigestFrame,
  formatEventId,
  type Position,
  type RetractFrame,
  type ServerFrame,
  type StateFrame
} from '../protocol/index.ts'
import {
  answeredIn,
  digestIn,
  hasExpired,
  type RowKind,
  retractedOffset,
  retractionIn,
  rowId,
  rowId8,
  rowKind,
  rowTail,
  stateChangeIn
} from '../store/row.ts'
import type { Backlog } from '../store/store.ts'

const TEXT_FRAME = 0x81

const EVENT_END = Buffer.from('\n\n')

/**
 * One message to clients. It is encoded once for each transport, and shared by every socket that sends it.
 *
 * `ws` is a whole unmasked WebSocket text frame (RFC 6455 §5.2), `text` the JSON inside it, without a copy.
 */
export class Frame {
  readonly ws: Buffer
  readonly eventId: string
  readonly #start: number
  #event: Buffer | undefined

  /**
   * Joins JSON text from a head, the tail of a row, which is copied and not parsed, and an end.
   *
   * @param head ASCII if there is a row
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

  /** The message as a server-sent event: the event id as `id`, the JSON as `data`. */
  get event(): Buffer {
    this.#event ??= this.#encodeEvent()
    return this.#event
  }

  #encodeEvent(): Buffer {
    const head = this.eventId === '' ? 'data: ' : `id: ${this.eventId}\ndata: `
    return Buffer.concat([Buffer.from(head), this.text, EVENT_END])
  }
}

/** Returns a frame that is not a row of the log. */
export function plainFrame(frame: ServerFrame): Frame {
  return new Frame('', JSON.stringify(frame))
}

const HEADS = { s: 'state', r: 'retract', d: 'digest', a: 'answered' } as const

/** Returns the live frame of a row, or undefined if the row has none (recalled, superseded, lost). The tail is copied and not parsed. */
export function rowFrame(position: Position, row: Buffer): Frame | undefined {
  const kind = rowKind(row)
  const eventId = formatEventId(position)
  if (kind === 'n') return notificationFrame(eventId, '', row)
  const head = HEADS[kind as keyof typeof HEADS]
  return head === undefined ? undefined : new Frame(eventId, `{"type":"${head}","eventId":"${eventId}",`, row)
}

/**
 * Makes the frames of one read. They show the present state of the log, not its history:
 * a notification carries its state of now; a change of state names only the ids that still have that state and are not in the replay themselves;
 * an answer is sent only for a notification whose row is not in the replay itself;
 * a retraction is sent only if the client may have shown the notification, since a client that returns may have shown more than it acknowledged;
 * counts are those of now.
 */
export class Replay {
  readonly #backlog: Backlog
  readonly #now: number | undefined
  /** Ids of the notifications among the first `#scanned` rows, emptied ones too. Collected when a change needs them. */
  readonly #ids = new Set<string>()
  #scanned = 0

  /** @param now the store's clock, if the read took so long that notifications may have expired since, Unix milliseconds; else undefined */
  constructor(backlog: Backlog, now?: number) {
    this.#backlog = backlog
    this.#now = now
  }

  /** Returns the frame of a row, by its index among the rows read, or undefined if the row changes nothing any more. */
  frame(index: number): Frame | undefined {
    const { answers, epoch, start, rows, states } = this.#backlog
    const row = rows[index] as Buffer
    const eventId = formatEventId({ epoch, offset: start.offset + 1 + index, id8: rowId8(row) })
    const kind = rowKind(row)
    if (kind === 'n') {
      const state = states.size === 0 ? undefined : states.get(rowId(row))
      const answer = answers.size === 0 ? undefined : answers.get(rowId(row))
      if (this.#now !== undefined && answer === undefined && hasExpired(row, this.#now)) return undefined
      const answered = answer === undefined ? '' : `"answer":${JSON.stringify(answer)},`
      return notificationFrame(eventId, `"replay":true,${state === undefined ? '' : `"state":"${state}",`}${answered}`, row)
    }
    return kind in HEADS ? this.#change(index, eventId, kind as keyof typeof HEADS, row) : undefined
  }

  #change(index: number, eventId: string, kind: keyof typeof HEADS, row: Buffer): Frame | undefined {
    const { resumed, start, states, unread, unseen } = this.#backlog
    if (kind === 'r' && !resumed && retractedOffset(row) > start.offset) return undefined
    if (kind === 'r') return changeFrame({ type: 'retract', eventId, replay: true, ...retractionIn(row), unread, unseen })
    if (kind === 'd') return changeFrame({ type: 'digest', eventId, replay: true, ...digestIn(row), unread, unseen })
    const sent = this.#idsBefore(index)
    if (kind === 'a') {
      const answered = answeredIn(row)
      return sent.has(answered.id) ? undefined : changeFrame({ type: 'answered', eventId, replay: true, ...answered, unread, unseen })
    }
    const change = stateChangeIn(row)
    const ids = change.ids.filter((id) => !sent.has(id) && (states.get(id) ?? 'unread') === change.state)
    return ids.length === 0 ? undefined : changeFrame({ type: 'state', eventId, replay: true, ...change, ids, unread, unseen })
  }

  #idsBefore(index: number): Set<string> {
    for (; this.#scanned < index; this.#scanned++) {
      const row = this.#backlog.rows[this.#scanned] as Buffer
      if (isNotification(rowKind(row))) this.#ids.add(rowId(row))
    }
    return this.#ids
  }
}

/** Tells whether a row is a notification, or was one before it was recalled, replaced or expired. */
function isNotification(kind: RowKind): boolean {
  return kind === 'n' || kind === 'x'
}

function changeFrame(frame: StateFrame | RetractFrame | DigestFrame | AnsweredFrame): Frame {
  return new Frame(frame.eventId, JSON.stringify(frame))
}

function notificationFrame(eventId: string, flags: string, row: Buffer): Frame {
  return new Frame(eventId, `{"type":"notification","eventId":"${eventId}",${flags}"notification":{"id":"${rowId(row)}",`, row, '}')
}
