/** Deadlines of connections, milliseconds. */
export interface Timeouts {
  /** Longest silence of a peer after a ping. */
  pongMs: number
  /** Longest time in which a socket takes no byte of what it holds. */
  stallMs: number
  /** Longest wait of a connection for its first attach. */
  attachMs: number
  /** Longest wait of a connection over the limit for a heartbeat of the other nodes. Nodes send more than two in that time. */
  limitMs: number
  /** Lifetime of an event stream: HTTP gives its client no way to show that it is alive. */
  streamMs: number
}

export const TIMEOUTS: Timeouts = { pongMs: 10_000, stallMs: 30_000, attachMs: 15_000, limitMs: 5000, streamMs: 600_000 }
