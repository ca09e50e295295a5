import type { ServerResponse } from 'node:http'
import { bytesTakenBy } from './bytes-taken.ts'
import { type Flushable, flushThisTurn } from './flush-this-turn.ts'
import type { Frame } from './frames.ts'
import type { Transport, TransportOwner } from './transport.ts'

/** How long a peer may take to take the end of its stream, milliseconds. */
const CLOSE_TIMEOUT_MS = 2000

/**
 * Server-sent events (WHATWG HTML §9.2) over a response whose head was written. Each frame is one event: the event id as `id`, its JSON as `data`.
 */
export class SseTransport implements Transport, Flushable {
  owner: TransportOwner | undefined
  readonly oneWay = true
  readonly #response: ServerResponse
  #pending: Buffer[] = []

  constructor(response: ServerResponse) {
    this.#response = response
  }

  get buffered(): number {
    return this.#pending.length === 0 ? this.#response.writableLength : this.#response.writableLength + 1
  }

  get taken(): number {
    return bytesTakenBy(this.#response.socket)
  }

  send(frame: Frame): void {
    if (this.#pending.length === 0) flushThisTurn(this)
    this.#pending.push(Buffer.concat([Buffer.from(frame.eventId === '' ? 'data: ' : `id: ${frame.eventId}\ndata: `), frame.text, END]))
  }

  ping(frame: Frame): void {
    this.send(frame)
  }

  close(): void {
    this.flush()
    this.#response.end()
    setTimeout(() => this.terminate(), CLOSE_TIMEOUT_MS).unref()
  }

  terminate(): void {
    this.#pending = []
    this.#response.destroy()
  }

  flush(): void {
    const pending = this.#pending
    if (pending.length === 0) return
    this.#pending = []
    if (!this.#response.writable) return
    this.#response.write(pending.length === 1 ? (pending[0] as Buffer) : Buffer.concat(pending))
    if (this.#response.writableLength === 0) this.owner?.handedOver()
  }
}

const END = Buffer.from('\n\n')
