import { createRemoteJWKSet, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { isUser } from './users.ts'

/** Asymmetric algorithms that are taken. HS256 is taken with `JWT_SECRET` only: no key is ever tried with another family. */
export const PUBLIC_KEY_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const

/** `nbf` and `iat` may lie this far ahead of our clock, seconds. `exp` is held to the second. */
const LEEWAY_SECONDS = 30

/** An unknown `kid` makes the key set be fetched again, at most this often, milliseconds. */
const JWKS_COOLDOWN_MS = 60_000
const JWKS_MAX_AGE_MS = 600_000

/** What a checked token says. Times are Unix milliseconds. */
export interface Claims {
  sub: string
  issuedAt: number
  expiresAt: number
  scopes: string[]
}

/** Why a token is refused; the same words are the reason of close code 4001. */
export type Refusal = 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked'

export class TokenError extends Error {
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(refusal)
    this.name = 'TokenError'
    this.refusal = refusal
  }
}

/** @throws TokenError */
export type VerifyToken = (token: string) => Promise<Claims>

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
 * an unknown `kid`, that at most once a minute.
 *
 * @param issuer `iss` to demand; '' for any
 * @param audience `aud` to demand; '' for any
 */
export function jwksVerifier(url: string, issuer: string, audience: string, log: (error: unknown) => void): VerifyToken {
  const keys: JWTVerifyGetKey = createRemoteJWKSet(new URL(url), { cooldownDuration: JWKS_COOLDOWN_MS, cacheMaxAge: JWKS_MAX_AGE_MS })
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
      if (code === undefined || code === 'ERR_JWKS_TIMEOUT' || code === 'ERR_JOSE_GENERIC') log(error)
      throw new TokenError('token_invalid')
    }
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

/** `scope` is a space-separated string (RFC 8693 §4.2) or a list. */
function scopesOf(scope: unknown): string[] {
  if (typeof scope === 'string') return scope.split(' ').filter((word) => word !== '')
  return Array.isArray(scope) ? scope.filter((word): word is string => typeof word === 'string') : []
}
