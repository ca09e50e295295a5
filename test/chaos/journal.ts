import type { GapReason, Position, State } from '../../services/protocol/index.ts'
import type { RowKind } from '../../services/store/row.ts'
import type { Durability } from '../../services/store/store.ts'
import type { Fault, StoreKind } from './schedule.ts'

/** All times are Unix milliseconds of the one machine everything runs on. */
export interface Journal {
  seed: number
  seconds: number
  store: StoreKind
  /** Notifications a user may get in any window of `windowMs`. */
  limit: number
  windowMs: number
  /** Accepted publishes may be lost, if that is said: the store was made to lose them. */
  lossy: boolean
  /** Notifications and digests that a log holds before any is trimmed for its number. */
  maxEntries: number
  /** Notifications left by age during the run. */
  isAging: boolean
  startedAt: number
  faults: Fault[]
  publishes: Publish[]
  recalls: Recall[]
  conflicts: Conflict[]
  devices: DeviceJournal[]
  /** Clients without the SDK. Those that acknowledge are among the devices as well. */
  clients: ClientJournal[]
  logs: UserLog[]
  windows: Window[]
  away: Away[]
  ghosts: Ghost[]
  /** The parts that were not at rest in time after the last fault, in words. */
  unhealed: string[]
  /** Longest time this process did nothing, milliseconds: it could not have seen anything sooner. */
  stallMs: number
}

/** One notification of a publisher, with every try to get it accepted. */
export interface Publish {
  publisher: string
  user: string
  /** Order among those of the publisher that carry one; undefined where tries overlapped, and so no order was asked for. */
  sequence: number | undefined
  key: string
  attempts: Attempt[]
}

export interface Attempt {
  sentAt: number
  doneAt: number
  node: number
  /** HTTP status; 0: no answer. */
  status: number
  /** The result if the publish was carried out, now or earlier. */
  result?: { id: string; status: 'accepted' | 'parked'; eventId: string; durability: Durability; nodes: number }
  /** The code of the problem otherwise. */
  code?: string
  /** It was made again after an answer. */
  repeat?: true
}

/** A request with a key that had been answered with another body. */
export interface Conflict {
  user: string
  key: string
  status: number
  sentAt: number
}

export interface Recall {
  user: string
  id: string
  /** HTTP status of the last try; 0: no answer. */
  status: number
  doneAt: number
}

export type DeviceEvent =
  | { type: 'shown'; at: number; id: string; eventId: string; replay: boolean }
  | { type: 'gap'; at: number; reason: GapReason; from: string; to: string; count: number }
  | { type: 'retract'; at: number; id: string }
  | { type: 'digest'; at: number; ids: string[] }
  /** Is served by this node, has lost it, or is with everything that was waiting. */
  | { type: 'connected' | 'connecting' | 'caughtUp'; at: number; node: number }
  /** Reads slowly or stops reading (`slow`), or reads as usual again (`brisk`). */
  | { type: 'slow' | 'brisk'; at: number }
  | { type: 'terminal'; at: number; code: number; reason: string }

export interface DeviceJournal {
  user: string
  device: string
  events: DeviceEvent[]
  /** At the end. */
  unread: number
  lastEventId: string
}

/** A client without the SDK, with each of its connections. */
export interface ClientJournal {
  user: string
  device: string
  /** The client acknowledges; else its cursor moves for bytes that the node's socket reported written. */
  acknowledges: boolean
  /** Those that got `hello`, in order. */
  connections: ClientConnection[]
  gaps: Extract<DeviceEvent, { type: 'gap' }>[]
  /** At the end. */
  isCaughtUp: boolean
}

export interface ClientConnection {
  node: number
  openedAt: number
  /** The client said where to resume. */
  asked: boolean
  /** The place that `hello` told. */
  from?: Position | undefined
  /** The newest offset that the client was told of. */
  through?: number
  /** Ids of the notifications received. */
  received: string[]
  /** Length of the shortest frame of a notification, bytes. */
  bytes?: number
  acknowledged?: { offset: number; at: number }[]
  /** `closed`: the client asked for the end and read everything up to it. `broken`: the connection ended by itself, or has not ended. */
  end: 'reset' | 'closed' | 'broken'
  /** 0: it has not ended. */
  endedAt: number
  /** Bytes that the node's socket reported written and the client did not read, when it ended; undefined where that is not known. */
  inFlight: number | undefined
}

/** A user's log as the store itself gives it at the end. */
export interface UserLog {
  user: string
  epoch: string
  top: number
  floor: number
  parked: number
  unread: number
  rows: LogRow[]
  /** State of each id that is not unread. */
  states: Record<string, State>
}

export interface LogRow {
  kind: RowKind
  at: number
  id: string
  /** `s` and `d`: the ids it names; `r`: the one it retracts. */
  ids?: string[]
  /** `s`: the state set. */
  state?: State
  /** `s`, `r`, `d`: the count it tells. */
  unread?: number
}

/**
 * Something was broken in this time: lateness in it says nothing. `node`: only for clients of that node.
 * `wakeUpsOnly`: it lost wake-ups and nothing else, so lateness counts from its end.
 */
export interface Window {
  kind: string
  from: number
  to: number
  node?: number
  wakeUpsOnly?: true
}

/** A time in which the store could not be reached. `users` are those whose part of it was affected; all if undefined. */
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
