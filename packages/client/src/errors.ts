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

  constructor(code: string, message: string, temporary = true) {
    super(message)
    this.code = code
    this.temporary = temporary
  }
}

export function disconnected(): BelfryError {
  return new BelfryError('BELFRY_CLIENT_DISCONNECTED', 'disconnected')
}
