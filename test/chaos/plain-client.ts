import type { BelfryOptions } from '../../packages/client/src/index.ts'
import { type NotificationFrame, parseEventId, type RowFrame } from '../../services/protocol/index.ts'
import type { UnreadCounts } from '../../services/store/row.ts'
import type { AnswerReply } from './answering.ts'
import type { ShownList } from './shown-list.ts'

/** Row frames between two acknowledgements; docs/guides/consuming.md allows clients to acknowledge seldom. */
const ACK_EVERY = 20
const RETURN_MS = 300
const UNAUTHORIZED = 4001
/** Time limit for `hello`, milliseconds. */
const HELLO_MS = 15_000

interface Frame extends AnswerReply {
  eventId?: string
  replay?: true
  unread?: number
  unseen?: number
  ref?: number
  reason?: string
  id?: string
  notification?: NotificationFrame['notification']
  resume?: { status: string; from: string }
  heartbeat?: { intervalMs: number; timeoutMs: number }
}

type Handler = (event: never) => unknown

interface Socket {
  readyState: number
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: (() => void) | null
  send(text: string): void
  close(): void
}

/**
 * A client without the SDK. It stores no position and resumes at the device's cursor. It acknowledges every twentieth row, and never
 * `caughtUp`. It has the part of the SDK's interface that `Device` uses.
 */
export class PlainClient {
  unread = 0
  unseen = 0
  lastEventId = ''
  state = 'disconnected'
  readonly #url: string
  readonly #options: BelfryOptions
  readonly #handlers = new Map<string, Handler>()
  readonly #replies = new Map<number, (reply: AnswerReply | undefined) => void>()
  readonly #shown: Set<string>
  readonly #list: ShownList
  #socket: Socket | undefined
  #queue: Frame[] = []
  #busy = false
  #sinceAck = 0
  #ref = 0
  #timer: NodeJS.Timeout | undefined
  /** Closes a silent socket: its peer may have ended without closing it. */
  #silence: NodeJS.Timeout | undefined
  #silenceMs = HELLO_MS

  /**
   * @param shown ids that the device has shown, which it does not show again
   * @param list the notifications that the device shows
   */
  constructor(url: string, options: BelfryOptions, shown: Set<string>, list: ShownList) {
    this.#url = url
    this.#options = options
    this.#shown = shown
    this.#list = list
  }

  on(type: string, handler: Handler): void {
    this.#handlers.set(type, handler)
  }

  connect(): void {
    this.#enter('connecting')
    void this.#open()
  }

  disconnect(): void {
    clearTimeout(this.#timer)
    this.#leave()
    this.#socket?.close()
    this.#socket = undefined
    this.#enter('disconnected')
  }

  async mark(id: string, state: string): Promise<void> {
    const reply = await this.#call({ type: 'mark', ids: [id], state })
    if (reply?.type !== 'ok') throw new Error('not carried out')
  }

  /** Answers a notification. Resolves with the reply, or with undefined if there was none. */
  answer(id: string, action: string): Promise<AnswerReply | undefined> {
    return this.#call({ type: 'answer', id, action })
  }

  #call(frame: object): Promise<AnswerReply | undefined> {
    return new Promise((resolve) => {
      const ref = ++this.#ref
      this.#replies.set(ref, resolve)
      if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify({ ...frame, ref }))
      else this.#settle(ref, undefined)
    })
  }

  async #open(): Promise<void> {
    const token = await (this.#options.getToken as () => string | Promise<string>)()
    if (this.state === 'disconnected') return
    const url = `${this.#url.replace(/^http/, 'ws')}/v1/ws?device_id=${this.#options.deviceId}`
    const Constructor = this.#options.WebSocket as unknown as new (url: string, protocols: string[]) => Socket
    const socket = new Constructor(url, ['belfry.v1', `bearer.${token}`])
    this.#socket = socket
    // `hello` may be lost, too.
    this.#awaitFrame()
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(JSON.parse(String(data)) as Frame)
    }
    socket.onerror = () => undefined
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.#socket) return
      this.#socket = undefined
      this.#leave()
      // A refused token is not terminal: the next connection asks for another one.
      if (code >= 4000 && code < 4100 && code !== UNAUTHORIZED) this.#emit('terminal', { code, reason })
      else {
        this.#enter('connecting')
        this.#timer = setTimeout(() => void this.#open(), RETURN_MS)
      }
    }
  }

  /** Ends the connection. Notifications that no handler has had are sent again. */
  #leave(): void {
    clearTimeout(this.#silence)
    this.#queue = []
    this.#sinceAck = 0
    for (const ref of [...this.#replies.keys()]) this.#settle(ref, undefined)
  }

  /** Closes the socket if no frame arrives in time. */
  #awaitFrame(): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.#socket?.close(), this.#silenceMs)
  }

  #receive(frame: Frame): void {
    if (frame.heartbeat !== undefined) this.#silenceMs = frame.heartbeat.intervalMs + frame.heartbeat.timeoutMs
    this.#awaitFrame()
    if (frame.type === 'ok' || frame.type === 'error') {
      if (frame.ref !== undefined) this.#settle(frame.ref, frame)
      return
    }
    if (frame.type === 'ping') {
      this.#socket?.send(JSON.stringify({ type: 'pong' }))
      return
    }
    this.#queue.push(frame)
    if (!this.#busy) void this.#drain()
  }

  async #drain(): Promise<void> {
    this.#busy = true
    for (let frame = this.#queue.shift(); frame !== undefined; frame = this.#queue.shift()) await this.#handle(frame)
    this.#busy = false
  }

  async #handle(frame: Frame): Promise<void> {
    if (frame.type === 'hello') {
      this.unread = frame.unread ?? 0
      this.unseen = frame.unseen ?? 0
      const { status, from } = frame.resume ?? { status: '', from: '' }
      if (status === 'fresh' && isOfAnotherLog(this.lastEventId, from))
        this.#emit('gap', { reason: 'fresh', from: this.lastEventId, to: from, count: 0 })
      this.lastEventId = from
      this.#enter('connected')
      return
    }
    if (frame.type === 'gap') return void (await this.#emit('gap', frame))
    if (frame.eventId === undefined) return
    const added = frame.type === 'caughtUp' ? undefined : this.#list.apply(frame as unknown as RowFrame)
    if (frame.type === 'notification') await this.#show(frame, added)
    else {
      this.unread = frame.unread ?? this.unread
      this.unseen = frame.unseen ?? this.unseen
      if (frame.type === 'retract' || frame.type === 'answered') this.#emit(frame.type, frame)
    }
    this.lastEventId = frame.eventId
    if (frame.type === 'caughtUp') this.#emit('caughtUp', {})
    else if (++this.#sinceAck % ACK_EVERY === 0 && this.#socket?.readyState === 1) {
      this.#socket.send(JSON.stringify({ type: 'ack', eventId: frame.eventId }))
    }
  }

  async #show({ eventId, replay, answer, notification }: Frame, added: UnreadCounts | undefined): Promise<void> {
    if (replay !== true && added !== undefined) {
      this.unread += added.unread
      this.unseen += added.unseen
    }
    if (notification === undefined || this.#shown.has(notification.id)) return
    this.#shown.add(notification.id)
    await this.#emit('notification', { notification, answered: answer, eventId, replay: replay === true })
  }

  #settle(ref: number, reply: AnswerReply | undefined): void {
    this.#replies.get(ref)?.(reply)
    this.#replies.delete(ref)
  }

  #enter(state: string): void {
    this.state = state
    this.#emit('state', { state })
  }

  #emit(type: string, event: unknown): unknown {
    return this.#handlers.get(type)?.(event as never)
  }
}

/** Returns whether two event ids are of different logs; false if the first is ''. */
export function isOfAnotherLog(known: string, eventId: string): boolean {
  return known !== '' && parseEventId(known)?.epoch !== parseEventId(eventId)?.epoch
}
