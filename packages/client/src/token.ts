import { attempt } from './attempt.ts'
import { deadline } from './deadline.ts'
import type { Platform } from './platform.ts'
import type { BelfryOptions, TokenContext } from './types.ts'

/** A token this close to its end is not used for a new connection, milliseconds. */
const MARGIN_MS = 5000
/** A request that a half-dead network swallowed never settles. */
const GET_TOKEN_MS = 10_000
/** The characters of a WebSocket subprotocol (RFC 6455 §4.1): HTML, JSON, `[object Object]` and "Bearer …" have others. */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/

interface Claims {
  sub?: string
  exp?: number
}

/** The token in use, fetched when there is none, it is about to expire, or it was refused. */
export class Tokens {
  readonly #platform: Platform
  readonly #getToken: BelfryOptions['getToken']
  #token: string | undefined
  /** Unix seconds; undefined for never. */
  #exp: number | undefined
  #reason: TokenContext['reason'] = 'connect'
  #fetching: Promise<string> | undefined
  readonly #found: (user: string) => void
  #warned = false
  /** Tokens fetched so far. */
  fetches = 0
  /** The token's `sub`; undefined when it cannot be read. */
  user: string | undefined

  /** @param found told the user of each new token, before anybody gets the token */
  constructor(platform: Platform, getToken: BelfryOptions['getToken'], found: (user: string) => void) {
    this.#platform = platform
    this.#getToken = getToken
    this.#found = found
  }

  /**
   * Returns the token in use, or fetches one. Rejects with what `getToken` threw, with an Error after 10 s, or with a TypeError if
   * `getToken` gave no token, which is written to the console once. Concurrent calls share one fetch.
   */
  async get(): Promise<string> {
    if (this.#token && !(this.#platform.now() >= (this.#exp as number) * 1000 - MARGIN_MS)) return this.#token
    if (this.#fetching) return this.#fetching
    const fetching: Promise<string> = this.#fetch(() => this.#fetching === fetching).finally(() => {
      if (this.#fetching === fetching) this.#fetching = undefined
    })
    this.#fetching = fetching
    return fetching
  }

  /** The token at hand is not to be used again, nor the one on its way. */
  drop(reason: TokenContext['reason']): void {
    this.#token = undefined
    this.#fetching = undefined
    this.#reason = reason
  }

  /** @param current whether the token was not dropped while it was on its way */
  async #fetch(current: () => boolean): Promise<string> {
    const asked = (async () => this.#getToken({ reason: this.#reason }))()
    const given: unknown = await deadline(this.#platform, GET_TOKEN_MS, asked, 'getToken did not settle in 10 s')
    if (!current()) return this.get()
    const token = typeof given === 'string' ? given.trim() : ''
    if (!TOKEN.test(token)) {
      const message = `getToken gave no token: expected a JWT as a string, got ${typeof given === 'string' ? 'other text' : typeof given}`
      if (!this.#warned) this.#platform.warn(`Belfry: ${message}`)
      this.#warned = true
      throw new TypeError(message)
    }
    const base64 = token.replaceAll('-', '+').replaceAll('_', '/')
    // Of a token that is no JWT `hello` tells the user.
    const claims = attempt<Claims>(() => JSON.parse(this.#platform.atob(base64.split('.')[1] as string)))
    this.user = claims?.sub
    this.#exp = claims?.exp
    this.#reason = 'connect'
    this.#token = token
    this.fetches++
    if (this.user) this.#found(this.user)
    return token
  }
}
