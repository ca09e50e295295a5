import type { Answer, ErrorFrame } from '../../../services/protocol/index.ts'

/** A failed call. */
export class BelfryError extends Error {
  /** A page that loads two modules from the service has this class twice, since each module is complete. `instanceof` accepts both. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'BelfryError'
  }

  override name = 'BelfryError'
  /** A code of the service, or `BELFRY_CLIENT_` and DISCONNECTED, TIMEOUT or HTTP. */
  declare readonly code: string
  /** The same call may work later. */
  declare readonly temporary: boolean
  /** The first answer, if the code is BELFRY_ERR_ALREADY_ANSWERED. */
  declare readonly answer: Answer | undefined

  constructor(code: string, message: string, temporary = true, answer?: Answer) {
    super(message)
    Object.assign(this, { code, temporary, answer })
  }
}

/** Returns the error of this side as a frame. */
export function failure(name: string, message: string): ErrorFrame {
  return { type: 'error', code: `BELFRY_CLIENT_${name}`, message, temporary: true }
}

export function disconnected(): ErrorFrame {
  return failure('DISCONNECTED', 'disconnected')
}

export function errorOf({ code, message, temporary, answer }: ErrorFrame): BelfryError {
  return new BelfryError(code, message, temporary, answer)
}
