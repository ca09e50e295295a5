import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { WebSocket } from 'ws'
import type { Belfry, BelfryError, BelfryOptions, WebSocketConstructor } from '../../packages/client/src/index.ts'
import { signToken } from '../../services/auth/signing.ts'
import type { Answer, State } from '../../services/protocol/index.ts'
import { Answering, type AnswerReply } from './answering.ts'
import type { AnswerAttempt, DeviceEvent, DeviceJournal } from './journal.ts'
import { PlainClient } from './plain-client.ts'
import { dice } from './schedule.ts'
import { ShownList, shownOptions } from './shown-list.ts'
import { SECRET, type World } from './world.ts'

type Sdk = { Belfry: new (url: string, options: BelfryOptions) => Belfry }

/** Loads the SDK of a build. */
export async function loadSdk(build: string): Promise<Sdk> {
  return (await import(pathToFileURL(join(build, 'packages/client/src/index.js')).href)) as Sdk
}

/** `closeTimeout` is missing from the types. */
const options = { handshakeTimeout: 8000, perMessageDeflate: false, closeTimeout: 1000 }

/** Part of the shown notifications that is marked as read. */
const MARKED = 0.06

/** Name of the device without the SDK, whose client is written after docs/guides/consuming.md. */
const PLAIN = 'watch'

/** A device with a journal of its events: the SDK on `ws` with its storage in memory, or a plain client. */
export class Device {
  readonly user: string
  readonly device: string
  readonly events: DeviceEvent[] = []
  readonly #world: World
  readonly #sdk: Sdk
  readonly #random: () => number
  readonly #storage = new Map<string, string>()
  readonly #shown = new Set<string>()
  readonly #list = new ShownList()
  readonly #answering: Answering
  #belfry: Belfry | undefined
  #socket: WebSocket | undefined
  #node = -1
  #slowMs = 0
  #frozen = false
  #quiet = false
  #restarting = false
  #streamed = false
  /** True if an event stream may have got rows that the device was not shown: the stored cursor is then ahead of the device. */
  #ahead = false
  /** True if the SDK lost its place in the log, and was not connected since. */
  #forgot = false
  readonly #marks = new Set<Promise<unknown>>()

  constructor(world: World, sdk: Sdk, user: string, device: string, seed: number) {
    this.#world = world
    this.#sdk = sdk
    this.user = user
    this.device = device
    this.#random = dice(seed)
    this.#answering = new Answering(user, device, dice(seed + 611_953), (id, action) => this.#answer(id, action))
  }

  get belfry(): Belfry {
    if (this.#belfry === undefined) throw new Error('not started')
    return this.#belfry
  }

  place(): { lastEventId: string; isConnected: boolean } {
    const { lastEventId, state } = this.belfry
    return { lastEventId, isConnected: state === 'connected' }
  }

  /** Local port of the connection; -1: none. */
  clientPort = -1

  start(): void {
    const settings: BelfryOptions = {
      deviceId: this.device,
      getToken: () => signToken(SECRET, this.user),
      WebSocket: this.#webSocket() as unknown as WebSocketConstructor,
      storage: { getItem: (key) => this.#storage.get(key) ?? null, setItem: (key, value) => this.#storage.set(key, value) },
      fetch: (url, init) => {
        // The service may write rows to a stream, and move the cursor, before the SDK gets the first frame.
        if (url.includes('/v1/sse')) this.#ahead = true
        return fetch(url, init)
      },
      leader: false
    }
    const { deviceUrl } = this.#world
    const isPlain = this.device === PLAIN
    const belfry = isPlain
      ? (new PlainClient(deviceUrl, settings, this.#shown, this.#list) as unknown as Belfry)
      : new this.#sdk.Belfry(deviceUrl, settings)
    this.#belfry = belfry
    belfry.on('notification', async (shown) => {
      const { notification, eventId, replay, answered } = shown as typeof shown & { answered?: Answer }
      this.events.push({ type: 'shown', at: Date.now(), id: notification.id, eventId, replay, ...shownOptions(notification, answered) })
      this.#answering.shown(notification)
      if (!this.#quiet && this.#random() < MARKED) this.#mark(notification.id)
      if (this.#slowMs > 0) await pause(this.#slowMs)
    })
    belfry.on('gap', ({ reason, from, to, count }) => this.events.push({ type: 'gap', at: Date.now(), reason, from, to, count }))
    belfry.on('retract', ({ id, reason, collapseKey }) =>
      this.events.push({ type: 'retract', at: Date.now(), id, reason, ...(collapseKey !== undefined && { collapseKey }) })
    )
    belfry.on('answered', ({ id, action, answeredAt, deviceId }) =>
      this.events.push({ type: 'answered', at: Date.now(), id, answer: { action, answeredAt, deviceId } })
    )
    belfry.on('digest', ({ ids }) => this.events.push({ type: 'digest', at: Date.now(), ids }))
    belfry.on('transport', ({ transport }) => {
      this.#streamed = transport === 'sse'
      this.#ahead ||= this.#streamed
    })
    belfry.on('caughtUp', () => {
      this.#ahead = this.#streamed
      this.events.push({ type: 'caughtUp', at: Date.now(), node: this.#node })
    })
    belfry.on('terminal', ({ code, reason }) => this.events.push({ type: 'terminal', at: Date.now(), code, reason }))
    belfry.on('state', ({ state }) => {
      const placed = { at: Date.now(), node: this.#node }
      if (state === 'connecting') this.events.push({ type: state, ...placed })
      else if (state === 'connected') {
        this.events.push({ type: state, ...placed, ...((isPlain || this.#forgot) && { atCursor: true }) })
        this.#forgot = false
      }
    })
    belfry.connect()
  }

  get answers(): AnswerAttempt[] {
    return this.#answering.attempts
  }

  /** Stops marking and answering. Resolves when every call has a reply or has failed. */
  async quiet(): Promise<void> {
    this.#quiet = true
    await this.#answering.quiet()
    while (this.#marks.size > 0) await Promise.all(this.#marks)
  }

  stop(): void {
    this.belfry.disconnect()
    this.events.push({ type: 'connecting', at: Date.now(), node: this.#node })
  }

  /**
   * Restarts the client, like a page that is closed and opened again. `forget` loses its place in the log, so that the cursor of the service
   * counts; except on an event stream, whose rows count as received once they are handed over.
   */
  async restart(ms: number, forget = false): Promise<void> {
    if (this.#restarting) return
    this.#restarting = true
    this.stop()
    await pause(ms)
    this.#restarting = false
    if (forget && !this.#ahead) {
      this.#forgot = true
      for (const key of this.#storage.keys()) if (key.endsWith(':last')) this.#storage.delete(key)
    }
    this.start()
  }

  /** Disconnects. The returned function connects the device again. */
  leave(): () => void {
    if (this.#restarting) return () => undefined
    this.#restarting = true
    this.stop()
    return () => {
      this.#restarting = false
      this.start()
    }
  }

  async slow(ms: number): Promise<void> {
    if (this.#slowMs > 0) return
    this.events.push({ type: 'slow', at: Date.now() })
    this.#slowMs = 20 + Math.floor(this.#random() * 280)
    await pause(ms)
    this.#slowMs = 0
    this.#brisk()
  }

  /** Stops reading from the socket, and from later sockets. */
  async freeze(ms: number): Promise<void> {
    if (this.#frozen) return
    this.events.push({ type: 'slow', at: Date.now() })
    this.#frozen = true
    this.#pause(true)
    await pause(ms)
    this.#frozen = false
    this.#pause(false)
    this.#brisk()
  }

  journal(): DeviceJournal {
    const { user, device, events, belfry } = this
    const { unread, unseen, lastEventId } = belfry
    return { user, device, ...(device !== PLAIN && { dropsExpired: true as const }), events, unread, unseen, lastEventId }
  }

  #mark(id: string): void {
    const marked = this.belfry
      .mark(id, markOf(this.#random()))
      .catch(() => undefined)
      .finally(() => this.#marks.delete(marked))
    this.#marks.add(marked)
  }

  /** Resolves with undefined if there was no reply, or if the client of this build cannot answer. */
  async #answer(id: string, action: string): Promise<AnswerReply | undefined> {
    const client: unknown = this.belfry
    if (client instanceof PlainClient) return client.answer(id, action)
    if (typeof this.belfry.answer !== 'function') return undefined
    try {
      return { type: 'ok', ...(await this.belfry.answer(id, action)) }
    } catch (error) {
      const { code, temporary, answer } = error as BelfryError
      return { type: 'error', code, temporary, ...(answer && { answer }) }
    }
  }

  #brisk(): void {
    if (!this.#frozen && this.#slowMs === 0) this.events.push({ type: 'brisk', at: Date.now() })
  }

  #pause(paused: boolean): void {
    const socket = this.#socket
    if (socket?.readyState !== WebSocket.OPEN) return
    if (paused) socket.pause()
    else socket.resume()
  }

  #webSocket() {
    const opened = (socket: WebSocket, port: number): void => {
      this.#socket = socket
      this.clientPort = port
      this.#node = this.#world.servedBy(port)
      if (this.#frozen) setImmediate(() => this.#pause(this.#frozen))
    }
    return class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols, options)
        this.on('upgrade', (response) => opened(this, response.socket.localPort ?? -1))
      }
    }
  }
}

/** Makes three devices for each user: two with the SDK, one without. */
export function makeDevices(world: World, sdk: Sdk, users: string[], seed: number): Device[] {
  return users.flatMap((user, number) =>
    ['phone', 'laptop', PLAIN].map((device, which) => new Device(world, sdk, user, device, seed + number * 3 + which))
  )
}

function markOf(random: number): State {
  return random < 0.3 ? 'seen' : random < 0.8 ? 'read' : 'archived'
}
