/** Returns the reason in an error message, without the addresses in the source of OpenSSL that surround it. */
export function failureReason(message: string): string {
  return /:SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? message
}
