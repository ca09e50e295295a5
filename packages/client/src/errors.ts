import type { Answer } from '../../../services/protocol/index.ts'

/** A failed call. */
export class BelfryError extends Error {
  /** A page that loads two modules from the service has this class twice, since each module is complete. `instanceof` accepts both. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'BelfryError'
  }

  override name = 'BelfryError'
  /** A code of the service, or `BELFRY_CLIENT_` and DISCONNECTED, TIMEOUT or HTTP. */
  readonly code: string
  /** The same call may work later. */
  readonly temporary: boolean
  /** The first answer, if the code is BELFRY_ERR_ALREADY_ANSWERED. */
  readonly answer: Answer | undefined

  constructor(code: string, message: string, temporary = true, answer?: Answer) {
    super(message)
    this.code = code
    this.temporary = temporary
    this.answer = answer
  }
}

export function disconnected(): BelfryError {
  return new BelfryError('BELFRY_CLIENT_DISCONNECTED', 'disconnected')
}
