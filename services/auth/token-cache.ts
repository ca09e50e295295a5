import type { Claims, VerifyToken } from './tokens.ts'

/** Tokens kept at once; the one kept longest goes first. */
const MAX_TOKENS = 1000
/** A key that is withdrawn is heeded after this at the latest, milliseconds. */
const MAX_AGE_MS = 60_000

/** `until` is in milliseconds of the monotonic clock. */
interface Kept {
  claims: Claims
  until: number
}

/**
 * Verifies each token once a minute, for callers who send the same one over and over. `exp` is held as ever; refusals are not kept.
 *
 * @param now Unix milliseconds
 * @param monotonic milliseconds since any fixed point
 */
export function cachedVerifier(verify: VerifyToken, now: () => number = Date.now, monotonic = () => performance.now()): VerifyToken {
  const tokens = new Map<string, Kept>()
  return async (token) => {
    const kept = tokens.get(token)
    if (kept !== undefined && kept.until > monotonic() && kept.claims.expiresAt > now()) return kept.claims
    tokens.delete(token)
    const claims = await verify(token)
    const [oldest] = tokens.keys()
    if (oldest !== undefined && tokens.size >= MAX_TOKENS) tokens.delete(oldest)
    tokens.set(token, { claims, until: monotonic() + MAX_AGE_MS })
    return claims
  }
}
