/** What a publisher sent, as every device gets it. `timestamp` is Unix milliseconds. */
export interface Notification {
  id: string
  type: string
  title: string
  timestamp: number
  ref?: string
  data?: Record<string, unknown>
}

/** The states of a notification, in the order in which a user moves through them. `seen` is not `read`: it still counts as unread. */
export const STATES = ['unread', 'seen', 'read', 'archived'] as const

export type State = (typeof STATES)[number]

/**
 * Why rows are missing.
 * `trimmed` by retention; `epoch`: the log was started afresh; `ahead`: the position is past the log;
 * `fork`: the position holds another row now; `lost`: the store lost its tail; `unknown_id`: not an event id.
 */
export type GapReason = 'trimmed' | 'epoch' | 'ahead' | 'fork' | 'lost' | 'unknown_id'

/** The first frame of a connection. Times are Unix milliseconds; `tokenExpiresAt` is that of the token in use. */
export interface HelloFrame {
  type: 'hello'
  connectionId: string
  deviceId: string
  user: string
  node: string
  serverTime: number
  heartbeat: { intervalMs: number; timeoutMs: number }
  /**
   * `fresh`: no position was given; `resumed`: all after `from` follows; `gap`: a `gap` frame follows.
   * `from` is where the cursor starts, `to` the newest event id ('' while the log is empty), `pending` the rows between,
   * `parked` how many wait for their release.
   */
  resume: { status: 'fresh' | 'resumed' | 'gap'; from: string; to: string; pending: number; parked: number }
  unread: number
  tokenExpiresAt: number
  limits: { maxFrameBytes: number; maxUnacked: number }
}

/** `replay` marks what was read from the log; `state` is there in a replay when it is not `unread`. */
export interface NotificationFrame {
  type: 'notification'
  eventId: string
  replay?: true
  state?: State
  notification: Notification
}

/** `ids` changed to `state`, here or on another device; `unread` is the count after it. */
export interface StateFrame {
  type: 'state'
  eventId: string
  replay?: true
  ids: string[]
  state: State
  unread: number
}

/** A notification that was shown is taken back. */
export interface RetractFrame {
  type: 'retract'
  eventId: string
  replay?: true
  id: string
  reason: string
  unread: number
}

/** `ids` lost their worth while they were parked; this row takes their place. */
export interface DigestFrame {
  type: 'digest'
  eventId: string
  replay?: true
  count: number
  ids: string[]
  unread: number
}

/** The replay is over: what follows is live and contiguous. `unread` is the count at this place. */
export interface CaughtUpFrame {
  type: 'caughtUp'
  eventId: string
  unread: number
}

/**
 * Rows that cannot be delivered. `from` and `to` are the first and the last position of the range, event ids whose last part
 * may be missing; `count` is how many are known to be gone, 0 when that cannot be known.
 */
export interface GapFrame {
  type: 'gap'
  reason: GapReason
  from: string
  to: string
  count: number
}

export interface PingFrame {
  type: 'ping'
  time: number
}

/** How far a write is safe: on disk, on a replica, in the operating system's hands, or in memory only. */
export type Durability = 'fsync' | 'replicated' | 'os' | 'none'

/** The frame with the same `ref` was carried out. `unread` follows a `mark`, `tokenExpiresAt` a `refresh`. */
export interface OkFrame {
  type: 'ok'
  ref?: number
  unread?: number
  /** How safe a mark is: `fsync`, `replicated`, `os` or `none`. */
  durability?: Durability
  tokenExpiresAt?: number
}

/** The frame with the same `ref` was not carried out. `temporary`: the same frame may work later, after `retryAfterMs`. */
export interface ErrorFrame {
  type: 'error'
  ref?: number
  code: string
  message: string
  temporary: boolean
  retryAfterMs?: number
}

/** The server closes next; the client waits `reconnectInMs` before it comes back, when the code lets it. */
export interface ByeFrame {
  type: 'bye'
  code: number
  reason: string
  reconnectInMs: number
}

/** Frames that are rows of the log: they carry an event id. */
export type RowFrame = NotificationFrame | StateFrame | RetractFrame | DigestFrame

export type ServerFrame = HelloFrame | RowFrame | CaughtUpFrame | GapFrame | PingFrame | OkFrame | ErrorFrame | ByeFrame

/** Everything up to and with `eventId` was received by the device. */
export interface AckFrame {
  type: 'ack'
  eventId: string
}

/**
 * Sets the state of `ids`, or of everything up to and with the event id `upTo`. `ageMs`: the user made the mark so many milliseconds ago,
 * and what was marked later stays; for marks that are sent late, or again.
 */
export interface MarkFrame {
  type: 'mark'
  ref?: number
  ids?: string[]
  upTo?: string
  state: State
  ageMs?: number
}

/** A new token for the same user, before the old one expires. */
export interface RefreshFrame {
  type: 'refresh'
  ref?: number
  token: string
}

export interface PongFrame {
  type: 'pong'
  time?: number
}

export type ClientFrame = AckFrame | MarkFrame | RefreshFrame | PongFrame
