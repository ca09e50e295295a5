import { Agent, request } from 'node:http'

/** Requests in flight to one node before more have to wait for a socket. */
const SOCKETS = 128

/** How long a publish may take to be answered, milliseconds. */
const ANSWER_MS = 15_000

/** Publishes over REST to one node, on sockets that are kept. */
export class Poster {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS })
  readonly #port: number
  readonly #token: string

  constructor(port: number, token: string) {
    this.#port = port
    this.#token = token
  }

  /** Status of the answer; 0 when there was none. */
  publish(to: string, data: Record<string, unknown>): Promise<number> {
    const body = JSON.stringify({ to, type: 'bench', title: 'A notification of usual length', ref: '/bench/1', data })
    const headers = {
      authorization: `Bearer ${this.#token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body)
    }
    return new Promise((resolve) => {
      const options = { port: this.#port, host: '127.0.0.1', method: 'POST', path: '/v1/notifications', headers, agent: this.#agent }
      const call = request({ ...options, timeout: ANSWER_MS }, (response) => {
        response.resume()
        response.on('close', () => resolve(response.statusCode ?? 0))
      })
      call.on('timeout', () => call.destroy())
      call.on('error', () => resolve(0))
      call.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/**
 * Calls `fire` for 0 to `count - 1`, number `k` as soon as it is due, at `start + k / rate`, whatever became of those before: an open loop. What
 * the loop is late by is told, since a latency counts from `due`.
 *
 * @param rate a second
 */
export function openLoop(count: number, rate: number, fire: (index: number, due: number, now: number) => void): Promise<void> {
  const start = performance.now()
  return new Promise((resolve) => {
    let index = 0
    const tick = (): void => {
      const now = performance.now()
      for (; index < count; index++) {
        const due = start + (index * 1000) / rate
        if (due > now) break
        fire(index, due, now)
      }
      if (index === count) resolve()
      else setTimeout(tick, Math.max(0, Math.floor(start + (index * 1000) / rate - now)))
    }
    tick()
  })
}
