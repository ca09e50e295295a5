import type { Claims, VerifyToken } from './tokens.ts'

/** Largest number of cached tokens. The oldest is evicted. */
const MAX_TOKENS = 1000
/** Lifetime of an entry, milliseconds: a withdrawn key is noticed within this time. */
const MAX_AGE_MS = 60_000

/** `until` is in milliseconds of the monotonic clock. */
interface CachedClaims {
  claims: Claims
  until: number
}

/**
 * Returns a verifier that verifies each token once a minute, for services that send the same token again and again. `exp` is checked at each
 * call. Refusals are not cached.
 *
 * @param now Unix milliseconds
 * @param monotonic milliseconds since any fixed point
 */
export function cachedVerifier(verify: VerifyToken, now: () => number = Date.now, monotonic = () => performance.now()): VerifyToken {
  const tokens = new Map<string, CachedClaims>()
  return async (token) => {
    const cached = tokens.get(token)
    if (cached !== undefined && cached.until > monotonic() && cached.claims.expiresAt > now()) return cached.claims
    tokens.delete(token)
    const claims = await verify(token)
    const [oldest] = tokens.keys()
    if (oldest !== undefined && tokens.size >= MAX_TOKENS) tokens.delete(oldest)
    tokens.set(token, { claims, until: monotonic() + MAX_AGE_MS })
    return claims
  }
}
