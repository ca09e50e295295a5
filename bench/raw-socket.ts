import { connect, type Socket } from 'node:net'
import { SUBPROTOCOL } from '../services/protocol/index.ts'

/** A pong without payload, masked with zeros (RFC 6455 §5.5.3). */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const OPCODE_TEXT = 1
const OPCODE_CLOSE = 8
const OPCODE_PING = 9

/** Milliseconds that a handshake may take. */
const HANDSHAKE_MS = 30_000

/** Callbacks of a socket. */
interface RawSocketEvents {
  /** Called with the payload of each text frame, which is valid during the call only. */
  text: (socket: RawSocket, payload: Buffer) => void
  /** Called when the socket has closed, with the close code, or 1006 without one. */
  close: (socket: RawSocket, code: number) => void
}

/** Address and credentials of a socket. */
export interface Target {
  port: number
  /** Path with query, for example `/v1/ws?device_id=a`. */
  path: string
  /** Sent as `Authorization: Bearer`, together with the subprotocol; default: neither is sent. */
  token?: string
  /** Default 127.0.0.1. */
  host?: string
}

/**
 * A minimal WebSocket client, so that one process can hold thousands: it does not copy a frame that arrives in one piece. It reads frames of a
 * server (unmasked, not fragmented) and answers pings.
 */
export class RawSocket {
  /** Number for the owner's use, for example an index in a list. */
  readonly index: number
  readonly #socket: Socket
  readonly #events: RawSocketEvents
  #partial: Buffer | undefined
  #code = 1006

  private constructor(index: number, socket: Socket, events: RawSocketEvents) {
    this.index = index
    this.#socket = socket
    this.#events = events
  }

  /** Opens a socket; resolves when the upgrade is answered with 101, rejects on any other answer. */
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
        raw.#listen()
        resolve(raw)
        if (head.length > end + 4) raw.#receive(head.subarray(end + 4))
      }
      socket.on('data', onHead).on('error', fail)
      socket.setTimeout(HANDSHAKE_MS, () => fail(new Error('the upgrade was not answered')))
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
          `Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${credentials}\r\n`
      )
    })
  }

  /** Sends a text frame of less than 126 bytes. */
  send(text: string): void {
    const payload = Buffer.from(text)
    this.#socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]))
  }

  /** Closes the socket at once with a TCP reset, so that its port does not stay in TIME_WAIT. */
  destroy(): void {
    this.#socket.resetAndDestroy()
  }

  #listen(): void {
    this.#socket.on('data', (chunk) => this.#receive(chunk))
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => this.#events.close(this, this.#code))
  }

  #receive(chunk: Buffer): void {
    const data = this.#partial === undefined ? chunk : Buffer.concat([this.#partial, chunk])
    let at = 0
    for (;;) {
      const start = at + headLength(data, at)
      const end = start + payloadLength(data, at)
      if (start > data.length || end > data.length) break
      this.#handleFrame((data[at] as number) & 0x0f, data.subarray(start, end))
      at = end
    }
    this.#partial = at === data.length ? undefined : Buffer.from(data.subarray(at))
  }

  #handleFrame(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE_TEXT) this.#events.text(this, payload)
    else if (opcode === OPCODE_PING) this.#socket.write(PONG)
    else if (opcode === OPCODE_CLOSE && payload.length >= 2) this.#code = payload.readUInt16BE(0)
  }
}

/** Returns the length of the header of the frame at `at`. The header may not be complete yet. */
function headLength(data: Buffer, at: number): number {
  const length = (data[at + 1] ?? 0) & 0x7f
  return length < 126 ? 2 : length === 126 ? 4 : 10
}

/** Returns the length of the payload of the frame at `at`; 0 while its length field is not complete. */
function payloadLength(data: Buffer, at: number): number {
  const length = (data[at + 1] ?? 0) & 0x7f
  if (length < 126 || at + headLength(data, at) > data.length) return length < 126 ? length : 0
  return length === 126 ? data.readUInt16BE(at + 2) : Number(data.readBigUInt64BE(at + 2))
}

/**
 * Opens many sockets, a few at a time, so that the listen backlog of the servers does not overflow.
 *
 * @param target returns the target of socket `index`
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
