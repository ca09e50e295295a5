/**
 * A service in the test's own process, with one log, that speaks `belfry.v1`.
 *
 * To extend, from the most to the least common: `connection.send()` any frames; replace `server.greet` for another start;
 * replace `server.answer` for other answers to frames; replace `server.rest` for HTTP.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'
import {
  type ClientFrame,
  formatEventId,
  type HelloFrame,
  type Notification,
  type NotificationFrame,
  parseEventId,
  type RowFrame,
  type ServerFrame,
  SUBPROTOCOL
} from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'

export const EPOCH = 'k3f9'

export class FakeConnection {
  readonly url: string
  readonly protocols: string[]
  readonly query: URLSearchParams
  readonly frames: ClientFrame[] = []
  /** The code the client closed with; undefined while open. */
  closed: number | undefined
  readonly #socket: WebSocket

  constructor(socket: WebSocket, request: IncomingMessage) {
    this.#socket = socket
    this.url = request.url ?? ''
    this.query = new URL(this.url, 'http://here').searchParams
    this.protocols = String(request.headers['sec-websocket-protocol']).split(/, */)
    socket.on('message', (data) => this.frames.push(JSON.parse(String(data)) as ClientFrame))
    socket.on('close', (code) => {
      this.closed = code
    })
  }

  get token(): string {
    return String(this.protocols[1]).replace('bearer.', '')
  }

  send(...frames: ServerFrame[]): void {
    for (const frame of frames) this.#socket.send(JSON.stringify(frame))
  }

  sendText(text: string): void {
    this.#socket.send(text)
  }

  hello(given: Partial<HelloFrame> = {}): void {
    this.send({ ...helloFrame(), deviceId: this.query.get('device_id') ?? 'default', ...given })
  }

  close(code: number, reason = ''): void {
    this.#socket.close(code, reason)
  }

  /** Cuts the connection without a close frame, like a failed network. */
  terminate(): void {
    this.#socket.terminate()
  }

  /** Returns the received frames of one type, in order. */
  of<T extends ClientFrame['type']>(type: T): Extract<ClientFrame, { type: T }>[] {
    return this.frames.filter((frame): frame is Extract<ClientFrame, { type: T }> => frame.type === type)
  }
}

export class FakeServer {
  readonly connections: FakeConnection[] = []
  readonly log: RowFrame[] = []
  readonly requests: { url: string; authorization: string | undefined }[] = []
  unread = 0
  /** Frames for a new connection: by default a `hello`, the rows after `last_event_id`, and `caughtUp`. */
  greet = (connection: FakeConnection): void => this.replay(connection)
  /** Answer to a frame: by default marks are carried out and refreshes granted. */
  answer = (connection: FakeConnection, frame: ClientFrame): void => this.carryOut(connection, frame)
  rest = (_url: URL): { status: number; body: unknown } | Promise<{ status: number; body: unknown }> => ({ status: 404, body: {} })
  readonly #http = createServer(async (request, reply) => {
    this.requests.push({ url: request.url ?? '', authorization: request.headers.authorization })
    const { status, body } = await this.rest(new URL(request.url ?? '', 'http://here'))
    reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  readonly #sockets = new WebSocketServer({ server: this.#http, handleProtocols: () => SUBPROTOCOL })

  static async start(t: Test): Promise<FakeServer> {
    const server = new FakeServer()
    server.#http.listen(0, '127.0.0.1')
    await once(server.#http, 'listening')
    server.#sockets.on('connection', (socket, request) => {
      const connection = new FakeConnection(socket, request)
      server.connections.push(connection)
      socket.on('message', (data) => server.answer(connection, JSON.parse(String(data)) as ClientFrame))
      server.greet(connection)
    })
    t.teardown(() => server.stop())
    return server
  }

  stop(): void {
    for (const connection of this.connections) connection.terminate()
    this.#http.closeAllConnections()
    this.#http.close()
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  get open(): FakeConnection[] {
    return this.connections.filter((connection) => connection.closed === undefined)
  }

  get last(): FakeConnection {
    const last = this.connections.at(-1)
    if (last === undefined) throw new Error('there is no connection')
    return last
  }

  /** Waits for the nth connection, from 1. */
  async connection(n: number): Promise<FakeConnection> {
    await until(() => this.connections.length >= n, `connection ${n}`)
    return this.connections[n - 1] as FakeConnection
  }

  eventId(offset: number, id = notificationOf(offset).id): string {
    return formatEventId({ epoch: EPOCH, offset, id8: id.slice(0, 8) })
  }

  /** Appends notifications and sends them to every connection. */
  publish(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.unread++
      this.append({ type: 'notification', eventId: '', notification: notificationOf(this.log.length + 1) })
    }
  }

  append(row: RowFrame): void {
    const offset = this.log.length + 1
    const frame = { ...row, eventId: this.eventId(offset, row.type === 'notification' ? row.notification.id : undefined) }
    this.log.push(frame)
    for (const connection of this.open) connection.send(frame)
  }

  replay(connection: FakeConnection): void {
    const from = parseEventId(connection.query.get('last_event_id') ?? '')?.offset ?? 0
    const to = this.log.at(-1)?.eventId ?? ''
    const resume = { status: 'resumed', from: '', to, pending: this.log.length - from, parked: 0 } as const
    connection.hello({ unread: this.unread, resume })
    for (const row of this.log.slice(from)) connection.send({ ...row, replay: true })
    connection.send({ type: 'caughtUp', eventId: to, unread: this.unread })
  }

  carryOut(connection: FakeConnection, frame: ClientFrame): void {
    if (frame.type === 'refresh') connection.send({ type: 'ok', ...ref(frame), tokenExpiresAt: Date.now() + 3600_000 })
    if (frame.type !== 'mark') return
    const upTo = parseEventId(frame.upTo ?? '')?.offset ?? 0
    const shown = this.log.slice(0, upTo).filter((row): row is NotificationFrame => row.type === 'notification')
    const ids = frame.ids ?? shown.map((row) => row.notification.id)
    this.unread = Math.max(0, this.unread - ids.length)
    this.append({ type: 'state', eventId: '', ids, state: frame.state, unread: this.unread })
    connection.send({ type: 'ok', ...ref(frame), unread: this.unread })
  }
}

function ref(frame: { ref?: number }): { ref?: number } {
  return frame.ref === undefined ? {} : { ref: frame.ref }
}

export function notificationOf(n: number): Notification {
  return { id: `${String(n).padStart(8, '0')}notification`, type: 'test', title: `number ${n}`, timestamp: 1_754_000_000_000 + n }
}

export function rowOf(n: number, given: Partial<NotificationFrame> = {}): NotificationFrame {
  const notification = notificationOf(n)
  const eventId = formatEventId({ epoch: EPOCH, offset: n, id8: notification.id.slice(0, 8) })
  return { type: 'notification', eventId, notification, ...given }
}

export function helloFrame(): HelloFrame {
  return {
    type: 'hello',
    connectionId: 'c1',
    deviceId: 'd1',
    user: 'alice',
    node: 'n1',
    serverTime: 1_754_000_000_000,
    heartbeat: { intervalMs: 25_000, timeoutMs: 10_000 },
    resume: { status: 'resumed', from: '', to: '', pending: 0, parked: 0 },
    unread: 0,
    tokenExpiresAt: 1_754_003_600_000,
    limits: { maxFrameBytes: 10_240, maxUnacked: 100 }
  }
}
