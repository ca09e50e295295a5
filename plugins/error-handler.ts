import { STATUS_CODES } from 'node:http'
import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, isBelfryError } from '../services/errors.ts'
import { type Problem, retryAfterOf } from '../services/problem.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Turns any error into the problem of its answer (RFC 9457). The text of errors that are not Belfry's own never leaves the process. */
    problemOf: (error: FastifyError, instance: string) => Problem
  }
}

/** Errors of Fastify that a caller can cause, and Belfry's error for each. */
const FASTIFY_ERRORS: Record<string, (error: FastifyError) => FastifyError> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new errors.TooLarge('The body is too large'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new errors.UnsupportedMediaType(),
  FST_ERR_ROUTE_MISSING_CONTENT_TYPE: () => new errors.UnsupportedMediaType(),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new errors.InvalidRequest('the content length does not fit the body'),
  FST_ERR_MAX_PARAM_LENGTH: () => new errors.NotFound('The path is too long'),
  FST_ERR_BAD_URL: () => new errors.InvalidRequest('the URL is not valid'),
  FST_REQ_FILE_TOO_LARGE: () => new errors.TooLarge('The body is too large')
}

/** Headers of a 415, which name the accepted type and coding (RFC 9110 §15.5.16). */
const ACCEPTED = { accept: 'application/json', 'accept-encoding': 'identity' }

/** Answers every failure with `application/problem+json`, from the table in `services/errors.ts`. */
export default fp(
  async (app) => {
    const problemOf = (error: FastifyError, instance: string): Problem => {
      const shown = belfryError(error)
      const { answer, code, statusCode, message } = shown as FastifyError & Pick<Problem, 'answer'>
      const retryAfterMs = retryAfterOf(shown)
      const status = statusCode ?? 500
      const title = STATUS_CODES[status] ?? 'Error'
      const pointers = error.validation?.map(({ instancePath, message: detail = '' }) => ({ pointer: instancePath, detail }))
      return {
        type: `urn:belfry:error:${code}`,
        title,
        status,
        detail: message,
        instance,
        code,
        ...(pointers === undefined ? {} : { errors: pointers }),
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        ...(answer === undefined ? {} : { answer })
      }
    }

    app.decorate('problemOf', problemOf)

    app.setErrorHandler((error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      if (isAborted(error, request)) {
        request.log.debug({ code: error.code }, 'the client closed the connection before its answer')
        return reply.hijack()
      }
      const problem = problemOf(error, request.id)
      logProblem(request.log, problem, error)
      const { retryAfterMs } = problem
      if (retryAfterMs !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(retryAfterMs / 1000)))
      if (problem.status === 415) reply.headers(ACCEPTED)
      return reply.code(problem.status).type('application/problem+json').send(problem)
    })
  },
  { name: 'error-handler', fastify: '5.x' }
)

/** Returns true if the caller closed the connection while its body was read. There is nothing to answer then, and no fault to log. */
function isAborted(error: FastifyError, { raw }: FastifyRequest): boolean {
  return (error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE') && raw.destroyed
}

/** Logs a failure. The cause names a place in the schema or the underlying error, never a value, since values are the publisher's data. */
function logProblem(log: FastifyBaseLogger, { code, status }: Problem, error: FastifyError): void {
  if (code === 'BELFRY_ERR_INTERNAL') return log.error({ err: error, code }, 'request failed')
  const invalid = error.validation?.[0]
  const below = error.cause instanceof Error ? error.cause.message : undefined
  const cause = invalid === undefined ? (below ?? error.code) : `${invalid.keyword} at ${invalid.schemaPath}`
  if (status >= 500) log.warn({ code, cause }, 'request failed')
  else log.info({ code, cause }, 'request refused')
}

function belfryError(error: FastifyError): FastifyError {
  if (isBelfryError(error)) return error
  if (error.validation !== undefined) {
    // A list of recipients, items or ids is as long as its request is large. The number of actions is a range.
    const tooMany = error.validation.some(({ instancePath, keyword }) => keyword === 'maxItems' && !instancePath.endsWith('/actions'))
    return tooMany ? new errors.TooLarge(`Too many items: ${error.message}`) : new errors.InvalidRequest(error.message)
  }
  const known = FASTIFY_ERRORS[error.code]
  if (known !== undefined) return known(error)
  const { statusCode = 500 } = error
  if (statusCode >= 400 && statusCode < 500) return new errors.InvalidRequest(STATUS_CODES[statusCode])
  return new errors.Internal()
}
