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
import { type Platform, TIMER_MAX_MS } from './platform.ts'
import { Stopwatch } from './stopwatch.ts'
import type { Tokens } from './token.ts'
import type { OpenTransport, Transport } from './transport.ts'
import type { FetchLike, RetryContext, TerminalContext, TransportName } from './types.ts'

// Importing the table of codes would cost half a kilobyte. The types keep these equal to it.
const UNAUTHORIZED: (typeof closeCodes.unauthorized)['code'] = 4001
const NO_PONG: (typeof closeCodes.noPong)['code'] = 4201
const OUT_OF_STEP: (typeof closeCodes.outOfStep)['code'] = 4203
/** The code a browser gives a connection that ended without a close frame (RFC 6455 §7.4.1). */
const LOST = 1006

/** The longest time from the start of an attempt to its `hello`. */
const OPEN_MS = 15_000
/** After this time a connection counts as stable, and the back-off starts over. */
const STABLE_MS = 10_000
/** A connection that is silent for this many heartbeats is dead. */
const SILENT_HEARTBEATS = 1.6
/** The token is refreshed at this part of its life, or `REFRESH_BEFORE_MS` before its end if that is later. */
const REFRESH_AT = 0.8
const REFRESH_BEFORE_MS = 30_000
/** After this many WebSockets in a row without a `hello`, the SDK tries an event stream. */
const MAX_FAILED_WEBSOCKETS = 2
/** After a change of the network or of the page, a connection that was silent for longer is replaced. */
const MAX_SILENCE_ON_WAKE_MS = 3000

/** Frames that the connection passes on. */
export type DataFrame = RowFrame | GapFrame | CaughtUpFrame | OkFrame | ErrorFrame

interface ConnectionHost {
  /** The service's http(s) address, without a slash at its end. */
  base: string
  deviceId: string
  platform: Platform
  tokens: Tokens
  open: OpenTransport
  /** Used by event streams. */
  fetch: FetchLike | undefined
  /** Resolves when this tab may open a connection, with true if that took waiting. Called when the token, and so the user, is known. */
  waitForLead(): Promise<boolean>
  /** Calls `run`: at once, or after the browser confirmed that this tab still leads. */
  guard(run: () => void): void
  lastEventId(): string
  /**
   * Called for each `hello`. A transport that changes from an event stream to a WebSocket has two.
   *
   * @param maxAgeMs the service made the frame at most this long ago: the time since the connection was requested
   */
  hello(frame: HelloFrame, transport: TransportName, maxAgeMs: number): void
  /** The service sent a heartbeat. */
  ping(): void
  frame(frame: DataFrame): void
  /** The connection was lost or an attempt failed. Another attempt follows: at once, or after the wait that `retry` names. */
  lost(retry?: RetryContext): void
  terminal(ctx: TerminalContext): void
  /** An attempt failed on this side; another follows. */
  error(what: 'TOKEN' | 'TRANSPORT', cause: unknown): void
  /** Sends a new token over the connection. Resolves with the time at which it expires, Unix milliseconds. */
  refresh(token: string): Promise<number | undefined>
}

/** Keeps one connection up: opens it, watches it, refreshes its token and reopens it, until `stop()` or a close code that forbids another. */
export class Connection {
  readonly #platform: Platform
  readonly #host: ConnectionHost
  readonly #backoff: Backoff
  /** The number of the attempt. Callbacks of earlier attempts are ignored. */
  #attempt = 0
  #transport: Transport | undefined
  #failedWebSockets = 0
  /** The connection has its `hello`. */
  #isOpen = false
  /** The service refused the last token. */
  #wasRefused = false
  /** `Tokens.fetches` when the last attempt began. */
  #fetches = 0
  /** The token of the last attempt was fetched for it. A token that is older may have been revoked since. */
  #tokenIsFresh = false
  /** The wait that the service asked for, by `bye`. */
  #askedMs: number | undefined
  readonly #sinceFrame: Stopwatch
  /** A connection that is silent for this long is dead, milliseconds. */
  silenceMs = OPEN_MS
  /** There is no attempt; the next one begins after a wait. */
  #isWaiting = false
  /** The timers of the attempt, or of the wait. */
  readonly #timers = new Set<unknown>()

  constructor(host: ConnectionHost) {
    this.#platform = host.platform
    this.#host = host
    this.#backoff = new Backoff(host.platform.random)
    this.#sinceFrame = new Stopwatch(host.platform)
  }

  start(): void {
    this.#wasRefused = false
    this.#backoff.reset()
    this.#open()
  }

  stop(): void {
    this.#end()
    this.#isWaiting = false
  }

  /** Ends the connection or the attempt under way, and starts another at once. */
  restart(): void {
    this.stop()
    this.#open()
    this.#host.lost()
  }

  /** Sends a frame. Returns false before `hello` and without a connection. */
  send(frame: ClientFrame): boolean {
    if (this.#isOpen) this.#transport?.send(frame)
    return this.#isOpen
  }

  /** Called when the connection may have died unnoticed: ends a wait, and replaces a connection that was silent for 3 s. */
  wake(): void {
    if (this.#isWaiting || (this.#transport && this.#sinceFrame.elapsedMs > MAX_SILENCE_ON_WAKE_MS)) this.restart()
  }

  /** There is a network, maybe another one: forgets the failures of the last one. */
  online(): void {
    this.#failedWebSockets = 0
    this.#backoff.reset()
    this.wake()
  }

  /** There is no network. */
  offline(): void {
    if (this.#transport) this.#lose(NO_PONG, 'offline')
  }

  /** Drops the connection and resumes over another. */
  resume(): void {
    this.#lose(OUT_OF_STEP, 'out of step')
  }

  async #open(): Promise<void> {
    this.#isWaiting = false
    const attempt = ++this.#attempt
    const { platform, tokens, open, fetch } = this.#host
    const current = () => attempt === this.#attempt
    const guard = (run: () => void) => this.#host.guard(() => current() && run())
    let failing: 'TOKEN' | 'TRANSPORT' = 'TOKEN'
    try {
      let token = await tokens.get()
      // Another tab may have led for hours: the token may have expired.
      if (current() && (await this.#host.waitForLead())) token = await tokens.get()
      failing = 'TRANSPORT'
      if (current()) {
        this.#tokenIsFresh = tokens.fetches > this.#fetches
        this.#fetches = tokens.fetches
      }
      let start = open
      if (this.#failedWebSockets >= MAX_FAILED_WEBSOCKETS) {
        // Most networks never need event streams: the module is loaded only then.
        const { eventStreamTransport } = await deadline(platform, OPEN_MS, import('./sse.ts'), 'sse.js')
        start = eventStreamTransport(fetch, platform, open)
      }
      if (!current()) return
      const to = { ...this.#host, token, lastEventId: this.#host.lastEventId() }
      this.#transport = start(to, {
        frame: (frame) => guard(() => this.#receive(frame)),
        closed: (code, reason) => guard(() => this.#closed(code, reason))
      })
    } catch (cause) {
      if (current()) {
        this.#failedWebSockets = 0
        this.#host.error(failing, cause)
        this.#wait(LOST, String(cause))
      }
      return
    }
    this.silenceMs = OPEN_MS
    this.#sinceFrame.restart()
    this.#watch()
  }

  #receive(frame: ServerFrame): void {
    const { elapsedMs } = this.#sinceFrame
    this.#sinceFrame.restart()
    if (frame.type === 'hello') this.#hello(frame, elapsedMs)
    else if (frame.type === 'ping') {
      this.send({ type: 'pong', time: frame.time })
      this.#host.ping()
    } else if (frame.type === 'bye') this.#askedMs = frame.reconnectInMs
    else this.#host.frame(frame)
  }

  #hello(frame: HelloFrame, maxAgeMs: number): void {
    const { name } = this.#transport as Transport
    this.#clearTimers()
    this.#isOpen = true
    this.#wasRefused = false
    if (name === 'websocket') this.#failedWebSockets = 0
    this.silenceMs = frame.heartbeat.intervalMs * SILENT_HEARTBEATS
    this.#watch()
    this.#later(() => {
      this.#backoff.reset()
      // After an event stream that was stable, the next attempt is a WebSocket.
      this.#failedWebSockets &&= 1
    }, STABLE_MS)
    this.#refreshIn(frame.tokenExpiresAt, frame.serverTime)
    this.#host.hello(frame, name, maxAgeMs)
  }

  /** Ends a silent connection. The timer is set for the earliest end, not at each frame. A step of the wall clock is not silence. */
  #watch(): void {
    const leftMs = this.silenceMs - this.#sinceFrame.runMs
    if (leftMs <= 0) this.#lose(NO_PONG, 'silence')
    else this.#later(() => this.#watch(), leftMs)
  }

  /** Calls `run` after `ms`, unless the attempt has ended by then. */
  #later(run: () => void, ms: number): void {
    const attempt = this.#attempt
    const timer = this.#platform.setTimeout(() => {
      this.#timers.delete(timer)
      this.#host.guard(() => attempt === this.#attempt && run())
    }, ms)
    this.#timers.add(timer)
  }

  /** @param now the service's clock */
  #refreshIn(expiresAt: number, now: number): void {
    const lifeMs = expiresAt - now
    // Not a number if the service names no end.
    const hasEnd = lifeMs > 0
    if (!hasEnd) return
    const wait = Math.max(lifeMs * REFRESH_AT, lifeMs - REFRESH_BEFORE_MS)
    const skew = now - this.#platform.monotonic()
    this.#later(() => this.#renew(expiresAt, skew), Math.min(wait, TIMER_MAX_MS))
  }

  /**
   * Replaces the token in use. If `getToken` fails, tries again before the token in use expires.
   *
   * @param skew the service's clock minus the monotonic clock
   */
  async #renew(expiresAt: number, skew: number): Promise<void> {
    const attempt = this.#attempt
    const { tokens } = this.#host
    let token = ''
    let end: number | undefined = expiresAt
    tokens.drop('refresh')
    try {
      token = await tokens.get()
      // The token of another user has ended this connection.
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
    if (!this.#isOpen) this.#failedWebSockets = this.#transport?.name === 'sse' ? 0 : this.#failedWebSockets + 1
    this.#transport = undefined
    this.#end()
    const verdict = verdictOf(code)
    const unauthorized = code === UNAUTHORIZED
    const over = verdict === 'stop' && (!unauthorized || (this.#wasRefused && this.#tokenIsFresh))
    if (unauthorized) {
      this.#wasRefused = true
      this.#failedWebSockets = 0
      this.#host.tokens.drop('unauthorized')
    }
    if (over) this.#host.terminal({ code, reason, verdict })
    // The service compares revocations by the second: a token of the same second would be refused again.
    else this.#wait(code, reason, reason === 'token_revoked' ? Math.max(asked ?? 0, 1000) : asked, verdict === 'now')
  }

  #wait(code: number, reason: string, askedMs?: number, now = false): void {
    const waitMs = this.#backoff.next(askedMs, now)
    this.#isWaiting = true
    this.#later(() => this.#open(), waitMs)
    this.#host.lost({ waitMs, code, reason })
  }

  /** Ends the attempt under way. */
  #end(): void {
    this.#attempt++
    this.#transport?.close(1000, '')
    this.#transport = undefined
    this.#isOpen = false
    this.#askedMs = undefined
    this.#clearTimers()
  }

  #clearTimers(): void {
    for (const timer of this.#timers) this.#platform.clearTimeout(timer)
    this.#timers.clear()
  }
}
