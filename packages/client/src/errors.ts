/** The error of a call that failed. */
export class BelfryError extends Error {
  /** Modules that the service serves are complete: a page that loads two of them has two of this class, and `instanceof` takes both. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'BelfryError'
  }

  override name = 'BelfryError'
  /** A code of the service, or `BELFRY_CLIENT_…`: DISCONNECTED, TIMEOUT, HTTP. */
  readonly code: string
  /** The same call may work later. */
  readonly temporary: boolean

  constructor(code: string, message: string, temporary = true) {
    super(message)
    this.code = code
    this.temporary = temporary
  }
}
