/** A notification as every device gets it. `timestamp` is Unix milliseconds. */
export interface Notification {
  id: string
  type: string
  title: string
  timestamp: number
  ref?: string
  data?: Record<string, unknown>
}

/** The states of a notification, in the order in which a user moves through them. A `seen` notification still counts as unread. */
export const STATES = ['unread', 'seen', 'read', 'archived'] as const

export type State = (typeof STATES)[number]

/**
 * The reason of a gap.
 *
 * - `trimmed`: the rows were removed by retention
 * - `epoch`: the position is of an earlier log
 * - `ahead`: the position is above the newest row
 * - `fork`: the position holds another row now
 * - `lost`: the store lost its newest rows
 * - `unknown_id`: the position is not an event id
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
   * `fresh`: there was no position to resume from; `resumed`: all rows after `from` follow; `gap`: a `gap` frame follows.
   * `from` is the start of the cursor, `to` the newest event id ('' while the log is empty), `pending` the number of rows between them,
   * and `parked` the number of parked notifications.
   */
  resume: { status: 'fresh' | 'resumed' | 'gap'; from: string; to: string; pending: number; parked: number }
  unread: number
  tokenExpiresAt: number
  limits: { maxFrameBytes: number; maxUnacked: number }
}

/** A notification. `replay` marks a row that was read from the log; `state` is present in a replay if it is not `unread`. */
export interface NotificationFrame {
  type: 'notification'
  eventId: string
  replay?: true
  state?: State
  notification: Notification
}

/** A change of state: `ids` changed to `state`, on this device or another. `unread` is the count after the change. */
export interface StateFrame {
  type: 'state'
  eventId: string
  replay?: true
  ids: string[]
  state: State
  unread: number
}

/** The notification `id` is taken back. */
export interface RetractFrame {
  type: 'retract'
  eventId: string
  replay?: true
  id: string
  reason: string
  unread: number
}

/** The notifications `ids` lost their worth while they were parked: this row takes their place. */
export interface DigestFrame {
  type: 'digest'
  eventId: string
  replay?: true
  count: number
  ids: string[]
  unread: number
}

/** The end of the replay: the rows that follow are live and contiguous. `unread` is the count at this place. */
export interface CaughtUpFrame {
  type: 'caughtUp'
  eventId: string
  unread: number
}

/**
 * Rows that cannot be delivered. `from` and `to` are the first and the last position of the range: event ids whose tag may be missing.
 * `count` is the number of missing rows, 0 if it is not known.
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

/** The place that a write has reached: the disk, a replica, the operating system's buffers, or memory only. */
export type Durability = 'fsync' | 'replicated' | 'os' | 'none'

/** The frame with the same `ref` was carried out. `unread` follows a `mark`, `tokenExpiresAt` a `refresh`. */
export interface OkFrame {
  type: 'ok'
  ref?: number
  unread?: number
  /** Follows a `mark`. */
  durability?: Durability
  tokenExpiresAt?: number
}

/** The frame with the same `ref` was not carried out. `temporary`: a retry after `retryAfterMs` may succeed. */
export interface ErrorFrame {
  type: 'error'
  ref?: number
  code: string
  message: string
  temporary: boolean
  retryAfterMs?: number
}

/** The last frame before the server closes. If the code lets the client reconnect, it waits `reconnectInMs` first. */
export interface ByeFrame {
  type: 'bye'
  code: number
  reason: string
  reconnectInMs: number
}

/** The frames of rows. */
export type RowFrame = NotificationFrame | StateFrame | RetractFrame | DigestFrame

export type ServerFrame = HelloFrame | RowFrame | CaughtUpFrame | GapFrame | PingFrame | OkFrame | ErrorFrame | ByeFrame

/** The device received everything up to and including `eventId`. */
export interface AckFrame {
  type: 'ack'
  eventId: string
}

/**
 * Sets the state of `ids`, or of everything up to and including the event id `upTo`. `ageMs` is the time since the user made the mark, for marks
 * that are sent late or again: notifications that were marked later keep their state.
 */
export interface MarkFrame {
  type: 'mark'
  ref?: number
  ids?: string[]
  upTo?: string
  state: State
  ageMs?: number
}

/** A new token of the same user, sent before the old one expires. */
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
