/** What a call that failed rejects with. */
export class BelfryError extends Error {
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
