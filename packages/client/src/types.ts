import type { GapReason, Notification, State, Verdict } from '../../../services/protocol/index.ts'

/** `connecting` covers the first attempt and every later one; `disconnected` is final until `connect()`. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected'

/** Why a token is asked for. After `unauthorized` the token given before was refused: a cached one will not do. */
export interface TokenContext {
  reason: 'connect' | 'refresh' | 'unauthorized'
}

/** The part of a WebSocket the SDK uses: the browser's and that of `ws` both have it. */
export interface WebSocketLike {
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
  addEventListener(type: 'error', listener: () => void): void
  send(data: string): void
  close(code?: number, reason?: string): void
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike

/** The part of a `Response` the SDK uses. */
export interface FetchReply {
  ok: boolean
  status: number
  headers: { get(name: string): string | null }
  json(): Promise<unknown>
  body: { getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<unknown> } } | null
}

/** The part of `fetch` the SDK uses: for an `Inbox`, and where WebSockets do not come about. */
export type FetchLike = (
  url: string,
  init: { method?: 'POST'; headers: Record<string, string>; body?: string; cache?: 'no-store' }
) => Promise<FetchReply>

/** What carries the frames: server-sent events in networks that break WebSockets. */
export type TransportName = 'websocket' | 'sse'

/** The part of Web Storage the SDK uses. What throws is treated as not kept. */
export interface ClientStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  /** Used by `forget()`; without it values become ''. */
  removeItem?(key: string): void
}

export interface BelfryOptions {
  /** Gives a JWT whose `sub` is the user. Called when none is at hand, before it expires, and once after it was refused. */
  getToken: (ctx: TokenContext) => string | Promise<string>
  /** Keeps the cursor on the service, stable over restarts. Default: a random one, kept in `storage`. */
  deviceId?: string
  /** Default: the global one. Pass that of `ws` on Node below 22. */
  WebSocket?: WebSocketConstructor
  /** Keeps the place in the log, up to where toasts were raised, and the ids shown. Default: `localStorage`, or memory where there is none. */
  storage?: ClientStorage
  /** Default: the global one. */
  fetch?: FetchLike
  /**
   * Whether tabs of one origin, user and url share one connection, held by an elected leader.
   * Default: true in pages, false elsewhere. Where Web Locks or channels are missing every tab has its own.
   */
  leader?: boolean
}

interface RowContext {
  eventId: string
  /** It was waiting when the connection came up, rather than published now. */
  replay: boolean
  /** Whether this tab holds the connection. */
  leader: boolean
}

/** `state` is not `unread` when another device marked it before this one saw it. */
export interface NotificationContext extends RowContext {
  notification: Notification
  state: State
}

/** One toast. For more than three at once it is the newest, with how many it stands for and their ids, oldest first. */
export interface ToastContext extends NotificationContext {
  count?: number
  ids?: string[]
}

/** The token is of another user than before; '' for nobody. */
export interface UserContext {
  user: string
  previous: string
}

/** `ids` changed to `state`, here or on another device; `unread` is the count after it. */
export interface MarkedContext extends RowContext {
  ids: string[]
  state: State
  unread: number
}

/** A notification that was shown is taken back. */
export interface RetractContext extends RowContext {
  id: string
  reason: string
  unread: number
}

/** `ids` lost their worth while they waited for their turn; this takes their place. */
export interface DigestContext extends RowContext {
  count: number
  ids: string[]
  unread: number
}

/** Rows that cannot be delivered any more; `count` is 0 when it cannot be known. */
export interface GapContext {
  reason: GapReason
  from: string
  to: string
  count: number
  leader: boolean
}

export interface ErrorContext {
  /** A code of the service, or `BELFRY_CLIENT_…`: TOKEN, HANDLER, TRANSPORT. */
  code: string
  message: string
  /** The SDK goes on by itself. */
  temporary: boolean
  retryAfterMs?: number
  /** What was thrown, where something was. */
  cause?: unknown
}

/** The next attempt to connect, and why the last one or the connection ended: its close code, 1006 without one, and the reason. */
export interface RetryContext {
  waitMs: number
  code: number
  reason: string
}

/** Why the SDK gave up: the close code, its reason (such as `token_revoked`) and the code's verdict. */
export interface TerminalContext {
  code: number
  reason: string
  verdict: Verdict
}

/** Every event with its context. */
export interface BelfryEvents {
  /** The state of the connection changed. */
  state: { state: ConnectionState; leader: boolean }
  /** The connection ended, or an attempt failed, and this tab tries again after `waitMs`. Fires only in the tab that holds the connection. */
  retry: RetryContext
  /** This tab connected by another transport than before. Two WebSockets in a row that did not open make it fall back to `sse`. */
  transport: { transport: TransportName }
  /** Another user takes the place of the one before: show nothing of `previous` any more. Counts are at 0, and nothing of `user` has come. */
  user: UserContext
  /** A notification this device has not shown before. */
  notification: NotificationContext
  /**
   * Raise one desktop notification: fires in one tab of the browser only, a visible one if any, for unread ones only.
   * More than three that were missed are one, with a `count`.
   */
  toast: ToastContext
  retract: RetractContext
  digest: DigestContext
  marked: MarkedContext
  /** The count of notifications unread or seen changed. */
  unread: { unread: number }
  gap: GapContext
  /** All that was waiting has been handed over: what follows is live. */
  caughtUp: { eventId: string; leader: boolean }
  error: ErrorContext
  /** Nothing more will come until `connect()` is called again. */
  terminal: TerminalContext
}

export type EventName = keyof BelfryEvents

/** When a handler returns a promise, the place in the log moves only after it settles, and the next event waits for it. */
export type Handler<E extends EventName> = (ctx: BelfryEvents[E]) => unknown

/** Ids, one or several, or everything up to and with an event id. */
export type MarkTarget = string | string[] | { upTo: string }
