/** A notification as every device gets it. Times are Unix milliseconds. */
export interface Notification {
  id: string
  type: string
  title: string
  timestamp: number
  ref?: string
  /** At this time the notification is retracted with the reason `expired`, unless it was answered. */
  expiresAt?: number
  /** At most one notification of a key is shown: this one replaces the others. */
  collapseKey?: string
  /** The id of the notification that this one replaced in the log. */
  replaces?: string
  /** Default `normal`. `very-low` and `low` raise no toast. */
  urgency?: Urgency
  /** One to three buttons; the first answer of any device wins. */
  actions?: Action[]
  data?: Record<string, unknown>
}

/** The urgency of a notification (RFC 8030 §5.3). */
export type Urgency = 'very-low' | 'low' | 'normal' | 'high'

/** A button of a notification: `action` is its name, `title` its label, `url` an address or a path to open when it is chosen. */
export interface Action {
  action: string
  title: string
  url?: string
}

/** The first answer to a notification: the action, when the store took it (Unix milliseconds), and the device. */
export interface Answer {
  action: string
  answeredAt: number
  deviceId: string
}

/**
 * The states of a notification, in the order in which a user moves through them. A `seen` notification still counts as unread. In every frame and
 * answer, `unread` counts those that are unread or seen, and `unseen` those that are unread. Services of earlier versions send no `unseen`.
 */
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
  unseen?: number
  tokenExpiresAt: number
  limits: { maxFrameBytes: number; maxUnacked: number }
}

/** A notification. `replay` marks a row that was read from the log; `state` is present in a replay if it is not `unread`, `answer` if there is one. */
export interface NotificationFrame {
  type: 'notification'
  eventId: string
  replay?: true
  state?: State
  answer?: Answer
  notification: Notification
}

/** A change of state: `ids` changed to `state`, on this device or another. `unread` and `unseen` are the counts after the change. */
export interface StateFrame {
  type: 'state'
  eventId: string
  replay?: true
  ids: string[]
  state: State
  unread: number
  unseen?: number
}

/** The notification `id` is taken back: it was recalled, or it expired. With a `collapseKey`, so are the older notifications of the key. */
export interface RetractFrame {
  type: 'retract'
  eventId: string
  replay?: true
  id: string
  reason: string
  unread: number
  unseen?: number
  collapseKey?: string
}

/** A notification was answered, here or on another device. It is `read` now. */
export interface AnsweredFrame extends Answer {
  type: 'answered'
  eventId: string
  replay?: true
  id: string
  unread: number
  unseen?: number
}

/** The notifications `ids` lost their worth while they were parked: this row takes their place. */
export interface DigestFrame {
  type: 'digest'
  eventId: string
  replay?: true
  count: number
  ids: string[]
  unread: number
  unseen?: number
}

/** The end of the replay: the rows that follow are live and contiguous. `unread` and `unseen` are the counts at this place. */
export interface CaughtUpFrame {
  type: 'caughtUp'
  eventId: string
  unread: number
  unseen?: number
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

/**
 * The frame with the same `ref` was carried out. `unread` and `unseen` follow a `mark`, `tokenExpiresAt` a `refresh`, `id` and an answer an
 * `answer`.
 */
export interface OkFrame extends Partial<Answer> {
  type: 'ok'
  ref?: number
  unread?: number
  unseen?: number
  /** Follows a `mark` with `only`: the notifications whose state changed. */
  ids?: string[]
  /** Follows a `mark` and an `answer`. */
  durability?: Durability
  tokenExpiresAt?: number
  id?: string
}

/** The frame with the same `ref` was not carried out. `temporary`: a retry after `retryAfterMs` may succeed. */
export interface ErrorFrame {
  type: 'error'
  ref?: number
  code: string
  message: string
  temporary: boolean
  retryAfterMs?: number
  /** The first answer, with `BELFRY_ERR_ALREADY_ANSWERED`. */
  answer?: Answer
}

/** The last frame before the server closes. If the code lets the client reconnect, it waits `reconnectInMs` first. */
export interface ByeFrame {
  type: 'bye'
  code: number
  reason: string
  reconnectInMs: number
}

/** The frames of rows. */
export type RowFrame = NotificationFrame | StateFrame | RetractFrame | DigestFrame | AnsweredFrame

export type ServerFrame = HelloFrame | RowFrame | CaughtUpFrame | GapFrame | PingFrame | OkFrame | ErrorFrame | ByeFrame

/** The device received everything up to and including `eventId`. */
export interface AckFrame {
  type: 'ack'
  eventId: string
}

/**
 * Sets the state of `ids`, or of everything up to and including the event id `upTo`. `ageMs` is the time since the user made the mark, for marks
 * that are sent late or again: notifications that were marked later keep their state. `only` marks those alone that have this state.
 */
export interface MarkFrame {
  type: 'mark'
  ref?: number
  ids?: string[]
  upTo?: string
  state: State
  only?: State
  ageMs?: number
}

/** Answers a notification by one of its actions. The `ok` frame carries the answer; a later answer gets an `error` with the first one. */
export interface AnswerFrame {
  type: 'answer'
  ref?: number
  id: string
  action: string
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

export type ClientFrame = AckFrame | MarkFrame | AnswerFrame | RefreshFrame | PongFrame
