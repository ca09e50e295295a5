import { createSigner } from 'fast-jwt'

/** Lifetime of a token of the CLI or the greeting, unless the caller names another, seconds. */
export const TOKEN_SECONDS = 24 * 3600

/**
 * Signs a JWT with HS256 (RFC 7519), to try Belfry out. Services sign their users' tokens themselves.
 *
 * The library is the one that verifies in @fastify/jwt, where HS256 takes 18 µs of CPU; jose takes 88 µs, and is there for key sets alone,
 * which need its choice among keys (RFC 7517).
 *
 * @param scope `publish` or `admin` for a service, '' for a user
 * @param seconds lifetime of the token
 * @param claims further claims, such as `iss`
 */
export function signToken(secret: string, sub: string, scope = '', seconds = TOKEN_SECONDS, claims: Record<string, unknown> = {}): string {
  const now = Math.floor(Date.now() / 1000)
  const sign = createSigner({ key: secret, algorithm: 'HS256' })
  return sign({ sub, ...(scope === '' ? {} : { scope }), iat: now, exp: now + seconds, ...claims })
}
