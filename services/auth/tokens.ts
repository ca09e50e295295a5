import type { UnauthorizedReason } from '../protocol/index.ts'
import { isUser } from '../users.ts'

/** Accepted asymmetric algorithms. HS256 is accepted with a secret only: no key is ever tried with an algorithm of another family. */
export const PUBLIC_KEY_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const

/** `nbf` and `iat` may lie this far ahead of the node's clock, seconds. `exp` has no leeway. */
const LEEWAY_SECONDS = 30

/** Longest accepted token, characters. */
const MAX_TOKEN_LENGTH = 4096

/** Largest accepted `exp`. Above it, the time is in milliseconds by mistake: in seconds it would be the year 5138. */
const MAX_SECONDS = 1e11

/** `typ` of tokens that identify a user (RFC 7519 §5.1, RFC 9068 §2.1). Refresh tokens and others have another. */
const TYPES = ['jwt', 'application/jwt', 'at+jwt', 'application/at+jwt']

/** Returns the token of an `Authorization` header; undefined if the header has another scheme, or none. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
}

/** The claims of a verified token. Times are Unix milliseconds, `issuedAt` is 0 without `iat`. */
export interface Claims {
  sub: string
  issuedAt: number
  expiresAt: number
  scopes: string[]
}

export class TokenError extends Error {
  /** Also the reason of close code 4001. */
  readonly refusal: UnauthorizedReason

  /** @param detail for the log of the operator, never for the caller. It names a claim or a check, and no value of the token */
  constructor(refusal: UnauthorizedReason, detail = '') {
    super(refusal, detail === '' ? {} : { cause: new Error(detail) })
    this.name = 'TokenError'
    this.refusal = refusal
  }
}

/** @throws TokenError; KeyUnknown or KeysUnavailable if the key of the token cannot be looked up now */
export type VerifyToken = (token: string) => Promise<Claims>

/**
 * Checks the parts of a token's header that libraries do not: its type, and that it demands no extension (RFC 7515 §4.1.11); Belfry has none.
 *
 * @throws TokenError
 */
export function checkHeader(token: string): void {
  if (token.length > MAX_TOKEN_LENGTH) throw new TokenError('token_invalid', `the token has more than ${MAX_TOKEN_LENGTH} characters`)
  const header = headerOf(token)
  if (header === undefined) throw new TokenError('token_invalid', 'it is neither a JWT nor a key of API_KEYS')
  const { typ, crit } = header
  const isKnown = typ === undefined || (typeof typ === 'string' && TYPES.includes(typ.toLowerCase()))
  if (!isKnown) throw new TokenError('token_invalid', 'typ is not that of an access token')
  if (crit !== undefined) throw new TokenError('token_invalid', 'crit demands an extension, and there is none')
}

function headerOf(token: string): Record<string, unknown> | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString())
    return typeof header === 'object' && header !== null ? (header as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/**
 * Checks the claims that libraries do not (RFC 8725 §3.11): `sub` is a user, `exp` is a time in seconds, `nbf` is not in the future.
 *
 * @throws TokenError
 */
export function checkClaims(payload: Record<string, unknown>, now = Date.now()): Claims {
  const { sub, exp, nbf, iat, scope } = payload
  const soon = now / 1000 + LEEWAY_SECONDS
  if (!isUser(sub)) throw new TokenError('token_invalid', 'sub is not a user: 1 to 128 printable characters')
  if (!isTime(exp) || exp > MAX_SECONDS) throw new TokenError('token_invalid', 'exp is not a time in seconds')
  if (nbf !== undefined && !(isTime(nbf) && nbf <= soon)) throw new TokenError('token_invalid', 'nbf is ahead of the clock of this node')
  if (iat !== undefined && !isTime(iat)) throw new TokenError('token_invalid', 'iat is not a time in seconds')
  if (exp * 1000 <= now) throw new TokenError('token_expired')
  return { sub, issuedAt: isTime(iat) ? iat * 1000 : 0, expiresAt: exp * 1000, scopes: scopesOf(scope) }
}

/**
 * Checks that a revocation can take effect on a user's token: `iat` is not in the future, and the token expires before the store forgets the
 * revocation. The life of a token without `iat` is counted from now. Tokens of services cannot be revoked, and are not checked.
 *
 * @throws TokenError
 */
export function checkRevocable({ issuedAt, expiresAt }: Claims, maxLifetimeMs: number, now = Date.now()): void {
  if (issuedAt > now + LEEWAY_SECONDS * 1000) throw new TokenError('token_invalid', 'iat is ahead of the clock of this node')
  const lifetimeMs = expiresAt - (issuedAt === 0 ? now : issuedAt)
  if (lifetimeMs > maxLifetimeMs) throw new TokenError('token_invalid', 'the time from iat to exp is longer than MAX_TOKEN_LIFETIME')
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** `scope` is a space-separated string (RFC 8693 §4.2) or a list. */
function scopesOf(scope: unknown): string[] {
  if (typeof scope === 'string') return scope.split(' ').filter((word) => word !== '')
  return Array.isArray(scope) ? scope.filter((word): word is string => typeof word === 'string') : []
}
