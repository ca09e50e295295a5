import type { Store } from './store.ts'

/** Clock skew allowed over the life of a token, milliseconds: 30 s for `iat`, and 30 s for the clock that `exp` is compared with. */
const CLOCK_SKEW_MS = 60_000

/**
 * Returns whether a token was issued at or before the revocation of its user's tokens.
 *
 * Most issuers write `iat` in whole seconds. Such a token may have been issued at any time within its second; it is compared by seconds, and
 * a token of the same second as the revocation is accepted. A token with milliseconds is compared by milliseconds.
 *
 * @param issuedAt Unix milliseconds; 0 if the token has no `iat`
 * @param revokedBefore Unix milliseconds; 0 if there was no revocation
 */
export function isRevoked(issuedAt: number, revokedBefore: number): boolean {
  if (revokedBefore === 0) return false
  return issuedAt % 1000 === 0 ? issuedAt < revokedBefore - (revokedBefore % 1000) : issuedAt <= revokedBefore
}

/**
 * Returns the time of a revocation that also refuses tokens issued in the second of `ms`. A token with an `iat` in whole seconds may have been
 * issued before it within that second, and an erasure must refuse every token from before it.
 */
export function endOfSecond(ms: number): number {
  return (Math.floor(ms / 1000) + 1) * 1000
}

/** Resolves with true if a token was issued at or before the revocation that the store has for its user. */
export async function isRevokedIn(
  store: Pick<Store, 'revokedBefore'>,
  { sub, issuedAt }: { sub: string; issuedAt: number }
): Promise<boolean> {
  return isRevoked(issuedAt, await store.revokedBefore(sub))
}

/** Returns the lifetime of a revocation, milliseconds: as long as a token from before it may be accepted. */
export function revocationTtlMs(maxTokenLifetimeMs: number): number {
  return maxTokenLifetimeMs + CLOCK_SKEW_MS
}
