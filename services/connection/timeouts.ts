/** How long things at the edge may take, milliseconds. */
export interface Timeouts {
  /** The peer may be silent after a ping. */
  pongMs: number
  /** A socket may take nothing. */
  stallMs: number
  /** A connection may wait for its first attach. */
  attachMs: number
}

export const TIMEOUTS: Timeouts = { pongMs: 10_000, stallMs: 30_000, attachMs: 15_000 }
