/** What a client does after a close: the verdict is the hundred the code is in. */
export type Verdict = 'stop' | 'back-off' | 'now'

/**
 * Close codes of `belfry.v1`.
 *
 * 4000-4099 do not reconnect unchanged, 4100-4199 reconnect with back-off,
 * 4200-4299 reconnect now, after `bye.reconnectInMs`.
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

/** Reasons sent with 4001, in place of the table's own. */
export type UnauthorizedReason = 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked'

/**
 * The verdict of any close code. Codes outside 4000-4299 (1001, 1006, 1011, ...) mean back-off,
 * but for 1009, which the same client would only earn again.
 */
export function verdictOf(code: number): Verdict {
  if (code === 1009 || (code >= 4000 && code < 4100)) return 'stop'
  if (code >= 4200 && code < 4300) return 'now'
  return 'back-off'
}
