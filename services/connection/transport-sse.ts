import type { ServerResponse } from 'node:http'
import { type ByeFrame, verdictOf } from '../protocol/index.ts'
import { bytesTakenBy } from './bytes-taken.ts'
import { type Flushable, flushThisTurn } from './flush-this-turn.ts'
import { type Frame, plainFrame } from './frames.ts'
import type { Transport, TransportOwner } from './transport.ts'

/** Deadline for a peer to take the end of its stream, milliseconds. */
const CLOSE_TIMEOUT_MS = 2000
/** Idle time after which the kernel probes the peer, milliseconds. */
const KEEP_ALIVE_MS = 10_000

/** Delay before a browser reconnects a broken stream, plus a random part of up to the same length, milliseconds. */
const RETRY_MS = 2000
/** The delays after a `bye` with the verdicts back-off and stop. `EventSource` reconnects after any end. */
const RETRY_BACK_OFF_MS = 5000
const RETRY_STOP_MS = 60_000
/** Shortest delay after any `bye`, so that a client whose streams are closed at once does not reconnect in a tight loop, milliseconds. */
const RETRY_NOW_MS = 100

const HEARTBEAT_COMMENT = Buffer.from(': heartbeat\n')

/**
 * Sends server-sent events (WHATWG HTML §9.2) over a response whose head was written. Each frame is one event. The events of the first frame and of
 * `bye` carry `retry`, and that of `ping` carries the comment of the heartbeat, so that every block has data.
 */
export class SseTransport implements Transport, Flushable {
  owner: TransportOwner | undefined
  readonly isOneWay = true
  readonly #response: ServerResponse
  #pending: Buffer[] = []
  #pendingBytes = 0
  #started = false

  constructor(response: ServerResponse) {
    this.#response = response
    response.socket?.setKeepAlive(true, KEEP_ALIVE_MS)
  }

  get buffered(): number {
    return this.#response.writableLength + this.#pendingBytes
  }

  get bytesTaken(): number {
    return bytesTakenBy(this.#response.socket)
  }

  send(frame: Frame): void {
    if (!this.#started) this.#push(retryLine(RETRY_MS * (1 + Math.random())))
    this.#started = true
    this.#push(frame.event)
  }

  ping(frame: Frame): void {
    this.#push(HEARTBEAT_COMMENT)
    this.send(frame)
  }

  listen(): void {}

  close(bye: ByeFrame): void {
    this.#started = true
    this.#push(retryLine(retryAfter(bye)))
    this.send(plainFrame(bye))
    this.flush()
    this.#response.end()
    setTimeout(() => this.#response.destroy(), CLOSE_TIMEOUT_MS).unref()
  }

  flush(): void {
    const pending = this.#pending
    const response = this.#response
    if (pending.length === 0) return
    this.#pending = []
    this.#pendingBytes = 0
    if (!response.writable || response.destroyed) return
    const through = this.owner?.sent
    response.write(pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending), (error) => {
      // If the socket is destroyed during a write, Node calls back without an error.
      if (!error && !response.destroyed && response.socket?.destroyed === false && through !== undefined) this.owner?.written(through)
    })
  }

  #push(buffer: Buffer): void {
    if (this.#pending.length === 0) flushThisTurn(this)
    this.#pending.push(buffer)
    this.#pendingBytes += buffer.length
  }
}

function retryAfter({ code, reconnectInMs }: ByeFrame): number {
  const verdict = verdictOf(code)
  if (verdict === 'stop') return RETRY_STOP_MS
  return verdict === 'now' ? Math.max(RETRY_NOW_MS, reconnectInMs) : RETRY_BACK_OFF_MS * (1 + Math.random())
}

function retryLine(ms: number): Buffer {
  return Buffer.from(`retry: ${Math.round(ms)}\n`)
}
