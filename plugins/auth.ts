import jwt from '@fastify/jwt'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ApiKeys, type Scope } from '../services/auth/api-keys.ts'
import { KeySet } from '../services/auth/key-set.ts'
import { publicKeyAlgorithm } from '../services/auth/public-key.ts'
import { cachedVerifier } from '../services/auth/token-cache.ts'
import {
  bearerToken,
  type Claims,
  checkClaims,
  checkHeader,
  checkRevocable,
  TokenError,
  type VerifyToken
} from '../services/auth/tokens.ts'
import { errors, refusals } from '../services/errors.ts'
import type { UnauthorizedReason } from '../services/protocol/index.ts'
import { isRevokedIn } from '../services/store/revocation.ts'

declare module 'fastify' {
  interface FastifyInstance {
    auth: {
      /** Verifies a user's token. */
      verify: VerifyToken
      /** `onRequest` of routes that publish, recall and look at one notification: the scope `publish` or `admin`. Sets `request.publisher`. */
      service: (request: FastifyRequest) => Promise<void>
      /** `onRequest` of the other routes of a user: the scope `admin`, or `publish` unless `STRICT_SCOPES`. Sets `request.publisher`. */
      users: (request: FastifyRequest) => Promise<void>
      /** `onRequest` of the erasure: the scope `admin`. Sets `request.publisher`. */
      admin: (request: FastifyRequest) => Promise<void>
      /** `onRequest` of the user's own routes: the user's token. Sets `request.user`. */
      user: (request: FastifyRequest) => Promise<void>
      /** Returns the error that answers the refusal of a token in HTTP. */
      refusal: (refusal: UnauthorizedReason, cause?: unknown) => Error
    }
  }
  interface FastifyRequest {
    /** The owner of idempotency keys and of the limit per publisher: `sub:<subject>` or `key:<digest>`. */
    publisher: string
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    user: Claims
  }
}

/** For each scope, those that include it. */
const GRANTED_BY: Record<Scope, readonly Scope[]> = { publish: ['publish', 'admin'], admin: ['admin'] }

/**
 * Authenticates users and services. The kind of the configured key decides the algorithms, `exp` is required, and `sub` must be a valid user.
 *
 * @fastify/jwt verifies with a secret or a public key, `KeySet` with keys that rotate: fast-jwt has no choice among the keys of a set.
 */
export default fp(
  async (app) => {
    const { JWT_PUBLIC_KEY, JWKS_URL, JWT_ISSUER, JWT_AUDIENCE, MAX_TOKEN_LIFETIME_SECONDS, API_KEYS, STRICT_SCOPES } = app.config
    const apiKeys = new ApiKeys(API_KEYS)
    let verify: VerifyToken
    if (JWKS_URL !== '') {
      const onFailure = (err: unknown): void => app.log.warn({ err, url: JWKS_URL }, 'the key set could not be fetched')
      verify = new KeySet({ url: JWKS_URL, issuer: JWT_ISSUER, audience: JWT_AUDIENCE, onFailure }).verify
      if (!app.hasRequestDecorator('user')) app.decorateRequest('user')
    } else {
      await app.register(jwt, {
        // The embedding app may have registered the plugin as well, with the same decorator of requests.
        ...(app.hasRequestDecorator('user') ? { decoratorName: 'belfryUser' } : {}),
        secret: JWT_PUBLIC_KEY === '' ? app.config.JWT_SECRET || app.generatedSecret : { public: JWT_PUBLIC_KEY },
        verify: {
          algorithms: [JWT_PUBLIC_KEY === '' ? 'HS256' : publicKeyAlgorithm(JWT_PUBLIC_KEY)],
          requiredClaims: ['exp', 'sub', ...(JWT_ISSUER === '' ? [] : ['iss']), ...(JWT_AUDIENCE === '' ? [] : ['aud'])],
          ignoreNotBefore: true,
          ...(JWT_ISSUER === '' ? {} : { allowedIss: JWT_ISSUER }),
          ...(JWT_AUDIENCE === '' ? {} : { allowedAud: JWT_AUDIENCE })
        }
      })
      verify = async (token) => checkClaims(verified(app.jwt.verify, token))
    }
    const ofAnyone: VerifyToken = async (token) => {
      if (token === '') throw new TokenError('token_missing')
      checkHeader(token)
      return verify(token)
    }
    const ofUser: VerifyToken = async (token) => {
      const claims = await ofAnyone(token)
      checkRevocable(claims, MAX_TOKEN_LIFETIME_SECONDS * 1000)
      return claims
    }
    const ofService = cachedVerifier(ofAnyone)
    const requireScope = async (request: FastifyRequest, scope: Scope): Promise<void> => {
      const credential = credentialOf(request)
      const holder = apiKeys.holderOf(credential)
      const { name, scopes } = holder === undefined ? await claimedBy(credential) : { name: holder.name, scopes: [holder.scope] }
      if (!GRANTED_BY[scope].some((granting) => scopes.includes(granting))) throw new errors.ScopeMissing(GRANTED_BY[scope].join(' or '))
      request.publisher = name
    }
    const claimedBy = async (token: string): Promise<{ name: string; scopes: string[] }> => {
      const { sub, scopes } = await ofService(token).catch(refuse)
      return { name: `sub:${sub}`, scopes }
    }

    app.decorateRequest('publisher', '')
    app.decorate('auth', {
      verify: ofUser,
      service: (request) => requireScope(request, 'publish'),
      users: (request) => requireScope(request, STRICT_SCOPES ? 'admin' : 'publish'),
      admin: (request) => requireScope(request, 'admin'),
      user: async (request) => {
        const claims = await ofUser(credentialOf(request)).catch(refuse)
        if (await isRevokedIn(app.store, claims)) throw new errors.TokenRevoked()
        request.user = claims
      },
      refusal: (refusal, cause) => refusals[refusal]({ cause })
    })
  },
  { name: 'auth', fastify: '5.x', dependencies: ['error-handler', 'store'] }
)

function credentialOf({ headers }: FastifyRequest): string {
  return bearerToken(headers.authorization) ?? ''
}

function refuse(error: unknown): never {
  throw error instanceof TokenError ? refusals[error.refusal]({ cause: error.cause }) : error
}

function verified(verify: (token: string) => unknown, token: string): Record<string, unknown> {
  try {
    return verify(token) as Record<string, unknown>
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    throw new TokenError(code === 'FAST_JWT_EXPIRED' ? 'token_expired' : 'token_invalid', message)
  }
}
