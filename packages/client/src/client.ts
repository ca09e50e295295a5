import type { ErrorFrame, MarkFrame, State } from '../../../services/protocol/index.ts'
import { Acks } from './acks.ts'
import { attempt } from './attempt.ts'
import { Calls } from './calls.ts'
import { Connection, type DataFrame } from './connection.ts'
import { Delivery, notificationContext } from './delivery.ts'
import { BelfryError } from './errors.ts'
import { Events } from './events.ts'
import { watchLifecycle } from './lifecycle.ts'
import type { Platform } from './platform.ts'
import { escapeColons, Memory, memoryStorage } from './storage.ts'
import { type TabMessage, Tabs } from './tabs.ts'
import { Toasts } from './toasts.ts'
import { Tokens } from './token.ts'
import { webSocketTransport } from './transport.ts'
import type {
  BelfryEvents,
  BelfryOptions,
  ConnectionState,
  EventName,
  FetchLike,
  Handler,
  MarkTarget,
  TerminalContext,
  TransportName
} from './types.ts'

/** `Belfry` on a platform of one's choice: puts the parts together. */
export class Client {
  /** The service's, http(s), without a slash at its end. */
  readonly url: string
  /** What an `Inbox` asks the service with. */
  readonly fetch: FetchLike | undefined
  /** Where the device keeps its cursor on the service. */
  readonly deviceId: string
  readonly #platform: Platform
  readonly #share: boolean
  readonly #events: Events<BelfryEvents>
  readonly #tokens: Tokens
  readonly #memory: Memory
  readonly #calls: Calls
  readonly #connection: Connection
  #state: ConnectionState = 'disconnected'
  #user = ''
  /** The user's own: another user gets another. */
  #delivery: Delivery
  #transport: TransportName | undefined
  #tabs: Tabs | undefined
  /** The page is frozen, or in the back/forward cache. */
  #suspended = false
  #unwatch: (() => void) | undefined

  constructor(url: string, options: BelfryOptions, platform: Platform) {
    const base = url.replace(/^ws/, 'http').replace(/\/+$/, '')
    if (!/^https?:\/\//.test(base)) throw new TypeError(`not http(s) or ws(s): ${url}`)
    const WebSocket = options.WebSocket ?? platform.WebSocket
    if (!WebSocket) throw new TypeError('no WebSocket: pass one')
    this.url = base
    this.fetch = options.fetch ?? platform.fetch
    this.#platform = platform
    this.#events = new Events((event, cause) => {
      if (event !== 'error') this.#error('HANDLER', `a handler of '${event}' threw: ${cause}`, cause)
    })
    this.#share = options.leader ?? platform.page !== undefined
    this.#tokens = new Tokens(platform, options.getToken, (user) => this.#identify(user))
    this.#memory = new Memory(options.storage ?? platform.storage ?? memoryStorage(), `belfry:${base}:`)
    this.deviceId = options.deviceId ?? (this.#memory.get('device') || this.#newId())
    if (!options.deviceId) this.#memory.set('device', this.deviceId)
    this.#calls = new Calls(platform, (frame) => this.#sendCall(frame as MarkFrame))
    this.#delivery = this.#deliveryOf('')
    const parts = {
      base,
      platform,
      tokens: this.#tokens,
      open: webSocketTransport(WebSocket),
      fetch: this.fetch,
      deviceId: this.deviceId
    }
    this.#connection = new Connection(parts, {
      turn: () => this.#turn(),
      guard: (run) => this.#guard(run),
      lastEventId: () => this.#delivery.resumeAt(),
      ping: () => this.#tellStatus(),
      hello: (frame, transport) => {
        // Of a token that cannot be read the service knows the user.
        if (!this.#tokens.user && this.#identify(frame.user)) return
        this.#delivery.hello(frame)
        if (transport !== this.#transport) this.#events.emit('transport', { transport })
        this.#transport = transport
        this.#setState('connected')
        if (frame.resume.status === 'gap') this.#delivery.acks.drop()
        else this.#delivery.acks.flush()
      },
      frame: (frame) => this.#receive(frame),
      lost: (retry) => {
        this.#delivery.lost()
        this.#setState('connecting')
        if (retry) this.#events.emit('retry', retry)
      },
      terminal: (ctx) => {
        this.#tabs?.post({ type: 'terminal', ctx })
        this.#terminate(ctx)
      },
      error: (what, cause) => this.#error(what, String(cause), cause),
      refresh: async (token) => (await this.#calls.call({ type: 'refresh', token })).tokenExpiresAt
    })
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Whether this tab holds the connection; without tabs to share with, true from the start. */
  get leader(): boolean {
    return this.#tabs?.leading ?? true
  }

  /** Whose notifications these are: the token's `sub`; '' until it is known. */
  get user(): string {
    return this.#user
  }

  /** The newest event id handed over, '' when there is none. */
  get lastEventId(): string {
    return this.#delivery.last
  }

  /** Notifications unread or seen; 0 before the first connection. */
  get unread(): number {
    return this.#delivery.unread
  }

  /** Connects, and stays connected until `disconnect()` or a `terminal` event. Nothing when it is at it already. */
  connect(): void {
    if (this.#state !== 'disconnected') return
    this.#setState('connecting')
    this.#suspended = false
    this.#unwatch = watchLifecycle(this.#platform, {
      tick: () => this.#tabs?.tick(),
      hidden: () => this.#tabs?.announce(),
      wake: () => this.#wake(() => this.#connection.wake()),
      online: () => this.#wake(() => this.#connection.online()),
      offline: () => this.#guard(() => this.#connection.offline()),
      suspend: () => this.#suspend(),
      restore: () => this.#restore()
    })
    this.#connection.start()
  }

  /** Closes the connection, or leaves it to another tab, and drops the token. Calls without an answer are rejected. */
  disconnect(): void {
    this.#tokens.drop('connect')
    this.#unwatch?.()
    this.#unwatch = undefined
    this.#keep()
    this.#connection.stop()
    this.#delivery.clear()
    this.#tabs?.leave()
    this.#setState('disconnected')
    this.#calls.failAll()
  }

  /** Disconnects, and removes what this browser keeps of the user: places in the log and ids shown. The device's id stays. */
  forget(): void {
    this.disconnect()
    this.#delivery.memory.clear()
    this.#identify('')
  }

  /**
   * Calls the handler at every such event, with one context object.
   *
   * @returns a function that takes it off
   */
  on<E extends EventName>(event: E, handler: Handler<E>): () => void {
    return this.#events.on(event, handler)
  }

  /** Resolves when connected. Rejects with a `BelfryError` when disconnected, now or before it comes to that. */
  async ready(): Promise<void> {
    while (this.#state === 'connecting') {
      await new Promise<void>((resolve) => {
        const off = this.on('state', () => {
          off()
          resolve()
        })
      })
    }
    if (this.#state === 'disconnected') throw disconnected()
  }

  /**
   * The user's token, for requests to the service's REST API. Rejects with what `getToken` threw.
   *
   * @param refused the one given before was
   */
  token(refused = false): Promise<string> {
    if (refused) this.#tokens.drop('unauthorized')
    return this.#tokens.get()
  }

  /**
   * Sets the state of notifications on every device of the user; resolves with the unread count after it, where the service
   * tells. While the connection is away the mark waits for the next, 10 s at most. Rejects with a `BelfryError`.
   */
  async mark(target: MarkTarget, state: State = 'read'): Promise<number | undefined> {
    if (this.#state === 'disconnected') throw disconnected()
    const what = typeof target === 'object' && 'upTo' in target ? target : { ids: [target].flat() }
    return (await this.#calls.call({ type: 'mark', state, ...what })).unread
  }

  /** Marks as read all that has arrived. Rejects with a `BelfryError`. */
  async markAllRead(): Promise<void> {
    const upTo = this.lastEventId
    if (upTo) await this.mark({ upTo })
  }

  /** The page may not run for long: gives up the connection, and the lead to a tab that does. */
  #suspend(): void {
    if (this.#suspended) return
    this.#suspended = true
    this.#delivery.toasts.release()
    this.#keep()
    this.#connection.stop()
    this.#delivery.lost()
    this.#delivery.away = true
    this.#tabs?.leave()
    this.#setState('connecting')
  }

  #restore(): void {
    if (!this.#suspended) return
    this.#suspended = false
    this.#connection.start()
  }

  #wake(connection: () => void): void {
    this.#guard(() => {
      this.#tabs?.announce(false, true)
      connection()
    })
  }

  /** Runs it: at once, or after the browser told whether this tab still leads. */
  #guard(run: () => void): void {
    if (this.#tabs) this.#tabs.guard(run)
    else run()
  }

  #keep(): void {
    this.#delivery.save()
    this.#delivery.acks.flush()
  }

  /** Tabs are joined as soon as the user is known; only the one that leads goes on. */
  async #turn(): Promise<boolean> {
    const { user } = this.#tokens
    if (!user) return false
    if (this.#tabs?.leading) return false
    if (!this.#tabs || this.#tabs.left) this.#tabs = this.#join(user)
    const tabs = this.#tabs
    if (!tabs) return false
    await tabs.lead()
    if (tabs === this.#tabs) {
      this.#setState('connecting')
      this.#tellStatus()
    }
    return true
  }

  #join(user: string): Tabs | undefined {
    const { locks, BroadcastChannel } = this.#platform
    if (!this.#share || !locks || !BroadcastChannel) return undefined
    const name = `belfry:${this.url}:${escapeColons(user)}`
    // Browsers may refuse it: to frames without an origin, to pages that may not keep anything.
    const channel = attempt(() => new BroadcastChannel(name))
    if (!channel) return undefined
    this.#delivery.load()
    return new Tabs(this.#platform, locks, channel, name, this.#newId(), {
      message: (message) => this.#hear(message),
      lost: (tab) => this.#delivery.toasts.lost(tab),
      ousted: () => {
        this.#connection.restart()
        this.#delivery.lost()
        this.#delivery.toasts.drop()
        this.#setState('connecting')
      }
    })
  }

  /** Takes up the user. When there was another, drops everything of theirs in this turn and connects anew; returns whether that is so. */
  #identify(user: string): boolean {
    const previous = this.#user
    if (user === previous) return false
    this.#tabs?.leave()
    this.#tabs = undefined
    this.#delivery.close()
    this.#user = user
    this.#delivery = this.#deliveryOf(user)
    if (!previous) return false
    this.#calls.failAll()
    this.#events.emit('user', { user, previous })
    this.#events.emit('unread', { unread: 0 })
    if (this.#state === 'disconnected') return true
    this.#setState('connecting')
    this.#connection.restart()
    return true
  }

  #deliveryOf(user: string): Delivery {
    const acks = new Acks(this.#platform, (eventId) => {
      this.#delivery.save()
      return this.#connection.send({ type: 'ack', eventId })
    })
    const toasts = new Toasts(this.#events, () => this.#tabs)
    return new Delivery(this.#events, this.#memory.of(user, this.deviceId), acks, toasts, () => this.#connection.resume())
  }

  #receive(frame: DataFrame): void {
    if (frame.type !== 'ok' && frame.type !== 'error') this.#delivery.push({ frame })
    else if (!this.#calls.answer(frame) && frame.type === 'error') {
      const { type, ref, ...ctx } = frame
      this.#events.emit('error', ctx)
    }
  }

  #hear(message: TabMessage): void {
    const { toasts } = this.#delivery
    if (message.type === 'toasted') for (const id of message.ids) toasts.raised(id)
    else if (message.type === 'terminal') {
      // Where locks are refused each tab leads, with a connection of its own.
      if (!this.#tabs?.leading || this.#state !== 'connected') this.#terminate(message.ctx)
    } else if (this.#tabs?.leading) {
      if (message.type === 'here') {
        this.#tellStatus()
        if (message.wake) this.#connection.wake()
      } else if (message.type === 'call') this.#callFor(message.from, message.frame)
    } else if (message.type === 'status') {
      if (message.state === 'connected') this.#delivery.count(message.unread)
      this.#setState(message.state)
      // Without a way to get those rows from the leader, this tab gets them as the leader.
      if (this.#delivery.missed(message.last)) this.#tabs?.takeOver()
    } else if (message.type === 'row') {
      const { frame, unread, toast } = message
      if (toast && frame.type === 'notification') toasts.given(toast, [notificationContext(frame, false)])
      this.#delivery.push({ frame, shared: { unread, toast } })
    } else if (message.type === 'toast') {
      toasts.given(message.to, message.ctxs)
      if (message.to === toasts.tab) toasts.raise(message.ctxs)
    } else if (message.type === 'answer' && message.to === toasts.tab) this.#calls.answer(message.frame)
  }

  #tellStatus(): void {
    const { id, leading } = this.#tabs ?? {}
    const { silenceMs: leaseMs } = this.#connection
    if (id && leading)
      this.#tabs?.post({ type: 'status', from: id, state: this.#state, unread: this.unread, last: this.lastEventId, leaseMs })
  }

  async #callFor(tab: string, frame: MarkFrame): Promise<void> {
    const refused = ({ code, message, temporary }: BelfryError): ErrorFrame => ({ type: 'error', code, message, temporary })
    const answer = await this.#calls.call(frame).catch(refused)
    this.#tabs?.post({ type: 'answer', to: tab, frame: { ...answer, ref: frame.ref as number } })
  }

  #sendCall(frame: MarkFrame): boolean {
    if (this.leader) return this.#connection.send(frame)
    this.#tabs?.post({ type: 'call', from: this.#tabs.id, frame })
    this.#tabs?.announce()
    return true
  }

  #terminate(ctx: TerminalContext): void {
    this.disconnect()
    this.#events.emit('terminal', ctx)
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    this.#tellStatus()
    if (state === 'connected') this.#calls.resend()
    this.#events.emit('state', { state, leader: this.leader })
  }

  #error(what: string, message: string, cause: unknown): void {
    this.#events.emit('error', { code: `BELFRY_CLIENT_${what}`, message, temporary: true, cause })
  }

  /** Random enough to tell devices and tabs apart. */
  #newId(): string {
    const part = () => this.#platform.random().toString(36).slice(2)
    return part() + part()
  }
}

function disconnected(): BelfryError {
  return new BelfryError('BELFRY_CLIENT_DISCONNECTED', 'disconnected')
}
