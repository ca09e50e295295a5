import { backoff } from './backoff.ts'
import { Credential } from './credential.ts'
import { BelfryError, errorOf } from './errors.ts'
import type { BelfryOptions, CallOptions, FetchLike, FetchReply, SignalLike } from './types.ts'

const DEFAULT_TIMEOUT_MS = 30_000
/** Longest time of one attempt: a connection that answers nothing is replaced after it, milliseconds. */
const ATTEMPT_MS = 10_000

interface Request {
  method: string
  path: string
  body?: string | undefined
  headers?: Record<string, string> | undefined
}

/** The service, over HTTP. */
export class Http {
  readonly timeoutMs: number
  readonly #url: string
  readonly #fetch: FetchLike
  readonly #credential: Credential

  /** @throws TypeError if the url is not http(s), or an option is not valid */
  constructor(url: string, options: BelfryOptions) {
    const { protocol, origin, pathname } = new URL(url)
    if (!/^https?:$/.test(protocol)) throw new TypeError(`the url must be http or https, not ${protocol}`)
    this.#url = origin + pathname.replace(/\/+$/, '')
    this.#fetch = options.fetch ?? ((to, request) => fetch(to, request))
    this.#credential = new Credential(options)
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    if (!(this.timeoutMs > 0 && this.timeoutMs < 2 ** 31)) throw new TypeError('timeoutMs must be positive, and below 2^31')
  }

  /**
   * Sends a request once, and once more with a new token if the token is refused. Returns the JSON of the answer; undefined if it has none.
   * Rejects with a BelfryError, or with the reason of `signal`.
   */
  async send(request: Request, timeoutMs = Math.min(ATTEMPT_MS, this.timeoutMs), signal?: SignalLike): Promise<unknown> {
    const token = await this.#token(timeoutMs, signal)
    try {
      return await this.#attempt(request, token, timeoutMs, signal)
    } catch (error) {
      if ((error as BelfryError).status !== 401 || !this.#credential.refuse(token)) throw error
      return await this.#attempt(request, await this.#token(timeoutMs, signal), timeoutMs, signal)
    }
  }

  /** Returns the credential. Other calls may share its fetch, so the timeout and the signal of one call end the wait of that call alone. */
  #token(timeoutMs: number, signal: SignalLike | undefined): Promise<string> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw signal.reason
      const cancel = (): void => reject(signal?.reason)
      const timer = setTimeout(
        () => reject(new BelfryError('BELFRY_SDK_TOKEN', 'There is no token: getToken did not settle in time')),
        timeoutMs
      )
      signal?.addEventListener('abort', cancel, { once: true })
      const settled = this.#credential.get().then(resolve, reject)
      void settled.finally(() => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', cancel)
      })
    })
  }

  /**
   * Sends a request that may be repeated, and repeats it after temporary failures, until `timeoutMs` have passed. A 404 to a repeated DELETE is a
   * success: an earlier attempt deleted it, and its answer was lost.
   */
  async retry(method: string, path: string, { signal }: CallOptions = {}, body?: object): Promise<unknown> {
    const deadline = performance.now() + this.timeoutMs
    for (let failures = 1; ; failures++) {
      if (signal?.aborted) throw signal.reason
      try {
        const request = { method, path, body: body && JSON.stringify(body) }
        return await this.send(request, Math.min(ATTEMPT_MS, deadline - performance.now()), signal)
      } catch (error) {
        const { status, temporary, retryAfterMs } = error as BelfryError
        if (method === 'DELETE' && status === 404 && failures > 1) return undefined
        const waitMs = backoff(failures, retryAfterMs)
        if (!temporary || performance.now() + waitMs >= deadline) throw error
        await pause(waitMs, signal)
      }
    }
  }

  async #attempt({ method, path, body, headers }: Request, token: string, timeoutMs: number, signal?: SignalLike): Promise<unknown> {
    // Aborted while the token was read: a listener would hear nothing of it.
    if (signal?.aborted) throw signal.reason
    const abort = new AbortController()
    const cancel = (): void => abort.abort(signal?.reason)
    const timer = setTimeout(() => abort.abort(new Error('no answer in time')), timeoutMs)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const reply = await this.#fetch(this.#url + path, {
        method,
        headers: {
          ...headers,
          accept: 'application/json',
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' })
        },
        ...(body === undefined ? {} : { body }),
        // A redirect would turn a POST into a GET.
        redirect: 'manual',
        signal: abort.signal
      })
      return bodyOf(reply, await reply.text())
    } catch (cause) {
      if (signal?.aborted) throw signal.reason
      if (cause instanceof BelfryError) throw cause
      throw new BelfryError('BELFRY_SDK_NETWORK', `The service did not answer: ${reasonOf(cause)}`, { temporary: true, cause })
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cancel)
    }
  }
}

/** @throws BelfryError if the answer is not a success, or is not of a Belfry service */
function bodyOf({ status, headers }: FetchReply, text: string): unknown {
  let body: unknown
  try {
    body = text === '' ? undefined : JSON.parse(text)
  } catch {
    if (status < 300) throw new BelfryError('BELFRY_SDK_HTTP', 'The answer is not JSON: is the url that of a Belfry service?', { status })
  }
  if (status < 200 || status > 299) throw errorOf(status, body, headers.get('retry-after'))
  return body
}

/** Returns the reason why a request failed. `fetch` hides it in the cause of its error. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } }
  return cause?.message || cause?.code || message || String(error)
}

/** Waits. Rejects with the reason of the signal when it is aborted. */
function pause(ms: number, signal: SignalLike | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', cancel)
      resolve()
    }, ms)
    signal?.addEventListener('abort', cancel, { once: true })
  })
}
