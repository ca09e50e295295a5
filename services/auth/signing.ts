import { createHmac } from 'node:crypto'

/** How long a token of the CLI or the greeting holds by default, seconds. */
export const TOKEN_SECONDS = 24 * 3600

/**
 * Signs a JWT with HS256 (RFC 7519), for trying Belfry out and for tests; services sign their users' tokens themselves.
 *
 * @param scope `publish` or `admin` for a service, '' for a user
 * @param seconds how long it holds
 */
export function signToken(secret: string, sub: string, scope = '', seconds = TOKEN_SECONDS, claims: Record<string, unknown> = {}): string {
  const now = Math.floor(Date.now() / 1000)
  const payload = { sub, ...(scope === '' ? {} : { scope }), iat: now, exp: now + seconds, ...claims }
  const head = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(payload)}`
  return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
