import type { Program } from '../program.ts'
import type { Target } from '../raw-socket.ts'

/** Options for the start of a peer. */
export interface FleetOptions {
  nodes: number
  /** Further environment variables of the nodes. */
  environment?: Record<string, string>
  /** Flags of Node. */
  flags?: string[]
}

/** A running peer: nodes that share one Redis, which no other peer uses. */
export interface Fleet {
  readonly peer: Peer
  readonly ports: readonly number[]
  /** The nodes, if they are Node processes; otherwise empty. */
  readonly programs: readonly Program[]
  /** All measured processes: the nodes and Redis. */
  readonly pids: readonly number[]
  readonly redisPort: number
  stop(): Promise<void>
}

/** One program that is measured. */
export interface Peer {
  readonly name: string
  readonly label: string
  /** Returns why the program cannot run on this machine; undefined if it can. May install packages. */
  missing(): Promise<string | undefined>
  start(options: FleetOptions): Promise<Fleet>
  /** Returns the target of a user's socket. */
  target(port: number, user: string): Target
  /** Returns the path of a publish to the user. */
  publishPath(user: string): string
  /** Header lines of a publish, each with its line end. */
  readonly headers: string
  /** Text that a client sends right after the upgrade; '' for none. */
  readonly greeting: string
  /** Beginning of the message after which the socket receives all messages; '' if it does so right after the upgrade. */
  readonly ready: string
  /** The program may deliver a message twice, and leaves it to clients to drop duplicates. */
  readonly doubles: boolean
}
