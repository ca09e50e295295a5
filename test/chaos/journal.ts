import type { Action, Answer, GapReason, Position, State, Urgency } from '../../services/protocol/index.ts'
import type { RowKind } from '../../services/store/row.ts'
import type { Durability } from '../../services/store/store.ts'
import type { BusKind, Fault, StoreKind } from './schedule.ts'

/** The record of a run. All times are Unix milliseconds of this machine, on which everything runs. */
export interface Journal {
  seed: number
  seconds: number
  store: StoreKind
  bus: BusKind
  /** Most notifications to a user in any window of `windowMs`. */
  limit: number
  windowMs: number
  /** True if a fault made the store lose data: accepted publishes may be missing if a gap reports them. */
  lossy: boolean
  /** Notifications and digests in a log from which on the oldest are trimmed. */
  maxEntries: number
  /** True if notifications reached their age during the run and were trimmed. */
  isAging: boolean
  startedAt: number
  faults: Fault[]
  publishes: Publish[]
  recalls: Recall[]
  conflicts: Conflict[]
  answers: AnswerAttempt[]
  broadcasts: Broadcast[]
  devices: DeviceJournal[]
  /** Clients without the SDK. Those that acknowledge are in `devices` as well. */
  clients: ClientJournal[]
  logs: UserLog[]
  /** Time at which the logs were read. All devices were at rest. */
  endedAt: number
  windows: Window[]
  away: Away[]
  ghosts: Ghost[]
  /** The parts that were not at rest in time after the last fault, in words. */
  unhealed: string[]
  /** Longest time for which this process was not scheduled, milliseconds. Lateness is measured with this tolerance. */
  stallMs: number
  /** The calls that left the service. */
  reach?: ReachJournal
}

/** The record of the users without an open tab, and of the calls that their notifications caused. */
export interface ReachJournal {
  owed: OwedPublish[]
  looks: Look[]
  periods: PushPeriod[]
  /** Users who were erased while calls were owed to them, and when the service answered. */
  erasures: { user: string; at: number }[]
  calls: ReceivedCall[]
  /** Times in which receivers, or nodes with leased calls, were broken. */
  windows: Window[]
  /** Time after the append at which a push is due, milliseconds. */
  pushAfterMs: number
  /** The notifications whose call waited for its receiver at the end, as the receipts tell: `<user> <id>`. */
  waiting: string[]
  endedAt: number
}

/** A notification to a sleeper that a node accepted. It is pushed unless it was received. */
export interface OwedPublish {
  user: string
  id: string
  isPushed: boolean
  fallback?: { after: number; unless: 'delivered' | 'seen' | 'read' }
}

/** One look of a sleeper. `doneAt`: when the service listed the cursor; 0: it did not. `endedAt`: after the last mark. */
export interface Look {
  user: string
  begunAt: number
  doneAt: number
  endedAt: number
  epoch: string
  offset: number
}

/** A time in which a sleeper had a push subscription that the push service accepted. */
export interface PushPeriod {
  user: string
  endpoint: string
  /** Path of the endpoint. */
  path: string
  from: number
  to: number
}

/** A call that a receiver got. `callId`: the webhook-id, or the path of the subscription. `status`: the answer; 0: none. */
export interface ReceivedCall {
  event: string
  at: number
  user: string
  id: string
  callId: string
  status: number
}

/** One notification of a publisher, with every attempt to publish it. */
export interface Publish {
  publisher: string
  user: string
  /** Place among the publisher's notifications; undefined for batches, whose items have no order. */
  sequence: number | undefined
  /** The idempotency key, which is also the title. */
  key: string
  /** Sent once, without the key. */
  isUnkeyed?: true
  /** The options in the body of the request. */
  options?: PublishedOptions
  attempts: Attempt[]
}

/** The delivery options of a notification, as `POST /v1/notifications` takes them. */
export interface PublishedOptions {
  expiresAt?: number
  ttl?: number
  collapseKey?: string
  urgency?: Urgency
  deliverAt?: number
  actions?: Action[]
  push?: false
  fallback?: OwedPublish['fallback']
}

export interface Attempt {
  sentAt: number
  doneAt: number
  node: number
  /** HTTP status; 0: no answer. */
  status: number
  /** The result if the publish was carried out, now or earlier. */
  result?: {
    id: string
    status: 'accepted' | 'parked' | 'scheduled'
    eventId: string
    durability: Durability
    nodes: number
    deliverAt?: number
  }
  /** Code of the problem document, if there is no result. */
  code?: string
  /** True for a request that was repeated after an answer. */
  repeat?: true
}

/** A request with a used key and another body. */
export interface Conflict {
  user: string
  key: string
  status: number
  sentAt: number
}

export interface Recall {
  user: string
  id: string
  /** HTTP status of the last attempt; 0: no answer. */
  status: number
  doneAt: number
}

/** One answer of a device to a notification. */
export interface AnswerAttempt {
  user: string
  device: string
  id: string
  action: string
  sentAt: number
  doneAt: number
  /** `first`: the service took it. `late`: another one was first. `refused`: there is no such notification. `none`: no reply. */
  outcome: 'first' | 'late' | 'refused' | 'none'
  /** The first answer, as the reply names it. */
  answer?: Answer
}

/** A broadcast of a run. */
export interface Broadcast {
  /** The topic, or `everyone`. Its broadcasts run one after another. */
  queue: string
  sequence: number
  key: string
  /** '' if no node answered. */
  id: string
  notificationId: string
  /** Users who must get it, and users who may. */
  members: string[]
  others: string[]
  isCancelled: boolean
  /** No node answered the cancellation. */
  isUncertain?: true
  answeredAt: number
  /** The broadcast at the end of the run, as the service tells it; undefined if no node did. */
  end?: { status: 'running' | 'done' | 'cancelled'; members: number | null; accepted: number; parked: number; rejected: number } | undefined
}

/** The options of a notification as devices get them, and the answer to it. */
export interface ShownOptions {
  expiresAt?: number
  collapseKey?: string
  replaces?: string
  answer?: Answer
}

export type DeviceEvent =
  | ({ type: 'shown'; at: number; id: string; eventId: string; replay: boolean } & ShownOptions)
  /**
   * `fresh`: `hello` took a client that had been connected for a new device, of another log. `from` is the newest event id that the client knows,
   * and `to` is where it starts.
   */
  | { type: 'gap'; at: number; reason: GapReason | 'fresh'; from: string; to: string; count: number }
  | { type: 'retract'; at: number; id: string; reason?: string; collapseKey?: string }
  | { type: 'answered'; at: number; id: string; answer: Answer }
  | { type: 'digest'; at: number; ids: string[] }
  /** The device is connected to this node. `atCursor`: it named no position, so that the connection starts at its stored cursor. */
  | { type: 'connected'; at: number; node: number; atCursor?: true }
  /** The device has lost the connection to this node, or has received its backlog. */
  | { type: 'connecting' | 'caughtUp'; at: number; node: number }
  /** Reads slowly or stops reading (`slow`), or reads as usual again (`brisk`). */
  | { type: 'slow' | 'brisk'; at: number }
  | { type: 'terminal'; at: number; code: number; reason: string }

export interface DeviceJournal {
  user: string
  device: string
  /** The client drops by its own clock what expired on its way, so that no fault of the network excuses it. */
  dropsExpired?: true
  events: DeviceEvent[]
  /** At the end of the run. `unseen` is undefined if the client does not count them. */
  unread: number
  unseen?: number | undefined
  lastEventId: string
}

/** A client without the SDK, with each of its connections. */
export interface ClientJournal {
  user: string
  device: string
  /** True if the client acknowledges. Otherwise its cursor moves with the bytes that the node's socket reported written. */
  acknowledges: boolean
  /** Connections that got `hello`, oldest first. */
  connections: ClientConnection[]
  gaps: Extract<DeviceEvent, { type: 'gap' }>[]
  /** At the end of the run. */
  isCaughtUp: boolean
}

export interface ClientConnection {
  node: number
  openedAt: number
  /** True if the client sent `last_event_id`. */
  asked: boolean
  /** The position in `hello`. */
  from?: Position | undefined
  /** The newest offset in a frame to the client. */
  through?: number
  /** Ids of the notifications received. */
  received: string[]
  /** Length of the shortest frame of a notification, bytes. */
  bytes?: number
  acknowledged?: { offset: number; at: number }[]
  /** `closed`: the client closed and read everything before the end. `broken`: the connection ended otherwise, or has not ended. */
  end: 'reset' | 'closed' | 'broken'
  /** 0: the connection has not ended. */
  endedAt: number
  /** Bytes that the node's socket reported written and the client had not read at the end; undefined if unknown. */
  inFlight: number | undefined
}

/** A user's log, read from the store at the end. */
export interface UserLog {
  user: string
  epoch: string
  top: number
  floor: number
  parked: number
  scheduled: number
  unread: number
  unseen: number
  rows: LogRow[]
  /** State by id, for ids that are not unread. */
  states: Record<string, State>
  /** Answer by id. */
  answers: Record<string, Answer>
}

export interface LogRow {
  kind: RowKind
  at: number
  id: string
  /** The last part of its event id. A row that took the place of a lost one has another. */
  tag?: string
  /** `n`: the title. */
  title?: string
  /** `s` and `d`: the ids in the row; `r` and `a`: the retracted or answered id. */
  ids?: string[]
  /** `s`: the new state. */
  state?: State
  /** `s`, `r`, `d`, `a`: the counts in the row. Rows of earlier versions have no `unseen`. */
  unread?: number
  unseen?: number
  /** `r`: the reason. */
  reason?: string
  /** `n`: its options; `a`: the answer. */
  options?: ShownOptions
}

/**
 * A time in which something was broken, so that lateness is excused. `node`: only for clients of that node.
 * `wakeUpsOnly`: only wake-ups were lost, so that lateness counts from the end of the window. `clockOnly`: only expiries and deliveries of
 * scheduled notifications may be late.
 */
export interface Window {
  kind: string
  from: number
  to: number
  node?: number
  wakeUpsOnly?: true
  clockOnly?: true
}

/** A time in which the store could not be reached. `users` are those on the affected part; undefined: all. */
export interface Away {
  from: number
  to: number
  users?: string[]
}

/** A node or connection that the service still listed for the user too long after its end. */
export interface Ghost {
  user: string
  what: string
}
