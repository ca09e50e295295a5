import { attempt } from './attempt.ts'
import { deadline } from './deadline.ts'
import type { Platform } from './platform.ts'
import type { BelfryOptions, TokenContext } from './types.ts'

/** A token that expires within this time is not used for a new connection, milliseconds. */
const MARGIN_MS = 5000
/** A request that a half-dead network lost never settles. A token that comes later is not used: it may be older than that of the next call. */
const GET_TOKEN_MS = 10_000
/** The characters of a WebSocket subprotocol (RFC 6455 §4.1). HTML, JSON, `[object Object]` and "Bearer …" have others. */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/

interface Claims {
  sub?: string
  exp?: number
}

/** The token in use. Fetches a token if there is none, if it is about to expire, and if it was refused. */
export class Tokens {
  readonly #platform: Platform
  readonly #getToken: BelfryOptions['getToken']
  readonly #onUser: (user: string) => void
  #token: string | undefined
  /** Unix seconds; undefined for a token that does not expire, or whose end cannot be read. */
  #expiresAt: number | undefined
  #reason: TokenContext['reason'] = 'connect'
  #fetching: Promise<string> | undefined
  #drops = 0
  #hasWarned = false
  /** The number of tokens fetched so far. */
  fetches = 0
  /** The token's `sub`; undefined if it cannot be read. */
  user: string | undefined
  /** The newest token, also after it was dropped: for the last requests of its user. '' before the first one. */
  newest = ''

  /** @param onUser called with the user of each new token, before any caller gets the token */
  constructor(platform: Platform, getToken: BelfryOptions['getToken'], onUser: (user: string) => void) {
    this.#platform = platform
    this.#getToken = getToken
    this.#onUser = onUser
  }

  /**
   * Returns the token in use, or fetches one. Rejects with the error of `getToken`, with an Error after 10 s, or with a TypeError if
   * `getToken` gave no token, which is written to the console once. Concurrent calls share one fetch.
   */
  async get(): Promise<string> {
    if (this.#token && !this.#isExpiring()) return this.#token
    this.#fetching ??= this.#fetch()
    return this.#fetching
  }

  /** Drops the token in use, and the one that is being fetched: neither is used again. */
  drop(reason: TokenContext['reason'] = 'connect'): void {
    this.#token = undefined
    this.#fetching = undefined
    this.#drops++
    this.#reason = reason
  }

  #isExpiring(): boolean {
    return this.#expiresAt !== undefined && this.#platform.now() >= this.#expiresAt * 1000 - MARGIN_MS
  }

  async #fetch(): Promise<string> {
    const drops = this.#drops
    try {
      const asked = (async () => this.#getToken({ reason: this.#reason }))()
      const given: unknown = await deadline(this.#platform, GET_TOKEN_MS, asked, 'getToken')
      return drops === this.#drops ? this.#accept(given) : this.get()
    } finally {
      if (drops === this.#drops) this.#fetching = undefined
    }
  }

  /** @throws TypeError if the value is not a token */
  #accept(given: unknown): string {
    const token = typeof given === 'string' ? given.trim() : ''
    if (!TOKEN.test(token)) {
      const message = `getToken gave no token: expected a JWT as a string, got ${typeof given === 'string' ? 'other text' : typeof given}`
      if (!this.#hasWarned) this.#platform.warn(`Belfry: ${message}`)
      this.#hasWarned = true
      throw new TypeError(message)
    }
    const base64 = token.replaceAll('-', '+').replaceAll('_', '/')
    // If the token is not a JWT, `hello` names the user.
    // `atob` gives one character per byte. The old `escape` writes each as `%xx`, so that the text is read as UTF-8.
    const claims = attempt<Claims>(() => JSON.parse(decodeURIComponent(escape(this.#platform.atob(base64.split('.')[1] as string)))))
    this.user = claims?.sub
    this.#expiresAt = claims?.exp
    this.#reason = 'connect'
    this.#token = token
    this.fetches++
    if (this.user) this.#onUser(this.user)
    this.newest = token
    return token
  }
}
