/** A call that was refused because the database was known to be away: it was not sent, and nothing can come of it. */
export class Unsent extends Error {}

/** Whether a call that failed may have been carried out all the same. */
export function maybeCarriedOut(error: unknown): boolean {
  return !(error instanceof Unsent || (error instanceof Error && error.cause instanceof Unsent))
}
