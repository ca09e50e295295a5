import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { bytesTakenBy } from './bytes-taken.ts'
import { type Flushable, flushThisTurn } from './flush-this-turn.ts'
import type { Frame } from './frames.ts'
import type { Transport, TransportOwner } from './transport.ts'

/** An empty ping control frame (RFC 6455 §5.5.2). */
const PING = Buffer.from([0x89, 0x00])

const MAX_REASON_BYTES = 123

/**
 * Writes ready-made WebSocket frames to the TCP socket under a `ws` WebSocket, past its sender: it would frame each message again and
 * write it alone. That is sound because compression is off, so that a frame is whole in one write, and `ws` writes its own (pong, close) whole too.
 */
export class WebSocketTransport implements Transport, Flushable {
  owner: TransportOwner | undefined
  readonly oneWay = false
  readonly #webSocket: WebSocket
  readonly #socket: Socket
  #pending: Buffer[] = []

  /** @param socket the TCP or TLS socket under `webSocket` */
  constructor(webSocket: WebSocket, socket: Socket) {
    this.#webSocket = webSocket
    this.#socket = socket
  }

  get buffered(): number {
    return this.#pending.length === 0 ? this.#socket.writableLength : this.#socket.writableLength + 1
  }

  get taken(): number {
    return bytesTakenBy(this.#socket)
  }

  send(frame: Frame): void {
    this.#push(frame.ws)
  }

  ping(frame: Frame): void {
    this.#push(PING)
    this.#push(frame.ws)
  }

  close(code: number, reason: string): void {
    this.flush()
    this.#webSocket.close(code, fitting(reason))
  }

  terminate(): void {
    this.#pending = []
    this.#webSocket.terminate()
  }

  flush(): void {
    const pending = this.#pending
    if (pending.length === 0) return
    this.#pending = []
    if (!this.#socket.writable || this.#webSocket.readyState !== this.#webSocket.OPEN) return
    this.#socket.write(pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending))
    if (this.#socket.writableLength === 0) this.owner?.handedOver()
  }

  #push(buffer: Buffer): void {
    if (this.#pending.length === 0) flushThisTurn(this)
    this.#pending.push(buffer)
  }
}

/** As much of a reason as a close frame takes (RFC 6455 §5.5), in whole characters. */
function fitting(reason: string): string {
  if (reason.length * 3 <= MAX_REASON_BYTES) return reason
  const { read } = new TextEncoder().encodeInto(reason, new Uint8Array(MAX_REASON_BYTES))
  return reason.slice(0, read)
}
