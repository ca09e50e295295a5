import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import app from '../app.ts'
import { readConfig } from '../config.ts'
import { serverOptions } from '../server-options.ts'
import { signToken } from '../services/auth/signing.ts'
import type { Timeouts } from '../services/connection/timeouts.ts'
import type { ServerFrame } from '../services/protocol/index.ts'
import { signPayload } from './fixtures/token.ts'
import { until } from './fixtures/wait.ts'

export const SECRET = 'a secret for tests only, and long enough'

export interface TestService {
  app: FastifyInstance
  /** `http://127.0.0.1:<port>` */
  url: string
  /** `ws://127.0.0.1:<port>` */
  socketUrl: string
  close: () => Promise<void>
}

/** Makes a folder that is removed after the test. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface StartOptions {
  /** Replacements for deadlines that are too long for a test. */
  timeouts?: Partial<Timeouts>
  /** Called with the instance before anything is registered. */
  prepare?: (fastify: FastifyInstance) => void
  /** Destination of the log. */
  log?: Writable
}

/** Starts the whole service on a free port, on the embedded store unless `environment` names another. */
export async function startService(
  t: Test,
  environment: Record<string, string> = {},
  { timeouts = {}, prepare = () => undefined, log }: StartOptions = {}
): Promise<TestService> {
  const config = readConfig({
    JWT_SECRET: SECRET,
    DATA_DIR: environment.DATA_DIR ?? temporaryFolder(t),
    LOG_LEVEL: 'silent',
    PORT: '0',
    ...environment
  })
  const fastify = Fastify(serverOptions(config, log))
  prepare(fastify)
  await fastify.register(app, { config, timeouts })
  await fastify.listen({ host: config.HOST, port: config.PORT })
  const { port } = fastify.server.address() as AddressInfo
  const close = (): Promise<void> => fastify.close()
  t.teardown(close)
  return { app: fastify, url: `http://127.0.0.1:${port}`, socketUrl: `ws://127.0.0.1:${port}`, close }
}

export function userToken(user: string, claims: Record<string, unknown> = {}, seconds = 3600): string {
  const now = Math.floor(Date.now() / 1000)
  return signPayload(SECRET, { sub: user, iat: now, exp: now + seconds, ...claims })
}

/** Signs the token of a service. The scope `admin` includes `publish`. */
export function serviceToken(scope = 'admin'): string {
  return signToken(SECRET, 'test-service', scope, 3600)
}

/** Calls the service's REST API, as a service with the scope `admin` unless `token` is given. */
export async function call(
  service: Pick<TestService, 'url'>,
  method: string,
  path: string,
  body?: unknown,
  options: { token?: string; headers?: Record<string, string> } = {}
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert the shape of each answer
): Promise<{ status: number; headers: Headers; body: any }> {
  const response = await fetch(service.url + path, {
    method,
    headers: {
      ...(options.token === '' ? {} : { authorization: `Bearer ${options.token ?? serviceToken()}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) })
  })
  const text = await response.text()
  const json = response.headers.get('content-type')?.includes('json') ?? false
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text }
}

interface ConnectOptions {
  token?: string
  deviceId?: string
  lastEventId?: string
  /** Subprotocols; default: `belfry.v1` and the token. */
  protocols?: string[]
  headers?: Record<string, string>
  /** Further query parameters. */
  query?: Record<string, string>
  /** Answers pings; default: true. */
  autoPong?: boolean
  /** Acknowledges rows. */
  acks?: boolean
}

type FrameOf<T extends ServerFrame['type']> = Extract<ServerFrame, { type: T }>

/** A WebSocket client that records every frame. */
export class TestClient {
  readonly socket: WebSocket
  readonly frames: ServerFrame[] = []
  /** Code and reason of the close; undefined while the socket is open. */
  closed: { code: number; reason: string } | undefined
  #read = 0
  #toAck = ''

  constructor(socket: WebSocket, acks: boolean) {
    this.socket = socket
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as ServerFrame
      this.frames.push(frame)
      if (acks && 'eventId' in frame && frame.type !== 'caughtUp') this.#ack(frame.eventId)
    })
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
    })
    socket.on('error', () => undefined)
  }

  /** Acknowledges the latest row, and with it all before, at most about thirty times a second. */
  #ack(eventId: string): void {
    const waiting = this.#toAck !== ''
    this.#toAck = eventId
    if (waiting) return
    setTimeout(() => {
      if (this.socket.readyState === WebSocket.OPEN) this.send({ type: 'ack', eventId: this.#toAck })
      this.#toAck = ''
    }, 30)
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** Resolves with the next frame of this type that no call has returned. Skips frames of other types. */
  async next<T extends ServerFrame['type']>(type: T): Promise<FrameOf<T>> {
    return await this.until(() => {
      while (this.#read < this.frames.length) {
        const frame = this.frames[this.#read++] as ServerFrame
        if (frame.type === type) return frame as FrameOf<T>
      }
      return undefined
    }, `a ${type} frame`)
  }

  /** Returns the frames of one type that arrived so far. */
  all<T extends ServerFrame['type']>(type: T): FrameOf<T>[] {
    return this.frames.filter((frame): frame is FrameOf<T> => frame.type === type)
  }

  /** Waits like the helper `until`; the error shows the last frames. */
  async until<T>(probe: () => T | undefined, what = 'the condition'): Promise<T> {
    const seen = (): string => `${what}; had ${JSON.stringify(this.frames.slice(-5))}, closed ${JSON.stringify(this.closed)}`
    return await until(probe, seen)
  }

  async close(): Promise<void> {
    if (this.closed === undefined) {
      this.socket.close()
      await this.whenClosed()
    }
  }

  whenClosed(): Promise<{ code: number; reason: string }> {
    return this.until(() => this.closed, 'close')
  }
}

/** Opens a socket. Resolves when it is open, also if the service closes it right after. */
export async function connect(
  t: Test,
  service: Pick<TestService, 'socketUrl'>,
  user: string,
  options: ConnectOptions = {}
): Promise<TestClient> {
  const query = new URLSearchParams(options.query)
  if (options.deviceId !== undefined) query.set('device_id', options.deviceId)
  if (options.lastEventId !== undefined) query.set('last_event_id', options.lastEventId)
  const protocols = options.protocols ?? ['belfry.v1', `bearer.${options.token ?? userToken(user)}`]
  const socket = new WebSocket(`${service.socketUrl}/v1/ws?${query}`, protocols, {
    headers: options.headers ?? {},
    autoPong: options.autoPong ?? true
  })
  const client = new TestClient(socket, options.acks ?? false)
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  return client
}

/** Opens a socket and waits for `hello` and `caughtUp`. */
export async function ready(
  t: Test,
  service: Pick<TestService, 'socketUrl'>,
  user: string,
  options: ConnectOptions = {}
): Promise<TestClient> {
  const client = await connect(t, service, user, options)
  await client.next('hello')
  await client.next('caughtUp')
  return client
}
