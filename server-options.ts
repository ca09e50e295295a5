import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyHttpOptions, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify'
import type { Config } from './config.ts'
import { redactUrl } from './services/connection/upgrade.ts'
import { type BelfryError, errors } from './services/errors.ts'

/** What reaches the log of a request: never its headers, its body or a token in its URL. */
const serializers = {
  req: (request: FastifyRequest) => ({ method: request.method, url: redactUrl(request.url), remoteAddress: request.ip })
}

/** The deadlines of requests are looked after this often, so that they hold within as much, milliseconds. */
const CHECKING_INTERVAL_MS = 1000

/** A plugin that takes longer to start has hung; on a machine with more to do than it can, loading one takes many seconds. */
const PLUGIN_TIMEOUT_MS = 60_000

/** Options of the HTTP server: everything that a slow or hostile peer could wait in has a deadline. */
export function serverOptions(config: Config): FastifyHttpOptions<RawServerDefault> {
  return {
    logger: { level: config.LOG_LEVEL, serializers },
    trustProxy: config.TRUST_PROXY.length === 0 ? false : config.TRUST_PROXY,
    requestTimeout: 13_000,
    connectionTimeout: 0,
    keepAliveTimeout: 65_000,
    bodyLimit: 262_144,
    pluginTimeout: PLUGIN_TIMEOUT_MS,
    routerOptions: { maxParamLength: 512 },
    http: { headersTimeout: 8000, connectionsCheckingInterval: CHECKING_INTERVAL_MS, maxHeaderSize: 16_384, joinDuplicateHeaders: true },
    return503OnClosing: false,
    clientErrorHandler,
    frameworkErrors: (error, request, reply) => refuseUrl(error, request, reply as FastifyReply)
  }
}

/** Answers a URL that comes to no route. */
function refuseUrl(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const problem = request.server.problemOf(error, request.id)
  reply.code(problem.status).type('application/problem+json').send(problem)
}

/** Answers what is no HTTP request. The error is not logged: it holds the bytes that came, and a token may be among them. */
function clientErrorHandler(this: FastifyInstance, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  this.log.debug({ code: error.code }, 'a request could not be read')
  if (socket.writable) {
    const problem = this.problemOf(clientError(error.code), '')
    const body = JSON.stringify(problem)
    const head = `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nconnection: close\r\ncontent-type: application/problem+json`
    socket.write(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  }
  socket.destroy(error)
}

function clientError(code: string | undefined): BelfryError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new errors.RequestTimeout()
  return code === 'HPE_HEADER_OVERFLOW' ? new errors.HeadersTooLarge() : new errors.InvalidRequest('it is not HTTP')
}
