import { connect, type Socket } from 'node:net'
import { SUBPROTOCOL } from '../services/protocol/index.ts'

/** A pong with no payload, masked with zeros (RFC 6455 §5.5.3). */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const OPCODE_TEXT = 1
const OPCODE_CLOSE = 8
const OPCODE_PING = 9

/** How long a handshake may take, milliseconds. */
const HANDSHAKE_MS = 30_000

/** What a socket tells: a text frame's payload, valid during the call alone, and its end with the close code (1006 without one). */
export interface RawSocketEvents {
  text: (socket: RawSocket, payload: Buffer) => void
  close: (socket: RawSocket, code: number) => void
}

/** Where a socket goes, and as whom. */
export interface Target {
  port: number
  /** With its query, for example `/v1/ws?device_id=a`. */
  path: string
  /** Sent as `Authorization: Bearer`, with the subprotocol offered; default: neither. */
  token?: string
  /** Default 127.0.0.1. */
  host?: string
}

/**
 * A WebSocket client that costs little enough to hold thousands in one process: no framing of its own, no copy of a frame that came whole.
 * It reads what a server sends (unmasked frames, not fragmented) and answers pings.
 */
export class RawSocket {
  /** For the owner's use, for example its place in a list. */
  readonly index: number
  readonly #socket: Socket
  readonly #events: RawSocketEvents
  #rest: Buffer | undefined
  #code = 1006

  private constructor(index: number, socket: Socket, events: RawSocketEvents) {
    this.index = index
    this.#socket = socket
    this.#events = events
  }

  /** Connects; resolves when the upgrade was answered with 101. */
  static open(target: Target, index: number, events: RawSocketEvents): Promise<RawSocket> {
    const { port, path, token, host = '127.0.0.1' } = target
    const credentials = token === undefined ? '' : `Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\nAuthorization: Bearer ${token}\r\n`
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host, noDelay: true })
      const raw = new RawSocket(index, socket, events)
      let head = Buffer.alloc(0)
      const fail = (error: Error): void => {
        socket.destroy()
        reject(error)
      }
      const onHead = (chunk: Buffer): void => {
        head = Buffer.concat([head, chunk])
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        if (!head.toString('latin1', 0, 12).endsWith(' 101')) return fail(new Error(`the upgrade was refused: ${head}`))
        socket.off('data', onHead).off('error', fail).setTimeout(0)
        raw.#follow()
        resolve(raw)
        if (head.length > end + 4) raw.#take(head.subarray(end + 4))
      }
      socket.on('data', onHead).on('error', fail)
      socket.setTimeout(HANDSHAKE_MS, () => fail(new Error('the upgrade was not answered')))
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
          `Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${credentials}\r\n`
      )
    })
  }

  /** Sends a short text frame, of less than 126 bytes. */
  send(text: string): void {
    const payload = Buffer.from(text)
    this.#socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]))
  }

  /** Ends it at once: by a reset, so that no port is kept waiting. */
  destroy(): void {
    this.#socket.resetAndDestroy()
  }

  #follow(): void {
    this.#socket.on('data', (chunk) => this.#take(chunk))
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => this.#events.close(this, this.#code))
  }

  #take(chunk: Buffer): void {
    const data = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const start = at + headLength(data, at)
      const end = start + payloadLength(data, at)
      if (start > data.length || end > data.length) break
      this.#frame((data[at] as number) & 0x0f, data.subarray(start, end))
      at = end
    }
    this.#rest = at === data.length ? undefined : Buffer.from(data.subarray(at))
  }

  #frame(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE_TEXT) this.#events.text(this, payload)
    else if (opcode === OPCODE_PING) this.#socket.write(PONG)
    else if (opcode === OPCODE_CLOSE && payload.length >= 2) this.#code = payload.readUInt16BE(0)
  }
}

/** Bytes before the payload of the frame at `at`; more than there are while the frame is not known yet. */
function headLength(data: Buffer, at: number): number {
  const length = (data[at + 1] ?? 0) & 0x7f
  return length < 126 ? 2 : length === 126 ? 4 : 10
}

function payloadLength(data: Buffer, at: number): number {
  const length = (data[at + 1] ?? 0) & 0x7f
  if (length < 126 || at + headLength(data, at) > data.length) return length < 126 ? length : 0
  return length === 126 ? data.readUInt16BE(at + 2) : Number(data.readBigUInt64BE(at + 2))
}

/**
 * Opens many, a few at a time, so that the listen backlog of no server overflows.
 *
 * @param target where connection `index` goes, and as whom
 * @param atOnce handshakes in flight; default 100
 */
export async function openMany(
  count: number,
  target: (index: number) => Target,
  events: RawSocketEvents,
  atOnce = 100
): Promise<RawSocket[]> {
  const sockets: RawSocket[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      sockets[index] = await RawSocket.open(target(index), index, events)
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(atOnce, count) }, work))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed === undefined) return sockets
  for (const socket of sockets) socket?.destroy()
  throw failed.reason
}
