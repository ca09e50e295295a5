/** The client's action after a close: do not reconnect, reconnect with back-off, or reconnect now. */
export type Verdict = 'stop' | 'back-off' | 'now'

/**
 * Close codes of `belfry.v1`. The range of a code tells the client's action:
 *
 * - 4000-4099: do not reconnect unchanged
 * - 4100-4199: reconnect with back-off
 * - 4200-4299: reconnect now, after `bye.reconnectInMs`
 */
export const closeCodes = {
  unauthorized: { code: 4001, reason: 'unauthorized' },
  disconnected: { code: 4003, reason: 'disconnected by an operator' },
  connectionLimit: { code: 4004, reason: 'connection limit' },
  unsupportedVersion: { code: 4005, reason: 'unsupported version' },
  protocolError: { code: 4006, reason: 'protocol error' },
  serverError: { code: 4100, reason: 'server error' },
  overloaded: { code: 4101, reason: 'overloaded' },
  tooManyFrames: { code: 4102, reason: 'too many frames' },
  storeAway: { code: 4103, reason: 'store away too long' },
  slowConsumer: { code: 4104, reason: 'slow consumer' },
  connectionLimitForNow: { code: 4105, reason: 'connection limit for now' },
  draining: { code: 4200, reason: 'draining' },
  noPong: { code: 4201, reason: 'no pong' },
  outOfStep: { code: 4203, reason: 'out of step: resume' }
} as const satisfies Record<string, { code: number; reason: string }>

export type CloseName = keyof typeof closeCodes

/** The reasons of 4001, sent in place of `unauthorized`. */
export type UnauthorizedReason = 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked'

/**
 * Returns the verdict of any close code. Codes outside 4000-4299 (1001, 1006, 1011, …) mean back-off. The exception is 1009: a client that sent
 * too large a frame would send it again.
 */
export function verdictOf(code: number): Verdict {
  if (code === 1009 || (code >= 4000 && code < 4100)) return 'stop'
  if (code >= 4200 && code < 4300) return 'now'
  return 'back-off'
}
