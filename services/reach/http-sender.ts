import './built-in-fetch.ts'
import { Agent, Pool, request } from 'undici'
import { restoreFetch } from './built-in-fetch.ts'
import { DomainLookups } from './domain-lookups.ts'
import { KeptConnection } from './kept-connection.ts'
import type { Attempt } from './outcome.ts'

/** Longest time of a call, from the lookup of the host to the end of the answer, milliseconds. */
const CALL_MS = 10_000
/** Largest part of an answer that is read, bytes. A connection with a longer answer is closed. */
const ANSWER_BYTES = 65_536
/** Bytes of an answer that undici holds before it stops to read. It must not stop: see `restoreFetch()`. */
const HELD_BYTES = 16 * ANSWER_BYTES
/** Time after which an unused connection is closed, milliseconds. */
const KEEP_ALIVE_MS = 30_000

restoreFetch()

/** One request that leaves Belfry. */
export interface OutgoingRequest {
  url: string
  headers: Record<string, string>
  body: Buffer | string
}

export interface SenderOptions {
  /** Connections to one host. */
  connectionsPerHost: number
  /** Default: {@link CALL_MS}. */
  timeoutMs?: number
}

/** Sends requests by POST. A receiver can neither hold a call for longer than 10 s, nor redirect it, nor fill the memory with its answer. */
export class HttpSender {
  readonly #agent: Agent
  readonly #timeoutMs: number
  readonly #connectionsPerHost: number
  /** The calls in flight. A signal for all of them, combined with one per call, would keep each of these alive. */
  readonly #inFlight = new Set<AbortController>()

  constructor({ connectionsPerHost, timeoutMs = CALL_MS }: SenderOptions) {
    this.#timeoutMs = timeoutMs
    this.#connectionsPerHost = connectionsPerHost
    this.#agent = new Agent({
      factory: (origin, options) => new Pool(origin, { ...options, factory: (origin, options) => new KeptConnection(origin, options) }),
      connections: connectionsPerHost,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: { timeout: timeoutMs, lookup: new DomainLookups().lookup }
    })
  }

  /**
   * Sends a request. Resolves with the status of the answer also if the rest of it could not be read. A request that met a connection which the host
   * had closed is sent again on another one. Never rejects.
   */
  async send(outgoing: OutgoingRequest): Promise<Attempt> {
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(), this.#timeoutMs)
    this.#inFlight.add(controller)
    try {
      for (let closed = 0; ; closed++) {
        try {
          return await this.#request(outgoing, controller.signal)
        } catch (error) {
          const isSentAgain = KeptConnection.hadClosed(error) && closed < this.#connectionsPerHost && !controller.signal.aborted
          if (!isSentAgain) return { status: 'unreachable', reason: this.#reasonOf(error, controller.signal) }
        }
      }
    } finally {
      clearTimeout(timer)
      this.#inFlight.delete(controller)
    }
  }

  #reasonOf(error: unknown, { aborted }: AbortSignal): string {
    if (aborted) return `no answer within ${this.#timeoutMs / 1000} s`
    const { code, message } = error as NodeJS.ErrnoException
    return code ?? message
  }

  /** Aborts the calls in flight, and closes all connections. */
  async close(): Promise<void> {
    for (const controller of this.#inFlight) controller.abort()
    await this.#agent.destroy()
  }

  async #request({ url, headers, body }: OutgoingRequest, signal: AbortSignal): Promise<Attempt> {
    // undici follows no redirect unless its dispatcher is made to.
    const response = await request(url, { method: 'POST', headers, body, dispatcher: this.#agent, highWaterMark: HELD_BYTES, signal })
    const retryAfter = response.headers['retry-after']
    // Once the answer is read, the connection can be used again.
    await response.body.dump({ limit: ANSWER_BYTES, signal }).catch(() => undefined)
    return { status: response.statusCode, retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter }
  }
}
