import { connect, type Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const CHUNKS_END = Buffer.from('\r\n0\r\n\r\n')

type Answered = (status: number) => void

interface PendingPost {
  request: Buffer
  answered: Answered
}

/** One keep-alive connection with at most one request in flight. Reconnects for the next request after it was closed. */
class KeptConnection {
  readonly #port: number
  readonly #free: (connection: KeptConnection) => void
  #socket: Socket
  #answered: Answered | undefined
  #received: Buffer | undefined

  constructor(port: number, free: (connection: KeptConnection) => void) {
    this.#port = port
    this.#free = free
    this.#socket = this.#connect()
  }

  post(job: PendingPost): void {
    if (this.#socket.destroyed) this.#socket = this.#connect()
    this.#answered = job.answered
    this.#socket.write(job.request)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #connect(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => socket === this.#socket && this.#answer(0))
    return socket
  }

  #receive(chunk: Buffer): void {
    const data = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk])
    if (isWhole(data)) {
      this.#received = undefined
      this.#answer(Number(data.toString('latin1', 9, 12)))
    } else this.#received = data
  }

  #answer(status: number): void {
    const answered = this.#answered
    this.#answered = undefined
    if (answered === undefined) return
    this.#free(this)
    answered(status)
  }
}

function isWhole(data: Buffer): boolean {
  const end = data.indexOf(HEAD_END)
  if (end < 0) return false
  const head = data.toString('latin1', 0, end).toLowerCase()
  const length = /content-length: (\d+)/.exec(head)?.[1]
  if (length !== undefined) return data.length >= end + 4 + Number(length)
  return !head.includes('chunked') || data.subarray(-CHUNKS_END.length).equals(CHUNKS_END)
}

/**
 * Posts to one port over keep-alive raw sockets, at a fifth of the CPU cost of an HTTP client. If all sockets are busy, requests wait in order.
 */
export class Poster {
  readonly #connections: KeptConnection[]
  readonly #idle: KeptConnection[]
  readonly #waiting: PendingPost[] = []
  readonly #head: string

  /** @param headers further header lines, each with its line end */
  constructor(port: number, path: string, headers: string, sockets: number) {
    this.#head = ` HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n${headers}Content-Length: `
    this.path = path
    this.#connections = Array.from({ length: sockets }, () => new KeptConnection(port, (connection) => this.#next(connection)))
    this.#idle = [...this.#connections]
  }

  /** Default path of requests. */
  readonly path: string

  /** Posts a body. `answered` is called with the status, or with 0 if the connection was lost. */
  post(body: string, answered: Answered, path = this.path): void {
    const job = { request: Buffer.from(`POST ${path}${this.#head}${Buffer.byteLength(body)}\r\n\r\n${body}`), answered }
    const connection = this.#idle.pop()
    if (connection === undefined) this.#waiting.push(job)
    else connection.post(job)
  }

  close(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  #next(connection: KeptConnection): void {
    const job = this.#waiting.shift()
    if (job === undefined) this.#idle.push(connection)
    else connection.post(job)
  }
}
