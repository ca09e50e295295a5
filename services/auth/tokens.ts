import type { UnauthorizedReason } from '../protocol/index.ts'
import { isUser } from '../users.ts'

/** Asymmetric algorithms that are taken. HS256 is taken with `JWT_SECRET` only: no key is ever tried with another family. */
export const PUBLIC_KEY_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const

/** `nbf` and `iat` may lie this far ahead of our clock, seconds. `exp` is held to the second. */
const LEEWAY_SECONDS = 30

/** Longest token accepted, characters. */
const MAX_TOKEN_LENGTH = 4096

/** `exp` above this is a time in milliseconds by mistake: in seconds it would be the year 5138. */
const MAX_SECONDS = 1e11

/** `typ` of tokens that say who is there (RFC 7519 §5.1, RFC 9068 §2.1); refresh and other tokens do not. */
const TYPES = ['jwt', 'application/jwt', 'at+jwt', 'application/at+jwt']

/** Returns the token of an `Authorization` header; undefined if the header has another scheme, or none. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
}

/** What a checked token says. Times are Unix milliseconds. */
export interface Claims {
  sub: string
  issuedAt: number
  expiresAt: number
  scopes: string[]
}

export class TokenError extends Error {
  /** The reason of close code 4001, too. */
  readonly refusal: UnauthorizedReason

  constructor(refusal: UnauthorizedReason) {
    super(refusal)
    this.name = 'TokenError'
    this.refusal = refusal
  }
}

/** @throws TokenError; KeyUnknown or KeysUnavailable if the key of the token cannot be looked up now */
export type VerifyToken = (token: string) => Promise<Claims>

/**
 * Checks what libraries leave open in a token's header: its type, and that it demands no extension (RFC 7515 §4.1.11), since none is known here.
 *
 * @throws TokenError
 */
export function checkHeader(token: string): void {
  const header = token.length > MAX_TOKEN_LENGTH ? undefined : headerOf(token)
  const type = header?.typ
  const known = type === undefined || (typeof type === 'string' && TYPES.includes(type.toLowerCase()))
  if (header === undefined || !known || header.crit !== undefined) throw new TokenError('token_invalid')
}

function headerOf(token: string): Record<string, unknown> | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString())
    return typeof header === 'object' && header !== null ? (header as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** Checks what libraries leave open (RFC 8725 §3.11): `sub` is a user, `exp` is a time in seconds, `nbf` is not in the future. */
export function checkClaims(payload: Record<string, unknown>, now = Date.now()): Claims {
  const { sub, exp, nbf, iat, scope } = payload
  const soon = now / 1000 + LEEWAY_SECONDS
  if (!isUser(sub) || !isTime(exp) || exp > MAX_SECONDS) throw new TokenError('token_invalid')
  if ((nbf !== undefined && !(isTime(nbf) && nbf <= soon)) || (iat !== undefined && !isTime(iat))) throw new TokenError('token_invalid')
  if (exp * 1000 <= now) throw new TokenError('token_expired')
  return { sub, issuedAt: isTime(iat) ? iat * 1000 : 0, expiresAt: exp * 1000, scopes: scopesOf(scope) }
}

/**
 * Checks what a revocation relies on, for users' tokens: `iat` is not in the future, and the token lives no longer than the revocation
 * is kept. A token without `iat` lives from now on. Tokens of services cannot be revoked, and are not checked.
 *
 * @throws TokenError
 */
export function checkRevocable({ issuedAt, expiresAt }: Claims, maxLifetimeMs: number, now = Date.now()): void {
  const isFuture = issuedAt > now + LEEWAY_SECONDS * 1000
  if (isFuture || expiresAt - (issuedAt === 0 ? now : issuedAt) > maxLifetimeMs) throw new TokenError('token_invalid')
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** `scope` is a space-separated string (RFC 8693 §4.2) or a list. */
function scopesOf(scope: unknown): string[] {
  if (typeof scope === 'string') return scope.split(' ').filter((word) => word !== '')
  return Array.isArray(scope) ? scope.filter((word): word is string => typeof word === 'string') : []
}
