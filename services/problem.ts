/** The body of every answer that is not a success (RFC 9457), with Fastify's `code` kept. */
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
  /** Where the request is not valid: JSON pointers. */
  errors?: { pointer: string; detail: string }[]
}
