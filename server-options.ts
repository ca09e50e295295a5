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

/** Fields of a request in the log. Headers, bodies and tokens in URLs are never logged. */
export const logSerializers = {
  req: (request: FastifyRequest) => ({
    method: request.method,
    url: redactUrl(request.url),
    remoteAddress: clientAddress(request.ip, request.socket?.remoteAddress)
  })
}

/** Largest body that a route takes unless it names a limit of its own, bytes. */
const BODY_LIMIT = 262_144

/** Period at which the server checks the deadlines of requests, and so their precision, milliseconds. */
const CHECKING_INTERVAL_MS = 1000

/** Time without progress after which the server closes a socket, milliseconds. WebSockets and event streams have deadlines of their own. */
const STALL_MS = 60_000

/** Time after which the start of a plugin counts as hung, milliseconds. On an overloaded machine, loading one takes many seconds. */
const PLUGIN_TIMEOUT_MS = 60_000

/** Request ids that are accepted from callers and proxies: UUIDs, trace ids and the like. A JWT has dots, so none gets into the log this way. */
const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/

/** Returns the caller's `x-request-id`, else an id that is unique over all nodes. */
export function requestId({ headers }: { headers: IncomingHttpHeaders }): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : newId()
}

/**
 * Returns the options of the HTTP server. Each state in which a slow or hostile peer could hold a socket has a deadline.
 *
 * @param log destination of log lines; default: stdout
 */
export function serverOptions(config: Config, log?: { write(line: string): void }): FastifyHttpOptions<RawServerDefault> {
  return {
    logger: { level: config.LOG_LEVEL, serializers: logSerializers, ...(log === undefined ? {} : { stream: log }) },
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

/** Creates the one server of the process. With a factory, Fastify does not create another for the second loopback, without these options. */
const serverFactory: FastifyServerFactory<Server> = (handler) => {
  const server = createServer(
    {
      requestTimeout: 13_000,
      headersTimeout: 8000,
      keepAliveTimeout: 65_000,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
      maxHeaderSize: 16_384,
      joinDuplicateHeaders: true,
      // Node would answer with an empty 400. The hook in `plugins/security.ts` answers with a problem.
      requireHostHeader: false
    },
    handler
  )
  server.timeout = STALL_MS
  return server
}

/** Answers an error of a request that reaches no route. */
export function sendProblem(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const problem = request.server.problemOf(error, request.id)
  reply.header('x-request-id', request.id).code(problem.status).type('application/problem+json').send(problem)
}

/** Sockets whose peer broke HTTP. */
const broken = new WeakSet<Socket>()

/**
 * Answers bytes that are not an HTTP request, after the answers to earlier requests of the same socket. The error is not logged: it contains
 * the bytes, and a token may be among them.
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
