import { BelfryError } from './errors.ts'
import type { BelfryOptions } from './types.ts'

/** A token is replaced this long before it expires, or after nine tenths of a shorter life, milliseconds. */
const MARGIN_MS = 10_000
/** Longest time for `getToken`, milliseconds. */
const GET_TOKEN_MS = 10_000

/** The API key, or the token in use. */
export class Credential {
  readonly #getToken: (() => string | Promise<string>) | undefined
  #token: string | undefined
  /** Unix milliseconds; NaN: never. */
  #replaceAt = Number.NaN
  #fetching: Promise<string> | undefined

  constructor({ apiKey, getToken }: BelfryOptions) {
    if ((apiKey === undefined) === (getToken === undefined)) throw new TypeError('give either apiKey or getToken')
    this.#token = apiKey
    this.#getToken = getToken
  }

  /** Returns the key, or a token that is valid for a while. Concurrent calls share one fetch. Rejects with BELFRY_SDK_TOKEN. */
  async get(): Promise<string> {
    if (this.#token !== undefined && !(Date.now() >= this.#replaceAt)) return this.#token
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  /** Drops a token that the service refused. Returns false for an API key, which cannot be replaced. */
  refuse(token: string): boolean {
    if (this.#getToken === undefined) return false
    if (this.#token === token) this.#token = undefined
    return true
  }

  async #fetch(): Promise<string> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('getToken did not settle in 10 s')), GET_TOKEN_MS)
    })
    try {
      const token = await Promise.race([this.#getToken?.(), late])
      if (typeof token !== 'string' || token === '') throw new TypeError('getToken must return a token as a string')
      this.#replaceAt = replacementTime(token)
      this.#token = token
      return token
    } catch (cause) {
      throw new BelfryError('BELFRY_SDK_TOKEN', `There is no token: ${(cause as Error).message}`, { cause })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Returns the time at which a token is to be replaced, Unix milliseconds; NaN if it has no `exp` that can be read. */
function replacementTime(token: string): number {
  const now = Date.now()
  try {
    const payload = token.split('.')[1] as string
    const { exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { exp: number }
    const leftMs = exp * 1000 - now
    return now + Math.max(leftMs - MARGIN_MS, leftMs * 0.9)
  } catch {
    return Number.NaN
  }
}
