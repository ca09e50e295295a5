import type { Store } from './store.ts'

/** Leeway of clocks on both ends of a token's life, milliseconds: `iat` may lie 30 s ahead, and so may the clock that `exp` is compared with. */
const LEEWAY_MS = 60_000

/**
 * Returns whether a token was issued at or before its user's revocation.
 *
 * Most issuers write whole seconds: such a token may have been issued at any time within its second, so it is compared by seconds, and one
 * of the second of the revocation is accepted. A token that says milliseconds is compared by milliseconds.
 *
 * @param issuedAt Unix milliseconds; 0 if the token does not say
 * @param revokedBefore Unix milliseconds; 0 if there was no revocation
 */
export function isRevoked(issuedAt: number, revokedBefore: number): boolean {
  if (revokedBefore === 0) return false
  return issuedAt % 1000 === 0 ? issuedAt < revokedBefore - (revokedBefore % 1000) : issuedAt <= revokedBefore
}

/** Asks the store whether the tokens of a user were revoked after this one was issued. */
export async function isRevokedIn(
  store: Pick<Store, 'revokedBefore'>,
  { sub, issuedAt }: { sub: string; issuedAt: number }
): Promise<boolean> {
  return isRevoked(issuedAt, await store.revokedBefore(sub))
}

/** Returns how long a revocation is kept after it was made, milliseconds: as long as a token from before it may be accepted. */
export function revocationTtlMs(maxTokenLifetimeMs: number): number {
  return maxTokenLifetimeMs + LEEWAY_MS
}
