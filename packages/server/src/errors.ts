import type { Problem } from './types.ts'

/** The properties of an error, besides its code. */
type ErrorParts = Partial<Pick<BelfryError, 'status' | 'problem' | 'temporary' | 'retryAfterMs' | 'cause'>>

/** A failed call. */
export class BelfryError extends Error {
  override name = 'BelfryError'
  /** A code of the service (`BELFRY_ERR_…`), or of this SDK: `BELFRY_SDK_` and NETWORK, TIMEOUT, TOKEN, HTTP, CLOSED or WEBHOOK. */
  readonly code: string
  /** The status of the answer; 0 if there was none. Within a batch it is that of the item. */
  readonly status: number = 0
  /** The body of the answer, if the service gave one. */
  readonly problem: Problem | undefined
  /** The same call may work later. */
  readonly temporary: boolean = false
  /** The wait that the service asked for. */
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, parts: ErrorParts = {}) {
    super(message, parts)
    this.code = code
    Object.assign(this, parts)
  }
}

/** Statuses after which the same request may work: those of an overloaded or restarting service, and of the proxies in front of it. */
const TEMPORARY = [408, 429, 502, 503, 504, 507]

/**
 * Returns the error of an answer, or of an item of a batch.
 *
 * @param body the parsed body, if it is JSON
 * @param retryAfter the header `Retry-After`
 */
export function errorOf(status: number, body: unknown, retryAfter: string | null = null): BelfryError {
  const problem = isProblem(body) ? body : undefined
  return new BelfryError(problem?.code ?? 'BELFRY_SDK_HTTP', problem?.detail ?? `The service answered ${status}`, {
    status,
    problem,
    temporary: TEMPORARY.includes(status),
    retryAfterMs: problem?.retryAfterMs ?? millisecondsOf(retryAfter)
  })
}

function isProblem(body: unknown): body is Problem {
  return typeof (body as Problem | undefined)?.code === 'string'
}

/** Reads `Retry-After`: seconds, or an HTTP date. */
function millisecondsOf(retryAfter: string | null): number | undefined {
  if (retryAfter === null) return undefined
  const ms = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
