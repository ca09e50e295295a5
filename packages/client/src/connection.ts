import {
  type CaughtUpFrame,
  type ClientFrame,
  type closeCodes,
  type ErrorFrame,
  type GapFrame,
  type HelloFrame,
  type OkFrame,
  type RowFrame,
  type ServerFrame,
  verdictOf
} from '../../../services/protocol/index.ts'
import { Backoff } from './backoff.ts'
import { deadline } from './deadline.ts'
import type { Platform } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'
import type { Tokens } from './token.ts'
import type { OpenTransport, Transport } from './transport.ts'
import type { FetchLike, RetryContext, TerminalContext, TransportName } from './types.ts'

// The one table of codes would be half a kilobyte here; the types hold these equal to it.
const UNAUTHORIZED: (typeof closeCodes.unauthorized)['code'] = 4001
const NO_PONG: (typeof closeCodes.noPong)['code'] = 4201
const OUT_OF_STEP: (typeof closeCodes.outOfStep)['code'] = 4203
/** The code a browser gives a connection that ended without a close frame (RFC 6455 §7.4.1). */
const LOST = 1006

/** From the start of an attempt to its `hello`. */
const OPEN_MS = 15_000
const STABLE_MS = 10_000
/** Silence of so many heartbeats is the end of a connection. */
const SILENT_HEARTBEATS = 1.6
const REFRESH_AT = 0.8
const REFRESH_BEFORE_MS = 30_000
const TIMER_MAX_MS = 2 ** 31 - 1
/** WebSockets in a row without a `hello`, before an event stream is tried. */
const MISSES = 2
/** After a change of the network or of the page, a connection that heard nothing for longer is replaced. */
const FRESH_MS = 3000

/** Frames the connection does not deal with itself. */
export type DataFrame = RowFrame | GapFrame | CaughtUpFrame | OkFrame | ErrorFrame

export interface ConnectionHost {
  /** Resolves when this tab may open a connection, with whether that took waiting. The token, and so its user, is known. */
  turn(): Promise<boolean>
  /** Runs it, at once or after the browser confirmed that this tab still leads. */
  guard(run: () => void): void
  lastEventId(): string
  /** Called for each `hello`: a transport that changes from an event stream to a WebSocket has two. */
  hello(frame: HelloFrame, transport: TransportName): void
  /** The service sent a heartbeat. */
  ping(): void
  frame(frame: DataFrame): void
  /** The connection was lost or an attempt failed. Another attempt follows: at once, or after the wait that `retry` names. */
  lost(retry?: RetryContext): void
  terminal(ctx: TerminalContext): void
  /** An attempt failed on this side; another follows. */
  error(what: 'TOKEN' | 'TRANSPORT', cause: unknown): void
  /** Gives the service a new token over this connection; resolves with when it expires, Unix milliseconds. */
  refresh(token: string): Promise<number | undefined>
}

export interface ConnectionParts {
  /** The service's http(s) address, without a slash at its end. */
  base: string
  platform: Platform
  tokens: Tokens
  open: OpenTransport
  /** For event streams. */
  fetch: FetchLike | undefined
  deviceId: string
}

/** Keeps one connection up: opens, watches, refreshes and reopens it until it is stopped or told to stop. */
export class Connection {
  readonly #platform: Platform
  readonly #parts: ConnectionParts
  readonly #host: ConnectionHost
  readonly #backoff: Backoff
  /** Grows with every attempt: what belongs to an earlier one is ignored. */
  #attempt = 0
  #transport: Transport | undefined
  #misses = 0
  #greeted = false
  #refused = false
  /** Tokens fetched when the last attempt began. */
  #fetches = 0
  /** The token of the last attempt was fetched for it. A token left from an earlier attempt may have been revoked since. */
  #fresh = false
  #askedMs: number | undefined
  readonly #heard: Stopwatch
  /** Silence of this length, in milliseconds, is the end of a connection. */
  silenceMs = OPEN_MS
  #retry: unknown
  #watchdog: unknown
  #stable: unknown
  #refresh: unknown

  constructor(parts: ConnectionParts, host: ConnectionHost) {
    this.#parts = parts
    this.#platform = parts.platform
    this.#host = host
    this.#backoff = new Backoff(parts.platform.random)
    this.#heard = new Stopwatch(parts.platform)
  }

  start(): void {
    this.#refused = false
    this.#backoff.reset()
    this.#open()
  }

  stop(): void {
    this.#end()
    this.#platform.clearTimeout(this.#retry)
    this.#retry = undefined
  }

  /** Ends the connection or the attempt under way, and starts another at once. */
  restart(): void {
    this.stop()
    this.#open()
  }

  /** Whether the frame went out: only after `hello`. */
  send(frame: ClientFrame): boolean {
    if (this.#greeted) this.#transport?.send(frame)
    return this.#greeted
  }

  /** Cuts a wait short, and replaces a connection that heard nothing for 3 s: called when the connection may have died unnoticed. */
  wake(): void {
    const silent = this.#transport !== undefined && this.#heard.elapsedMs > FRESH_MS
    if (!silent && this.#retry === undefined) return
    this.restart()
    if (silent) this.#host.lost()
  }

  /** There is a network, maybe another one: what the last one taught does not count. */
  online(): void {
    this.#misses = 0
    this.#backoff.reset()
    this.wake()
  }

  /** There is no network. */
  offline(): void {
    if (this.#transport) this.#lose(NO_PONG, 'offline')
  }

  /** Drops the connection and resumes on another. */
  resume(): void {
    this.#lose(OUT_OF_STEP, 'out of step')
  }

  async #open(): Promise<void> {
    this.#retry = undefined
    const attempt = ++this.#attempt
    const { platform, tokens, open, fetch } = this.#parts
    const current = () => attempt === this.#attempt
    const guard = (run: () => void) => this.#host.guard(() => current() && run())
    let failing: 'TOKEN' | 'TRANSPORT' = 'TOKEN'
    try {
      let token = await tokens.get()
      // The turn may come hours later: the token is looked at again then.
      if (current() && (await this.#host.turn())) token = await tokens.get()
      failing = 'TRANSPORT'
      if (current()) {
        this.#fresh = tokens.fetches > this.#fetches
        this.#fetches = tokens.fetches
      }
      let start = open
      if (this.#misses >= MISSES) {
        // Most networks never need it: it is loaded when one does.
        const { eventStreamTransport } = await deadline(platform, OPEN_MS, import('./sse.ts'), 'event streams did not load in 15 s')
        start = eventStreamTransport(fetch, platform, open)
      }
      if (!current()) return
      const to = { ...this.#parts, token, lastEventId: this.#host.lastEventId() }
      this.#transport = start(to, {
        frame: (frame) => guard(() => this.#receive(frame)),
        closed: (code, reason) => guard(() => this.#closed(code, reason))
      })
    } catch (cause) {
      if (current()) {
        this.#misses = 0
        this.#host.error(failing, cause)
        this.#wait(LOST, String(cause))
      }
      return
    }
    this.silenceMs = OPEN_MS
    this.#heard.restart()
    this.#watch()
  }

  #receive(frame: ServerFrame): void {
    this.#heard.restart()
    if (frame.type === 'hello') this.#hello(frame)
    else if (frame.type === 'ping') {
      this.send({ type: 'pong', time: frame.time })
      this.#host.ping()
    } else if (frame.type === 'bye') this.#askedMs = frame.reconnectInMs
    else this.#host.frame(frame)
  }

  #hello(frame: HelloFrame): void {
    const { name } = this.#transport as Transport
    this.#clearTimers()
    this.#greeted = true
    this.#refused = false
    if (name === 'websocket') this.#misses = 0
    this.silenceMs = frame.heartbeat.intervalMs * SILENT_HEARTBEATS
    this.#watch()
    this.#stable = this.#later(() => {
      this.#backoff.reset()
      // An event stream that was stable is followed by one attempt with a WebSocket.
      this.#misses &&= 1
    }, STABLE_MS)
    this.#refreshIn(frame.tokenExpiresAt, frame.serverTime)
    this.#host.hello(frame, name)
  }

  /** Looks again only when the silence could be long enough: frames cost no timer. A step of the wall clock is no silence. */
  #watch(): void {
    const leftMs = this.silenceMs - this.#heard.runMs
    if (leftMs <= 0) this.#lose(NO_PONG, 'silence')
    else this.#watchdog = this.#later(() => this.#watch(), leftMs)
  }

  /** Runs it later, unless the attempt is over by then. */
  #later(run: () => void, ms: number): unknown {
    const attempt = this.#attempt
    return this.#platform.setTimeout(() => this.#host.guard(() => attempt === this.#attempt && run()), ms)
  }

  /** @param now the service's clock */
  #refreshIn(expiresAt: number, now: number): void {
    const life = expiresAt - now
    if (!(life > 0)) return
    const wait = Math.max(life * REFRESH_AT, life - REFRESH_BEFORE_MS)
    const skew = now - this.#platform.monotonic()
    this.#refresh = this.#later(() => this.#renew(expiresAt, skew), Math.min(wait, TIMER_MAX_MS))
  }

  /**
   * Replaces the token in use. If `getToken` fails, asks again before the one in use expires.
   *
   * @param skew the service's clock minus the monotonic clock
   */
  async #renew(expiresAt: number, skew: number): Promise<void> {
    const attempt = this.#attempt
    const { tokens } = this.#parts
    let token = ''
    let end: number | undefined = expiresAt
    tokens.drop('refresh')
    try {
      token = await tokens.get()
      // It may be another user's: then this connection is no more.
      if (attempt !== this.#attempt) return
      end = await this.#host.refresh(token)
    } catch (cause) {
      if (attempt !== this.#attempt) return
      this.#host.error('TOKEN', cause)
      if (token) {
        tokens.drop('refresh')
        this.#lose(1000, 'token')
      }
    }
    if (attempt === this.#attempt && end) this.#refreshIn(end, this.#platform.monotonic() + skew)
  }

  #lose(code: number, reason: string): void {
    this.#attempt++
    this.#transport?.close(code, reason)
    this.#closed(code, reason)
  }

  #closed(code: number, reason: string): void {
    const asked = this.#askedMs
    if (!this.#greeted) this.#misses = this.#transport?.name === 'sse' ? 0 : this.#misses + 1
    this.#transport = undefined
    this.#end()
    const verdict = verdictOf(code)
    const unauthorized = code === UNAUTHORIZED
    const over = verdict === 'stop' && (!unauthorized || (this.#refused && this.#fresh))
    if (unauthorized) {
      this.#refused = true
      this.#misses = 0
      this.#parts.tokens.drop('unauthorized')
    }
    if (over) this.#host.terminal({ code, reason, verdict })
    // The service compares revocations by the second: a token of the same second could be refused again.
    else this.#wait(code, reason, reason === 'token_revoked' ? Math.max(asked ?? 0, 1000) : asked, verdict === 'now')
  }

  #wait(code: number, reason: string, askedMs?: number, now = false): void {
    const waitMs = this.#backoff.next(askedMs, now)
    this.#retry = this.#later(() => this.#open(), waitMs)
    this.#host.lost({ waitMs, code, reason })
  }

  /** Ends the attempt under way. */
  #end(): void {
    this.#attempt++
    this.#transport?.close(1000, '')
    this.#transport = undefined
    this.#greeted = false
    this.#askedMs = undefined
    this.#clearTimers()
  }

  #clearTimers(): void {
    for (const timer of [this.#watchdog, this.#stable, this.#refresh]) this.#platform.clearTimeout(timer)
  }
}
