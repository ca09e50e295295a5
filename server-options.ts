import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type {
  FastifyError,
  FastifyHttpOptions,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifyServerFactory,
  RawServerDefault
} from 'fastify'
import type { Config } from './config.ts'
import { clientAddress, proxyTrust } from './services/connection/client-address.ts'
import { afterAnswers } from './services/connection/upgrade-gate.ts'
import { type BelfryError, errors } from './services/errors.ts'
import { newId } from './services/ids.ts'
import { redactUrl } from './services/node/redact-url.ts'
import { writeProblem } from './services/problem.ts'

/** Fields of a request in the log: never its headers, its body or a token in its URL. */
const serializers = {
  req: (request: FastifyRequest) => ({
    method: request.method,
    url: redactUrl(request.url),
    remoteAddress: clientAddress(request.ip, request.socket?.remoteAddress)
  })
}

/** Largest body that a route takes unless it names a limit of its own, bytes. */
const BODY_LIMIT = 262_144

/** The deadlines of requests are looked after this often, so that they hold within as much, milliseconds. */
const CHECKING_INTERVAL_MS = 1000

/** A peer that takes nothing of an answer for this long loses its connection, milliseconds. Sockets of connections have deadlines of their own. */
const STALL_MS = 60_000

/** A plugin that takes longer to start has hung; on a machine with more to do than it can, loading one takes many seconds. */
const PLUGIN_TIMEOUT_MS = 60_000

/** Request ids of callers and proxies that are taken: UUIDs, trace ids and the like. A JWT has dots, and never gets into the log this way. */
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/

/** Returns the caller's `x-request-id`, else an id that is unique over all nodes. */
function requestId({ headers }: { headers: IncomingHttpHeaders }): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : newId()
}

/**
 * Options of the HTTP server. Each state that a slow or hostile peer could wait in has a deadline.
 *
 * @param log destination of log lines; default: stdout
 */
export function serverOptions(config: Config, log?: { write(line: string): void }): FastifyHttpOptions<RawServerDefault> {
  return {
    logger: { level: config.LOG_LEVEL, serializers, ...(log === undefined ? {} : { stream: log }) },
    genReqId: requestId,
    trustProxy: config.TRUST_PROXY.length === 0 ? false : proxyTrust(config.TRUST_PROXY),
    serverFactory,
    bodyLimit: BODY_LIMIT,
    pluginTimeout: PLUGIN_TIMEOUT_MS,
    routerOptions: { maxParamLength: 512 },
    return503OnClosing: false,
    clientErrorHandler,
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply as FastifyReply)
  }
}

/** Makes the one server of a process. With a factory Fastify makes none of its own for the second loopback, which would have its own rules. */
const serverFactory: FastifyServerFactory<Server> = (handler) => {
  const server = createServer(
    {
      requestTimeout: 13_000,
      headersTimeout: 8000,
      keepAliveTimeout: 65_000,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
      maxHeaderSize: 16_384,
      joinDuplicateHeaders: true,
      // Node would answer without a body: a hook answers with a problem.
      requireHostHeader: false
    },
    handler
  )
  server.timeout = STALL_MS
  return server
}

/** Answers a request that comes to no route. */
export function sendProblem(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const problem = request.server.problemOf(error, request.id)
  reply.header('x-request-id', request.id).code(problem.status).type('application/problem+json').send(problem)
}

/** Sockets whose peer broke HTTP. */
const broken = new WeakSet<Socket>()

/**
 * Answers bytes that are not an HTTP request, after the answers to the requests before them. The error is not logged: it holds the bytes that
 * came, and a token may be among them.
 */
export function clientErrorHandler(
  this: FastifyInstance,
  error: NodeJS.ErrnoException,
  socket: Socket & { _httpMessage?: ServerResponse | null }
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || broken.has(socket)) return
  broken.add(socket)
  this.log.debug({ code: error.code }, 'a request could not be read')
  afterAnswers(socket, () => {
    const answered = socket._httpMessage?.headersSent === true
    if (socket.writable && !answered) writeProblem(socket, this.problemOf(clientError(error.code), ''))
    socket.destroy(error)
  })
}

function clientError(code: string | undefined): BelfryError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new errors.RequestTimeout()
  return code === 'HPE_HEADER_OVERFLOW' ? new errors.HeadersTooLarge() : new errors.InvalidRequest('it is not HTTP')
}
