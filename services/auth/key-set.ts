import { createLocalJWKSet, type JWTVerifyResult, type errors as joseErrors, jwtVerify } from 'jose'
import { errors } from '../errors.ts'
import { checkClaims, PUBLIC_KEY_ALGORITHMS, TokenError, type VerifyToken } from './tokens.ts'

/** Shortest time between two fetches that unknown keys cause, milliseconds. */
const JWKS_COOLDOWN_MS = 10_000
/** Age at which a key set is fetched again before it is used, milliseconds. */
const MAX_AGE_MS = 600_000
/** Shortest time between two attempts to fetch a key set that is needed, milliseconds. */
const RETRY_MS = 1000
/** Longest time that one fetch may take, milliseconds. */
const FETCH_TIMEOUT_MS = 5000

/** `nbf` may lie this far ahead of the node's clock, seconds. `exp` has no leeway. */
const LEEWAY_SECONDS = 30

type LocalKeys = ReturnType<typeof createLocalJWKSet>

interface KeySetOptions {
  url: string
  /** `iss` that a token must have; '' accepts any. */
  issuer: string
  /** `aud` that a token must have; '' accepts any. */
  audience: string
  /** Called with the error of each fetch that failed. */
  onFailure: (error: unknown) => void
  /** Default: {@link JWKS_COOLDOWN_MS}. */
  cooldownMs?: number
}

/**
 * Verifies tokens against a JSON Web Key Set that may rotate (RFC 7517).
 *
 * The set is fetched when it is first needed, every ten minutes of use, and when a token was signed by a key it does not have, at most once
 * per cooldown. During the cooldown such a token is answered with KeyUnknown, which is temporary: its issuer may have added the key a moment
 * ago. If the set cannot be fetched, the answer is KeysUnavailable.
 */
export class KeySet {
  readonly #options: Required<KeySetOptions>
  #keys: LocalKeys | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #nextAttemptAt = Number.NEGATIVE_INFINITY
  #lastFetchFailed = false
  #fetching: Promise<void> | undefined

  constructor(options: KeySetOptions) {
    this.#options = { cooldownMs: JWKS_COOLDOWN_MS, ...options }
  }

  readonly verify: VerifyToken = async (token) => {
    if (this.#keys === undefined || performance.now() - this.#fetchedAt > MAX_AGE_MS) await this.#fetch()
    const known = await this.#tryKeys(token)
    if (known !== undefined) return checkClaims(known.payload)
    const waitMs = this.#nextAttemptAt - performance.now()
    if (waitMs > 0 && !this.#lastFetchFailed) throw Object.assign(new errors.KeyUnknown(), { retryAfterMs: Math.ceil(waitMs) })
    await this.#fetch()
    const fetched = await this.#tryKeys(token)
    if (fetched === undefined) throw new TokenError('token_invalid', 'the key set has no key for it')
    return checkClaims(fetched.payload)
  }

  /**
   * Returns the verified token, or undefined if its key may be missing from the set: no key has its `kid`, or it has no `kid` and no key fits
   * its signature.
   *
   * @throws TokenError
   */
  async #tryKeys(token: string): Promise<JWTVerifyResult | undefined> {
    const { issuer, audience } = this.#options
    const options = {
      algorithms: [...PUBLIC_KEY_ALGORITHMS],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: LEEWAY_SECONDS,
      ...(issuer === '' ? {} : { issuer }),
      ...(audience === '' ? {} : { audience })
    }
    const keys = this.#keys as LocalKeys
    let failure: unknown
    try {
      return await jwtVerify(token, keys, options)
    } catch (error) {
      failure = error
    }
    if (codeOf(failure) === 'ERR_JWKS_MULTIPLE_MATCHING_KEYS') {
      for await (const key of failure as InstanceType<typeof joseErrors.JWKSMultipleMatchingKeys>) {
        try {
          return await jwtVerify(token, key, options)
        } catch (error) {
          failure = error
          if (codeOf(error) !== SIGNATURE_FAILED) break
        }
      }
    }
    const code = codeOf(failure)
    const id = keyIdOf(token)
    const isKnown = id !== undefined && keys.jwks().keys.some(({ kid }) => kid === id)
    if (code === 'ERR_JWKS_NO_MATCHING_KEY' && !isKnown) return undefined
    if (code === SIGNATURE_FAILED && id === undefined) return undefined
    throw new TokenError(code === 'ERR_JWT_EXPIRED' ? 'token_expired' : 'token_invalid', (failure as Error).message)
  }

  /** Fetches the key set. Callers during a fetch share it. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  /** @throws KeysUnavailable */
  async #fetchNow(): Promise<void> {
    const waitMs = this.#nextAttemptAt - performance.now()
    if (waitMs > 0) throw Object.assign(new errors.KeysUnavailable(), { retryAfterMs: Math.ceil(waitMs) })
    const isStale = this.#keys === undefined || performance.now() - this.#fetchedAt > MAX_AGE_MS
    this.#nextAttemptAt = performance.now() + (isStale ? RETRY_MS : this.#options.cooldownMs)
    try {
      const response = await fetch(this.#options.url, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS)
      })
      if (!response.ok) throw new Error(`the key set was answered with status ${response.status}`)
      this.#keys = createLocalJWKSet((await response.json()) as Parameters<typeof createLocalJWKSet>[0])
    } catch (error) {
      this.#lastFetchFailed = true
      this.#options.onFailure(error)
      throw new errors.KeysUnavailable({ cause: error })
    }
    this.#lastFetchFailed = false
    this.#fetchedAt = performance.now()
    this.#nextAttemptAt = this.#fetchedAt + this.#options.cooldownMs
  }
}

const SIGNATURE_FAILED = 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED'

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code
}

function keyIdOf(token: string): unknown {
  return (JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString()) as { kid?: unknown }).kid
}
