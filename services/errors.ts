import createError from '@fastify/error'
import type { UnauthorizedReason } from './protocol/index.ts'

/**
 * The errors of REST answers and of error frames: code, status and message. `docs/reference/errors.md` lists the same, and a test holds the
 * two equal.
 */
export const errors = {
  InvalidRequest: createError('BELFRY_ERR_INVALID_REQUEST', 'The request is not valid: %s', 400),
  UnsupportedVersion: createError(
    'BELFRY_ERR_UNSUPPORTED_VERSION',
    'None of the offered versions of the protocol is spoken here: offer belfry.v1',
    400
  ),
  TokenMissing: createError('BELFRY_ERR_TOKEN_MISSING', 'A token or an API key is needed', 401),
  TokenInvalid: createError('BELFRY_ERR_TOKEN_INVALID', 'The token or API key is not valid', 401),
  TokenExpired: createError('BELFRY_ERR_TOKEN_EXPIRED', 'The token has expired', 401),
  TokenRevoked: createError('BELFRY_ERR_TOKEN_REVOKED', 'The token was revoked', 401),
  ScopeMissing: createError('BELFRY_ERR_SCOPE_MISSING', 'The token or API key does not have the scope %s', 403),
  OriginForbidden: createError('BELFRY_ERR_ORIGIN_FORBIDDEN', 'This origin may not connect', 403),
  NotFound: createError('BELFRY_ERR_NOT_FOUND', '%s', 404),
  RequestTimeout: createError('BELFRY_ERR_REQUEST_TIMEOUT', 'The request took too long to arrive', 408),
  LogRestarted: createError('BELFRY_ERR_LOG_RESTARTED', 'The log was started afresh since: read it from its beginning', 409),
  AlreadyAnswered: createError('BELFRY_ERR_ALREADY_ANSWERED', 'The notification was answered before', 409),
  SubscriptionsFull: createError('BELFRY_ERR_SUBSCRIPTIONS_FULL', 'The user has 20 push subscriptions: remove one first', 409),
  TooLarge: createError('BELFRY_ERR_TOO_LARGE', '%s', 413),
  UnsupportedMediaType: createError(
    'BELFRY_ERR_UNSUPPORTED_MEDIA_TYPE',
    'The body must be application/json in UTF-8, without a content coding',
    415
  ),
  ExpectationFailed: createError('BELFRY_ERR_EXPECTATION_FAILED', 'The one expectation taken is 100-continue', 417),
  IdempotencyConflict: createError('BELFRY_ERR_IDEMPOTENCY_CONFLICT', 'The Idempotency-Key was used with another body', 422),
  UpgradeRequired: createError('BELFRY_ERR_UPGRADE_REQUIRED', 'This path speaks WebSocket: send an Upgrade', 426),
  TooManyRequests: createError('BELFRY_ERR_TOO_MANY_REQUESTS', 'Too many requests from one caller', 429),
  ParkedFull: createError('BELFRY_ERR_PARKED_FULL', 'Too many notifications wait for this user', 429),
  ScheduledFull: createError('BELFRY_ERR_SCHEDULED_FULL', 'Too many notifications are scheduled for this user', 429),
  BroadcastsFull: createError('BELFRY_ERR_BROADCASTS_FULL', 'Too many broadcasts wait for this topic', 429),
  HeadersTooLarge: createError('BELFRY_ERR_HEADERS_TOO_LARGE', 'The headers are too large', 431),
  Internal: createError('BELFRY_ERR_INTERNAL', 'Something went wrong here', 500),
  KeyUnknown: createError('BELFRY_ERR_KEY_UNKNOWN', 'The key set does not have the key of this token yet', 503),
  KeysUnavailable: createError('BELFRY_ERR_KEYS_UNAVAILABLE', 'The key set that tokens are checked with cannot be fetched', 503),
  StoreUnavailable: createError('BELFRY_ERR_STORE_UNAVAILABLE', 'The store cannot be reached: the outcome is not known', 503),
  Draining: createError('BELFRY_ERR_DRAINING', 'This node is shutting down', 503),
  Overloaded: createError('BELFRY_ERR_OVERLOADED', 'This node has too much to do', 503),
  StoreFull: createError('BELFRY_ERR_STORE_FULL', 'The store has no room left', 507)
} as const

/** The properties that all of them have. */
export interface BelfryError extends Error {
  code: string
  statusCode?: number
}

/** Returns whether an error is one of the table above. The text of any other error must not leave the process. */
export function isBelfryError(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && code.startsWith('BELFRY_ERR_')
}

/** Returns true if the store cannot be reached or is full, which is temporary. Any other error is a fault of this process. */
export function isOfStore(error: unknown): boolean {
  return error instanceof errors.StoreUnavailable || error instanceof errors.StoreFull
}

/** The error for each reason to refuse a token. */
export const refusals: Record<UnauthorizedReason, (options?: { cause: unknown }) => BelfryError> = {
  token_missing: (options) => new errors.TokenMissing(options),
  token_invalid: (options) => new errors.TokenInvalid(options),
  token_expired: (options) => new errors.TokenExpired(options),
  token_revoked: (options) => new errors.TokenRevoked(options)
}

/** Returns the reason in an error message, without the addresses in the source of OpenSSL that surround it. */
export function failureReason(message: string): string {
  return /:SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? message
}
