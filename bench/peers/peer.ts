import type { Program } from '../program.ts'
import type { Target } from '../raw-socket.ts'

/** How a peer is started for one measure. */
export interface FleetOptions {
  nodes: number
  /** Further environment of Belfry's nodes, and flags of Node. */
  environment?: Record<string, string>
  flags?: string[]
}

/** A running peer: nodes that share one Redis of their own. */
export interface Fleet {
  readonly peer: Peer
  readonly ports: readonly number[]
  /** The nodes, where they are Node processes. */
  readonly programs: readonly Program[]
  /** Every process that counts, and Redis among them. */
  readonly pids: readonly number[]
  readonly redisPort: number
  stop(): Promise<void>
}

/** One program that is measured. */
export interface Peer {
  readonly name: string
  readonly label: string
  /** Why it cannot run here; undefined: it can. */
  missing(): Promise<string | undefined>
  start(options: FleetOptions): Promise<Fleet>
  /** Where a user's socket goes. */
  target(port: number, user: string): Target
  /** Where a publish for the user goes. */
  publishPath(user: string): string
  /** Header lines of a publish. */
  readonly headers: string
  /** What a socket sends right after the upgrade. */
  readonly greeting: string
  /** What is at the start of the message after which the socket hears everything; '': the upgrade is. */
  readonly ready: string
  /** It is known to deliver twice, and leaves it to clients. */
  readonly doubles: boolean
}
