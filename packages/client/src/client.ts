import type { Answer, OkFrame, State } from '../../../services/protocol/index.ts'
import { attempt } from './attempt.ts'
import { Calls } from './calls.ts'
import { Connection, type DataFrame } from './connection.ts'
import { Delivery } from './delivery.ts'
import { disconnected, errorOf } from './errors.ts'
import { Events } from './events.ts'
import type { Tracked } from './expiries.ts'
import { watchLifecycle } from './lifecycle.ts'
import { markAll, type UserFrame } from './marks.ts'
import { type Platform, randomId } from './platform.ts'
import { escapeColons, Memory, memoryStorage } from './storage.ts'
import { type TabMessage, Tabs } from './tabs.ts'
import { Tokens } from './token.ts'
import { webSocketTransport } from './transport.ts'
import type {
  BelfryEvents,
  BelfryOptions,
  ConnectionState,
  EventName,
  FetchLike,
  Handler,
  MarkOptions,
  MarkResult,
  MarkTarget,
  TerminalContext,
  TransportName
} from './types.ts'

/** The client without its platform: `Belfry` is this class on the standard one, tests give their own. */
export class Client {
  /** The service's http(s) address, without a slash at the end. */
  readonly url: string
  /** Used by an `Inbox` for its requests. */
  readonly fetch: FetchLike | undefined
  /** Used by an `Inbox` for its delays and its requests. */
  readonly setTimeout: Platform['setTimeout']
  readonly clearTimeout: Platform['clearTimeout']
  /** The name of the device, whose cursor the service keeps. */
  readonly deviceId: string
  readonly #platform: Platform
  readonly #sharesConnection: boolean
  protected readonly events: Events<BelfryEvents>
  readonly #tokens: Tokens
  readonly #memory: Memory
  readonly #calls: Calls
  readonly #connection: Connection
  #state: ConnectionState = 'disconnected'
  #user = ''
  /** Belongs to `#user`: replaced when the user changes. */
  #delivery: Delivery
  #transport: TransportName | undefined
  #tabs: Tabs | undefined
  /** The page is frozen or in the back/forward cache. */
  #isSuspended = false
  #stopWatching: (() => void) | undefined

  constructor(url: string, options: BelfryOptions, platform: Platform) {
    const base = url.replace(/^ws/, 'http').replace(/\/+$/, '')
    if (!/^https?:\/\//.test(base)) throw new TypeError(`not http(s) or ws(s): ${url}`)
    const WebSocket = options.WebSocket ?? platform.WebSocket
    if (!WebSocket) throw new TypeError('no WebSocket: pass one')
    this.url = base
    this.fetch = options.fetch ?? platform.fetch
    this.setTimeout = platform.setTimeout
    this.clearTimeout = platform.clearTimeout
    this.#platform = platform
    this.events = new Events((event, cause) => {
      if (event !== 'error') this.#emitError('HANDLER', `a handler of '${event}' threw: ${cause}`, cause)
    })
    this.#sharesConnection = options.leader ?? !!platform.page
    this.#tokens = new Tokens(platform, options.getToken, (user) => this.#identify(user))
    this.#memory = new Memory(options.storage ?? platform.storage ?? memoryStorage(), `belfry:${base}:`)
    this.deviceId = options.deviceId ?? (this.#memory.get('device') || randomId(platform))
    if (!options.deviceId) this.#memory.set('device', this.deviceId)
    this.#calls = new Calls(platform, (frame) => this.#sendCall(frame as UserFrame))
    this.#delivery = this.#newDelivery('')
    this.#connection = new Connection({
      ...{ base, platform, fetch: this.fetch, deviceId: this.deviceId, tokens: this.#tokens, open: webSocketTransport(WebSocket) },
      waitForLead: () => this.#waitForLead(),
      guard: (run) => this.#guard(run),
      lastEventId: () => this.#delivery.resumeAt(),
      ping: () => this.#sendStatus(),
      hello: (frame, transport, maxAgeMs) => {
        // If the token cannot be read here, the service names the user.
        if (!this.#tokens.user && this.#identify(frame.user)) return
        this.#delivery.hello(frame, maxAgeMs)
        if (transport !== this.#transport) this.events.emit('transport', { transport })
        this.#transport = transport
        this.#setState('connected')
      },
      frame: (frame) => this.#receive(frame),
      lost: (retry) => {
        this.#delivery.lost()
        this.#setState('connecting')
        if (retry) this.events.emit('retry', retry)
      },
      terminal: (ctx) => {
        this.#tabs?.post({ type: 'terminal', ctx })
        this.#terminate(ctx)
      },
      error: (what, cause) => this.#emitError(what, String(cause), cause),
      refresh: async (token) => (await this.#calls.call({ type: 'refresh', token })).tokenExpiresAt
    })
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** True if this tab holds the connection; always true without tabs to share with. */
  get leader(): boolean {
    return this.#tabs?.isLeader ?? true
  }

  /** The user: the token's `sub`; '' until it is known. */
  get user(): string {
    return this.#user
  }

  /** The newest event id handed to the handlers; '' for none. */
  get lastEventId(): string {
    return this.#delivery.last
  }

  /** The number of notifications that are unread or seen; 0 before the first connection. */
  get unread(): number {
    return this.#delivery.unread
  }

  /** The number of notifications that are unread, not even seen; 0 before the first connection. */
  get unseen(): number {
    return this.#delivery.unseen
  }

  /** Connects, and stays connected until `disconnect()` or a `terminal` event. Does nothing if that was called before. */
  connect(): void {
    if (this.#state !== 'disconnected') return
    this.#setState('connecting')
    this.#isSuspended = false
    this.#stopWatching = watchLifecycle(this.#platform, {
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

  /** Closes the connection, or leaves it to another tab, and drops the token. A last request settles each call that has no answer yet. */
  disconnect(): void {
    this.#tokens.drop()
    this.#stopWatching?.()
    this.#stopWatching = undefined
    this.#delivery.flush()
    this.#connection.stop()
    this.#delivery.clear()
    this.#tabs?.leave()
    this.#setState('disconnected')
    this.#calls.settleByRest(this, this.#tokens.newest)
  }

  /** Disconnects, and removes what this browser stores about the user: positions and shown ids. The id of the device stays. */
  forget(): void {
    this.disconnect()
    this.#delivery.memory.clear()
    this.#identify('')
  }

  /**
   * Calls the handler at each event of this name, with one context object.
   *
   * @returns a function that removes the handler
   */
  on<E extends EventName>(event: E, handler: Handler<E>): () => void {
    return this.events.on(event, handler)
  }

  /** Resolves when connected. Rejects with a `BelfryError` if the client is or gets disconnected before. */
  async ready(): Promise<void> {
    while (this.#state === 'connecting') {
      await new Promise<void>((resolve) => {
        const off: () => void = this.on('state', () => resolve(off()))
      })
    }
    if (this.#state === 'disconnected') throw errorOf(disconnected())
  }

  /**
   * Returns the user's token, for requests to the service's REST API. Rejects with the error of `getToken`.
   *
   * @param refused true if the service refused the last token: another is fetched
   */
  token(refused = false): Promise<string> {
    if (refused) this.#tokens.drop('unauthorized')
    return this.#tokens.get()
  }

  /**
   * Sets the state of notifications on every device of the user. Resolves with the unread count after it, if the service names it. Without
   * a connection the mark waits for the next one, 10 s at most. Rejects with a `BelfryError`.
   */
  async mark(target: MarkTarget, state: State = 'read', options: MarkOptions = {}): Promise<number | undefined> {
    return (await this.requestMark(target, state, options)).unread
  }

  /** Marks as `mark()` does, for an `Inbox`. Resolves with all that the service answered. */
  requestMark(target: MarkTarget, state: State, options: MarkOptions): Promise<MarkResult> {
    return markAll((frame) => this.#call(frame), target, state, options)
  }

  /**
   * Answers a notification by one of its actions. The first answer of all devices wins. Resolves with the answer. Waits for a connection as
   * `mark()` does. Rejects with a `BelfryError`, which has the first answer if another device was first.
   */
  async answer(id: string, action: string): Promise<Answer> {
    const { answeredAt, deviceId } = (await this.#call({ type: 'answer', id, action })) as Answer
    return { action, answeredAt, deviceId }
  }

  /** Watches the expiry of a notification that an `Inbox` loaded. Returns false if it has expired. */
  track(notification: Tracked): boolean {
    return this.#delivery.expiries.add(notification)
  }

  /** Marks all notifications that have arrived as read. Rejects with a `BelfryError`. */
  async markAllRead(): Promise<void> {
    const upTo = this.lastEventId
    if (upTo) await this.mark({ upTo })
  }

  async #call(frame: UserFrame): Promise<OkFrame> {
    if (this.#state === 'disconnected') throw errorOf(disconnected())
    return this.#calls.call(frame)
  }

  /** Closes the connection and leaves the lead to another tab, because this page stops running. */
  #suspend(): void {
    if (this.#isSuspended) return
    this.#isSuspended = true
    this.#delivery.toasts.release(true)
    this.#delivery.flush()
    this.#connection.stop()
    this.#delivery.lost()
    this.#delivery.isBehind = true
    this.#tabs?.leave()
    this.#setState('connecting')
  }

  #restore(): void {
    if (!this.#isSuspended) return
    this.#isSuspended = false
    // Another user may have signed in while this page did not run.
    this.#tokens.drop()
    this.#connection.start()
  }

  #wake(connection: () => void): void {
    this.#guard(() => {
      this.#delivery.expiries.check()
      this.#tabs?.announce(false, true)
      connection()
    })
  }

  /** Calls `run`: at once, or after the browser confirmed which tab leads. */
  #guard(run: () => void): void {
    this.#tabs ? this.#tabs.guard(run) : run()
  }

  /** Joins the tabs of the user and resolves when this one leads, with true if that took waiting. The user is known from the token. */
  async #waitForLead(): Promise<boolean> {
    const { user } = this.#tokens
    if (!user || this.#tabs?.isLeader) return false
    if (!this.#tabs || this.#tabs.hasLeft) this.#tabs = this.#join(user)
    const tabs = this.#tabs
    if (!tabs) return false
    await tabs.lead()
    if (tabs === this.#tabs) {
      this.#setState('connecting')
      this.#sendStatus()
    }
    return true
  }

  #join(user: string): Tabs | undefined {
    const { locks, BroadcastChannel } = this.#platform
    if (!this.#sharesConnection || !locks || !BroadcastChannel) return undefined
    const name = `belfry:${this.url}:${escapeColons(user)}`
    // Browsers refuse channels to frames without an origin and to pages that may not store anything.
    const channel = attempt(() => new BroadcastChannel(name))
    if (!channel) return undefined
    this.#delivery.load()
    return new Tabs(this.#platform, locks, channel, name, randomId(this.#platform), {
      message: (message) => this.#receiveFromTab(message),
      tabEnded: (tab) => this.#delivery.toasts.tabEnded(tab),
      demoted: () => {
        this.#connection.restart()
        this.#delivery.toasts.clear()
      }
    })
  }

  /** Takes a message of another tab. A tab that leads ignores what another tab sends as the leader. */
  #receiveFromTab(message: TabMessage): void {
    const delivery = this.#delivery
    const calls = this.#calls
    const tabs = this.#tabs
    const { leader } = this
    if (message.type === 'toasted') delivery.receiveFromTab(message)
    else if (message.type === 'terminal') {
      // If the browser refuses locks, each tab leads with a connection of its own.
      if (!leader || this.#state !== 'connected') this.#terminate(message.ctx)
    } else if (message.type === 'here') {
      this.#sendStatus()
      if (leader && message.wake) this.#connection.wake()
    } else if (message.type === 'call') {
      if (leader) calls.callFor(message.from, message.frame, (answer) => tabs?.post(answer))
    } else if (leader) return
    else if (message.type === 'answer') {
      if (message.to === tabs?.id) calls.answer(message.frame)
    } else if (message.type === 'status') {
      delivery.expiries.sync(message.serverTime)
      if (message.state === 'connected') delivery.count(message)
      this.#setState(message.state)
      // The leader cannot send the missed rows again. The service can, to the tab that leads.
      if (delivery.missed(message.last)) tabs?.takeOver()
    } else delivery.receiveFromTab(message)
  }

  /** Sets the user. If there was another user, drops all their data in this turn and connects again. Returns true in that case. */
  #identify(user: string): boolean {
    const previous = this.#user
    if (user === previous) return false
    this.#tabs?.leave()
    this.#tabs = undefined
    this.#delivery.close()
    this.#user = user
    this.#delivery = this.#newDelivery(user)
    if (!previous) return false
    this.#calls.settleByRest(this, this.#tokens.newest)
    this.events.emit('user', { user, previous })
    this.events.emit('unread', { unread: 0, unseen: 0 })
    if (this.#state !== 'disconnected') this.#connection.restart()
    return true
  }

  #newDelivery(user: string): Delivery {
    return new Delivery(this.#platform, this.events, this.#memory.of(user, this.deviceId), {
      tabs: () => this.#tabs,
      ack: (eventId) => this.#connection.send({ type: 'ack', eventId }),
      hole: () => this.#connection.resume(),
      answer: (id, action) => this.answer(id, action)
    })
  }

  #receive(frame: DataFrame): void {
    if (frame.type !== 'ok' && frame.type !== 'error') this.#delivery.push({ frame })
    else if (!this.#calls.answer(frame) && frame.type === 'error') {
      const { type, ref, ...ctx } = frame
      this.events.emit('error', ctx)
    }
  }

  #sendStatus(): void {
    const tabs = this.#tabs
    if (!tabs?.isLeader) return
    const { unread, unseen, last, expiries } = this.#delivery
    const times = { leaseMs: this.#connection.silenceMs, serverTime: expiries.now }
    tabs.post({ type: 'status', from: tabs.id, state: this.#state, unread, unseen, last, ...times })
  }

  #sendCall(frame: UserFrame): boolean {
    if (this.leader) return this.#connection.send(frame)
    this.#tabs?.post({ type: 'call', from: this.#tabs.id, frame })
    this.#tabs?.announce()
    return true
  }

  #terminate(ctx: TerminalContext): void {
    this.disconnect()
    this.events.emit('terminal', ctx)
  }

  #setState(state: ConnectionState): void {
    if (state === this.#state) return
    this.#state = state
    this.#sendStatus()
    if (state === 'connected') this.#calls.resend()
    this.events.emit('state', { state, leader: this.leader })
  }

  #emitError(what: string, message: string, cause: unknown): void {
    this.events.emit('error', { code: `BELFRY_CLIENT_${what}`, message, temporary: true, cause })
  }
}
