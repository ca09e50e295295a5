import type { Answer, GapReason, Notification, State, Verdict } from '../../../services/protocol/index.ts'

/** `connecting` covers the first attempt and every later one; `disconnected` is final until `connect()`. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected'

/** The argument of `getToken`. `unauthorized`: the service refused the last token, so do not return a cached one. */
export interface TokenContext {
  reason: 'connect' | 'refresh' | 'unauthorized'
}

/** The part of a WebSocket that the SDK uses. Browsers and the package `ws` have it. */
export interface WebSocketLike {
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
  addEventListener(type: 'error', listener: () => void): void
  send(data: string): void
  close(code?: number, reason?: string): void
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike

/** The part of a `Response` that the SDK uses. */
export interface FetchReply {
  ok: boolean
  status: number
  headers: { get(name: string): string | null }
  json(): Promise<unknown>
  body: { getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<unknown> } } | null
}

/** The part of `fetch` that the SDK uses: for an `Inbox`, and for event streams where WebSockets do not open. */
export type FetchLike = (
  url: string,
  init: { method?: 'POST' | 'PUT' | 'DELETE'; headers: Record<string, string>; body?: string; cache?: 'no-store' }
) => Promise<FetchReply>

/** The transport of the frames: `sse` (server-sent events) in networks that break WebSockets. */
export type TransportName = 'websocket' | 'sse'

/** The part of Web Storage that the SDK uses. A storage may throw: its values are not kept then. */
export interface ClientStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  /** Used by `forget()`. If it is missing, values are set to ''. */
  removeItem?(key: string): void
}

export interface BelfryOptions {
  /** Returns a JWT whose `sub` is the user. Called if there is no token, before the token expires, and once after it was refused. */
  getToken: (ctx: TokenContext) => string | Promise<string>
  /** The name under which the service keeps this device's cursor. It must survive restarts. Default: a random id, kept in `storage`. */
  deviceId?: string
  /** Default: the global one. On Node below 22 pass that of the package `ws`. */
  WebSocket?: WebSocketConstructor
  /** Keeps the position in the log, the position of the last toast, and the shown ids. Default: `localStorage`, or memory if there is none. */
  storage?: ClientStorage
  /** Default: the global one. */
  fetch?: FetchLike
  /**
   * True: the tabs of one origin, user and url share one connection, which an elected leader holds. Default: true in pages, false
   * elsewhere. Without Web Locks or channels every tab has its own connection.
   */
  leader?: boolean
}

/** The counts of the user's inbox. */
export interface Counts {
  /** The number of notifications that are unread or seen. */
  unread: number
  /** The number of notifications that are unread: never marked as seen, read or archived. */
  unseen: number
}

interface RowContext {
  eventId: string
  /** The row was in the log before this device connected. */
  replay: boolean
  /** True if this tab holds the connection. */
  leader: boolean
}

/** A notification as the service sent it. `state` is not `unread` if another device marked it before this one received it. */
export interface Arrival extends RowContext {
  notification: Notification
  state: State
  /** The first answer, if there was one before this device received the notification. */
  answered?: Answer
}

export interface NotificationContext extends Arrival {
  /** Answers the notification by one of its actions, as `Belfry.answer()` does. Not enumerable: copies of the context are without it. */
  answer(action: string): Promise<Answer>
}

/** One toast. More than three at once are one toast: that of the newest, with the `count` and `ids` of all, oldest first. */
export interface ToastContext extends NotificationContext {
  /** Its `collapseKey`, or else its id. A toast replaces the one with the same tag. */
  tag: string
  count?: number
  ids?: string[]
}

/** The user changed. `user` is '' after `forget()`. */
export interface UserContext {
  user: string
  previous: string
}

/** `ids` changed to `state`, here or on another device. The counts are those after the change. */
export interface MarkedContext extends RowContext, Counts {
  ids: string[]
  state: State
}

/**
 * The service took back a notification that may have been shown, or it expired (`reason` is `expired`). If this device noticed the expiry
 * by itself, also without a connection, `eventId` is ''.
 */
export interface RetractContext extends RowContext, Counts {
  id: string
  reason: string
  /** Its key: older notifications of the key are taken back, too. */
  collapseKey?: string
}

/** The notifications `ids` became outdated while they were parked. This row replaces them. */
export interface DigestContext extends RowContext, Counts {
  count: number
  ids: string[]
}

/** The notification `id` was answered, here or on another device, and is read now. */
export interface AnsweredContext extends RowContext, Counts {
  id: string
  action: string
  /** Unix milliseconds. */
  answeredAt: number
  deviceId: string
}

/** Rows that can no longer be delivered. `count` is 0 if it is not known. */
export interface GapContext {
  reason: GapReason
  from: string
  to: string
  count: number
  leader: boolean
}

/**
 * `unsupported`: this browser has no Web Push, or the page is not served by https. `denied`: the user refused the permission, and only they can
 * give it, in the settings of the browser. `on`: this browser shows notifications of this user when no tab is open.
 */
export type PushState = 'unsupported' | 'denied' | 'off' | 'on'

/** The part of a `ServiceWorkerRegistration` that the SDK uses. */
export interface PushRegistration {
  readonly scope: string
  readonly active: unknown
  readonly pushManager: {
    getSubscription(): Promise<BrowserSubscription | null>
    subscribe(options: { userVisibleOnly: true; applicationServerKey: string }): Promise<BrowserSubscription>
  }
  getNotifications(): Promise<{ tag: string; data: unknown; close(): void }[]>
}

export interface BrowserSubscription {
  readonly endpoint: string
  readonly options: { readonly applicationServerKey: ArrayBuffer | null }
  toJSON(): unknown
  unsubscribe(): Promise<boolean>
}

export interface PushOptions {
  /**
   * The app's service worker, which loads `@belfry/client/sw`: its registration, or the address of its script. An address is registered as a
   * classic worker.
   */
  serviceWorker: PushRegistration | string
}

/** A click on a notification that the service worker showed. */
export interface PushClickContext {
  id: string
  eventId: string
  /** An http(s) address: the notification's `ref`, or the start page of the app. */
  url: string
  /** Stops the SDK from opening `url`: the app does it. */
  preventDefault(): void
}

export interface ErrorContext {
  /** A code of the service, or `BELFRY_CLIENT_…`: TOKEN, HANDLER, TRANSPORT. */
  code: string
  message: string
  /** The same call may work later; the SDK itself continues after every error. */
  temporary: boolean
  retryAfterMs?: number
  /** The error that was thrown, if there was one. */
  cause?: unknown
}

/** The next attempt to connect, and why the last one or the connection ended: its close code, 1006 without one, and the reason. */
export interface RetryContext {
  waitMs: number
  code: number
  reason: string
}

/** The permanent end of the connection: the close code, its reason (such as `token_revoked`) and the verdict of the code. */
export interface TerminalContext {
  code: number
  reason: string
  verdict: Verdict
}

/** The events, each with its context. */
export interface BelfryEvents {
  /** The state of the connection changed. */
  state: { state: ConnectionState; leader: boolean }
  /** The connection ended, or an attempt failed, and this tab tries again after `waitMs`. Fires only in the tab that holds the connection. */
  retry: RetryContext
  /** This tab connected over another transport than before. After two WebSockets in a row that did not open, the SDK tries `sse`. */
  transport: { transport: TransportName }
  /** The token is of another user: stop showing data of `previous`. Counts are 0, and no event of `user` has fired yet. */
  user: UserContext
  /**
   * A notification that this device has not shown before. It takes the place of the one that `replaces` names and of any other with its
   * `collapseKey`, for which no `retract` fires. If a notification expired here, and it turns out that it was answered in time, it comes
   * again, with `answered`.
   */
  notification: NotificationContext
  /**
   * Raise one desktop notification. Fires for unread notifications of normal or high urgency, in one tab of the browser: a visible one if
   * there is one. More than three that were missed are one toast, with a `count`.
   */
  toast: ToastContext
  retract: RetractContext
  digest: DigestContext
  answered: AnsweredContext
  marked: MarkedContext
  /** A count changed. */
  unread: Counts
  gap: GapContext
  /** The replay is over. The following rows are live. */
  caughtUp: { eventId: string; leader: boolean }
  /** Push was switched on or off, here or in another tab, or the user changed the permission in the settings of the browser. */
  push: { push: PushState }
  /** The user clicked a pushed notification, and the browser chose this tab. The tab goes to `url` unless `preventDefault()` is called. */
  pushClick: PushClickContext
  error: ErrorContext
  /** The SDK has disconnected and fires nothing more until `connect()` is called. */
  terminal: TerminalContext
}

export type EventName = keyof BelfryEvents

/** If a handler returns a promise, the next event waits until the promise settles, and only then the position in the log moves. */
export type Handler<E extends EventName> = (ctx: BelfryEvents[E]) => unknown

/** One id, several ids, or everything up to and including an event id. */
export type MarkTarget = string | string[] | { upTo: string }

export interface MarkOptions {
  /** With `upTo`: only notifications in this state change. */
  only?: State | undefined
}

/** The answer of the service to a mark. Fields that the service did not name are missing. */
export interface MarkResult extends Partial<Counts> {
  /** The notifications whose state changed. The service names them if `only` was given. */
  ids?: string[]
}
