import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose'
import { errors } from '../errors.ts'
import type { UnauthorizedReason } from '../protocol/index.ts'
import { isUser } from '../users.ts'

/** Asymmetric algorithms that are taken. HS256 is taken with `JWT_SECRET` only: no key is ever tried with another family. */
export const PUBLIC_KEY_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const

/** `nbf` and `iat` may lie this far ahead of our clock, seconds. `exp` is held to the second. */
const LEEWAY_SECONDS = 30

/** An unknown `kid` makes the key set be fetched again, at most this often, milliseconds. */
export const JWKS_COOLDOWN_MS = 60_000
/** How old a key set may grow, and how soon one that is needed and could not be fetched is tried again, milliseconds. */
const JWKS_MAX_AGE_MS = 600_000
const JWKS_RETRY_MS = 1000

/** Longest token taken, characters. */
const MAX_TOKEN_LENGTH = 4096

/** `typ` of tokens that say who is there (RFC 7519 §5.1, RFC 9068 §2.1); refresh and other tokens do not. */
const TYPES = ['jwt', 'application/jwt', 'at+jwt', 'application/at+jwt']

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

/** @throws TokenError, or KeysUnavailable when that cannot be told */
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

/** Checks what libraries leave open (RFC 8725 §3.11): `sub` is a user, `exp` is there, nothing is from the future. */
export function checkClaims(payload: Record<string, unknown>, now = Date.now()): Claims {
  const { sub, exp, nbf, iat, scope } = payload
  const soon = now / 1000 + LEEWAY_SECONDS
  if (!isUser(sub) || !isTime(exp)) throw new TokenError('token_invalid')
  if ((nbf !== undefined && !(isTime(nbf) && nbf <= soon)) || (iat !== undefined && !(isTime(iat) && iat <= soon))) {
    throw new TokenError('token_invalid')
  }
  if (exp * 1000 <= now) throw new TokenError('token_expired')
  return { sub, issuedAt: isTime(iat) ? iat * 1000 : 0, expiresAt: exp * 1000, scopes: scopesOf(scope) }
}

/**
 * Verifies against a JSON Web Key Set that may rotate (RFC 7517). The set is fetched when it is first needed, every ten minutes of use, and for
 * an unknown `kid`, that at most once a minute, whether it can be fetched or not.
 *
 * @param issuer `iss` to demand; '' for any
 * @param audience `aud` to demand; '' for any
 * @param log told of each fetch that failed
 */
export function jwksVerifier(
  url: string,
  issuer: string,
  audience: string,
  log: (error: unknown) => void,
  cooldownMs = JWKS_COOLDOWN_MS
): VerifyToken {
  const tooSoon = new Error('the key set was asked for a moment ago')
  let nextFetchAt = 0
  const keys = createRemoteJWKSet(new URL(url), {
    cooldownDuration: cooldownMs,
    cacheMaxAge: JWKS_MAX_AGE_MS,
    [customFetch]: async (...request) => {
      if (performance.now() < nextFetchAt) throw tooSoon
      nextFetchAt = performance.now() + (keys.fresh ? cooldownMs : JWKS_RETRY_MS)
      return fetch(...request)
    }
  })
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: [...PUBLIC_KEY_ALGORITHMS],
        requiredClaims: ['exp', 'sub'],
        clockTolerance: LEEWAY_SECONDS,
        ...(issuer === '' ? {} : { issuer }),
        ...(audience === '' ? {} : { audience })
      })
      return checkClaims(payload)
    } catch (error) {
      if (error instanceof TokenError) throw error
      const { code } = error as { code?: string }
      if (code === 'ERR_JWT_EXPIRED') throw new TokenError('token_expired')
      if (typeof code === 'string' && !FETCH_FAILED.includes(code)) throw new TokenError('token_invalid')
      if (error !== tooSoon) log(error)
      throw new errors.KeysUnavailable()
    }
  }
}

/** Errors of `jose` that say nothing of the token. */
const FETCH_FAILED = ['ERR_JWKS_TIMEOUT', 'ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID']

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** `scope` is a space-separated string (RFC 8693 §4.2) or a list. */
function scopesOf(scope: unknown): string[] {
  if (typeof scope === 'string') return scope.split(' ').filter((word) => word !== '')
  return Array.isArray(scope) ? scope.filter((word): word is string => typeof word === 'string') : []
}
