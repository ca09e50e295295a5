import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Answer } from './protocol/index.ts'

/** The body of every answer that is not a success (RFC 9457), with Fastify's `code`. */
export interface Problem {
  /** `urn:belfry:error:<code>` */
  type: string
  /** The status in words. */
  title: string
  status: number
  detail: string
  /** The id of the request, as in the log. */
  instance: string
  code: string
  /** The places where the request is not valid, as JSON pointers. */
  errors?: { pointer: string; detail: string }[]
  /** Time after which the same request may work, if waiting helps. `Retry-After` is this in whole seconds. */
  retryAfterMs?: number
  /** The first answer, with `BELFRY_ERR_ALREADY_ANSWERED`. */
  answer?: Answer
}

/** Statuses after which the same request may work later, and the time until then if the error has none, milliseconds. */
const RETRY_AFTER_MS: Record<number, number> = { 429: 1000, 503: 2000, 507: 30_000 }

/** Returns the time until a request refused with this error may be sent again, milliseconds; undefined if waiting does not help. */
export function retryAfterOf(error: { statusCode?: number | undefined; retryAfterMs?: number }): number | undefined {
  return error.retryAfterMs ?? RETRY_AFTER_MS[error.statusCode ?? 500]
}

/** Writes a problem to a socket as the last answer of its connection, where Node has no response object. */
export function writeProblem(socket: Socket, problem: Problem, headers: Record<string, string> = {}): void {
  const body = JSON.stringify(problem)
  const all = {
    connection: 'close',
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  socket.write(`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
}
