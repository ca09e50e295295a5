/** Deadlines of connections, milliseconds. */
export interface Timeouts {
  /** The peer may be silent after a ping. */
  pongMs: number
  /** A socket may take nothing. */
  stallMs: number
  /** A connection may wait for its first attach. */
  attachMs: number
  /** A connection over the limit may wait until the other nodes were heard of. Longer than two of their heartbeats in the store. */
  limitMs: number
  /** An event stream may last: HTTP gives its client no way to show life. */
  streamMs: number
}

export const TIMEOUTS: Timeouts = { pongMs: 10_000, stallMs: 30_000, attachMs: 15_000, limitMs: 5000, streamMs: 600_000 }
