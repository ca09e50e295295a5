import type { AnswerContext } from './answer.ts'
import type { ConnectionLog } from './connection-log.ts'
import type { CursorWriter } from './cursor-writer.ts'
import type { HeartbeatOptions } from './heartbeat.ts'
import type { Registry } from './registry.ts'

/** Services and settings that all connections of a node share. */
export interface ConnectionContext extends HeartbeatOptions, AnswerContext {
  readonly node: string
  readonly registry: Registry
  readonly cursors: CursorWriter
  readonly maxUnacked: number
  readonly maxFrameBytes: number
  /** Called on an unexpected error, which closes the connection with 4100. */
  readonly onFault: (error: unknown) => void
  readonly log: ConnectionLog
}

/** The user and the device a connection belongs to. Times are Unix milliseconds. */
export interface Identity {
  user: string
  deviceId: string
  issuedAt: number
  expiresAt: number
  address: string
}
