/** A call that was refused because its master was known to be unavailable. The call was not sent, so it has no effect. */
export class CommandNotSent extends Error {}

/** Returns whether a call that failed may have been carried out, now or later. */
export function mayBeCarriedOut(error: unknown): boolean {
  return !(error instanceof CommandNotSent || (error instanceof Error && error.cause instanceof CommandNotSent))
}
