import type { Action, Answer, Notification as DeliveredNotification, State, Urgency } from '../../../services/protocol/index.ts'

/** The recipients of a notification: one user, a list of up to 1,000 users, or an audience. */
export type To = string | readonly string[] | Audience

/** All members of a topic, or all users that the store knows, but those in `except`. */
export type Audience = { topic: string; except?: readonly string[] } | { everyone: true; except?: readonly string[] }

/** A state of a notification that makes a push or a fallback unnecessary. */
export type Unless = 'delivered' | 'seen' | 'read'

/** A notification to publish. Times are Unix milliseconds; `ttl`, `halfLife` and `after` are seconds. */
export interface Notification {
  /** The kind of event, by which apps choose their behaviour: 1 to 128 characters. */
  type: string
  /** One line for a person. */
  title: string
  /** The time of the event. Default: now. */
  timestamp?: number
  /** The address of the details. */
  ref?: string
  /** An object of at most 4 KB of JSON. */
  data?: object
  /** After it the notification is not shown any more. Not together with `ttl`. */
  expiresAt?: number
  /** In place of `expiresAt`: the time from the acceptance, or from `deliverAt`. */
  ttl?: number
  /** At most one notification of a user and key is shown: this one replaces the others. */
  collapseKey?: string
  /** Default `normal`. */
  urgency?: Urgency
  /** The time at which it is published, up to 30 days ahead. */
  deliverAt?: number
  /** One to three buttons. The first answer of any device wins. */
  actions?: readonly Action[]
  /** The age at which a parked notification is worth half as much. */
  halfLife?: number
  /** `false`: no Web Push; else when it is sent, if no device has received it by then. */
  push?: false | { after?: number; unless?: Unless }
  /** Time after which the webhook `notification.fallback` is sent, if nobody has looked by then. */
  fallback?: { after: number; unless?: Unless }
}

/** Safety of a stored notification: synced to disk, on a replica, with the operating system, or in memory only. */
export type Durability = 'fsync' | 'replicated' | 'os' | 'none'

/** The outcome for one recipient that took the notification. `nodes` is the number of nodes that were woken. */
export type Accepted =
  | { user: string; status: 'accepted'; eventId?: string; nodes: number }
  | { user: string; status: 'parked'; releaseAt: number; nodes: number }
  | { user: string; status: 'scheduled'; deliverAt: number; nodes: number }

/** The outcome for one recipient of a list that did not take the notification. `code` is the reason. */
export interface Rejected {
  user: string
  status: 'rejected'
  code: string
  retryAfterMs?: number
  nodes: number
}

/** A stored notification. */
export interface Stored {
  id: string
  durability: Durability
}

/** The result of `notify()` to one user. */
export type Published = Stored & Accepted

/** The result of `notify()` to a list: one outcome for each user, in the order of the list. */
export interface PublishedToList extends Stored {
  results: (Accepted | Rejected)[]
}

export type BroadcastStatus = 'running' | 'done' | 'cancelled'

/** The result of `notify()` to an audience: `id` is that of the notification, `broadcast` the job that carries it to each member. */
export interface PublishedToAudience extends Stored {
  broadcast: { id: string; status: BroadcastStatus }
}

/** The progress of a broadcast. Times are Unix milliseconds; `finishedAt` is null while it runs. */
export interface Broadcast {
  id: string
  to: Audience
  status: BroadcastStatus
  /** Number of users in the audience; null while the service collects it. */
  members: number | null
  accepted: number
  parked: number
  rejected: number
  startedAt: number
  finishedAt: number | null
}

/** The presence of a user. `lastSeenAt` is Unix milliseconds, or null if no device ever connected. */
export interface UserPresence {
  user: string
  online: boolean
  lastSeenAt: number | null
}

/** The presence of a user with the connected devices. */
export interface PresenceWithDevices extends UserPresence {
  devices: { deviceId: string; node: string; connectedAt: number }[]
}

/** The body of an answer that is not a success (RFC 9457). */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  /** The id of the request, as in the log of the service. */
  instance: string
  code: string
  /** The invalid parts of the request, as JSON pointers. */
  errors?: { pointer: string; detail: string }[]
  retryAfterMs?: number
}

/** The part of `AbortSignal` that the SDK uses. */
export interface SignalLike {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** The part of a `Response` that the SDK uses. */
export interface FetchReply {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  text(): Promise<string>
}

/** The request that the SDK passes to `fetch`. */
export interface FetchRequest {
  method: string
  headers: Record<string, string>
  body?: string
  redirect: 'manual'
  // biome-ignore lint/suspicious/noExplicitAny: the type of a signal differs between runtimes
  signal: any
}

/** The part of `fetch` that the SDK uses. */
export type FetchLike = (url: string, request: FetchRequest) => Promise<FetchReply>

/** Options of a call. */
export interface CallOptions {
  /**
   * Ends the wait: the call rejects with the reason of the signal. A call that waits for its turn is then never sent. A call that was sent may
   * have been carried out, or may still be; it is not retried.
   */
  signal?: SignalLike
}

export interface NotifyOptions extends CallOptions {
  /**
   * Up to 255 printable ASCII characters. The same key with the same notification and recipient is published once, also if another process
   * repeats the call. Default: a random key for each call, which makes its retries safe.
   */
  idempotencyKey?: string
}

interface CommonOptions {
  /** Default: the global one. */
  fetch?: FetchLike
  /** The longest time from a call to its result, with all retries, milliseconds. Default 30,000. */
  timeoutMs?: number
}

/** Options of a client: a key from `API_KEYS` of the service, or a function that returns a JWT with the scope `publish` or `admin`. */
export type BelfryOptions = CommonOptions &
  (
    | { apiKey: string; getToken?: never }
    | {
        /** Called when there is no token, shortly before `exp` of the last one, and once after a 401. */
        getToken: () => string | Promise<string>
        apiKey?: never
      }
  )

/** The content of each webhook event. Times are Unix milliseconds. */
export interface WebhookData {
  'notification.fallback': {
    user: string
    notification: DeliveredNotification
    state: State
    devices: { deviceId: string; received: boolean; lastAckAt: number }[]
    answerLink?: string
  }
  'notification.answered': { user: string; id: string } & Answer
  'notification.expired': { user: string; id: string; type: string }
  'user.online': { user: string; at: number }
  'user.offline': { user: string; at: number }
}

/** A verified webhook. `id` is the same in each attempt of a call; `timestamp` is an ISO 8601 time. */
export type WebhookEvent = {
  [Type in keyof WebhookData]: { id: string; type: Type; timestamp: string; data: WebhookData[Type] }
}[keyof WebhookData]
