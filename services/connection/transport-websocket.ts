import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { ByeFrame } from '../protocol/index.ts'
import { bytesTakenBy } from './bytes-taken.ts'
import { type Flushable, flushThisTurn } from './flush-this-turn.ts'
import { type Frame, plainFrame } from './frames.ts'
import type { Transport, TransportOwner } from './transport.ts'

/** An empty ping control frame (RFC 6455 §5.5.2). */
const PING = Buffer.from([0x89, 0x00])

const MAX_REASON_BYTES = 123

/**
 * Writes encoded WebSocket frames to the TCP socket under a `ws` WebSocket. The sender of `ws` would encode each message for each socket again, and
 * write it separately. Bypassing it is safe because compression is off: both this class and `ws` (pong, close) write whole frames only.
 */
export class WebSocketTransport implements Transport, Flushable {
  owner: TransportOwner | undefined
  readonly isOneWay = false
  readonly #webSocket: WebSocket
  readonly #socket: Socket
  #pending: Buffer[] = []
  #pendingBytes = 0

  /** @param socket the TCP or TLS socket under `webSocket` */
  constructor(webSocket: WebSocket, socket: Socket) {
    this.#webSocket = webSocket
    this.#socket = socket
    webSocket.pause()
  }

  get buffered(): number {
    return this.#socket.writableLength + this.#pendingBytes
  }

  get bytesTaken(): number {
    return bytesTakenBy(this.#socket)
  }

  send(frame: Frame): void {
    this.#push(frame.ws)
  }

  ping(frame: Frame): void {
    this.#push(PING)
    this.#push(frame.ws)
  }

  listen(): void {
    this.#webSocket.resume()
  }

  close(bye: ByeFrame): void {
    this.send(plainFrame(bye))
    this.flush()
    this.#webSocket.close(bye.code, truncateReason(bye.reason))
    // `ws` must read the peer's close frame, even if the connection ends before `hello`.
    this.listen()
  }

  flush(): void {
    const pending = this.#pending
    const socket = this.#socket
    if (pending.length === 0) return
    this.#pending = []
    this.#pendingBytes = 0
    if (!socket.writable || this.#webSocket.readyState !== this.#webSocket.OPEN) return
    const through = this.owner?.sent
    socket.write(pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending), (error) => {
      // If the socket is destroyed during a write, Node calls back without an error.
      if (!error && !socket.destroyed && through !== undefined) this.owner?.written(through)
    })
  }

  #push(buffer: Buffer): void {
    if (this.#pending.length === 0) flushThisTurn(this)
    this.#pending.push(buffer)
    this.#pendingBytes += buffer.length
  }
}

/** Returns a reason cut to the length that a close frame allows (RFC 6455 §5.5), in whole characters. */
function truncateReason(reason: string): string {
  if (reason.length * 3 <= MAX_REASON_BYTES) return reason
  const { read } = new TextEncoder().encodeInto(reason, new Uint8Array(MAX_REASON_BYTES))
  return reason.slice(0, read)
}
