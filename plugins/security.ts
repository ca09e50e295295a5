import type { OutgoingHttpHeaders } from 'node:http'
import perfHooks from 'node:perf_hooks'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import underPressure from '@fastify/under-pressure'
import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'

/** Mean delay of the event loop above which the node sheds load, milliseconds. */
const MAX_EVENT_LOOP_DELAY_MS = 2000

/** Period at which the delay of the event loop is sampled, milliseconds. */
const SAMPLE_MS = 500
/** Resolution of that delay, milliseconds. */
const RESOLUTION_MS = 10

/** Paths that are answered under any load. */
const NEVER_SHED = ['/health/live', '/health/ready', '/metrics']

/**
 * Checks `Host` and `Expect`, sets the response headers and CORS for REST (off unless `CORS_ORIGIN`), and sheds load when the event loop runs
 * late. After half of `CLOSE_GRACE_SECONDS` a stop closes all sockets, so that a peer with half a request does not delay it.
 */
export default fp(
  async (app) => {
    const { CORS_ORIGIN, CLOSE_GRACE_SECONDS } = app.config
    const headers = await securityHeaders()
    app.addHook('onRequest', async (request, reply) => void reply.headers(headers).header('x-request-id', request.id))
    app.addHook('onRequest', async ({ headers: { host, expect }, raw: { httpVersion } }) => {
      if (host === undefined ? httpVersion !== '1.0' : host.includes(',')) throw new errors.InvalidRequest('there must be one Host')
      if (expect !== undefined && expect.toLowerCase() !== '100-continue') throw new errors.ExpectationFailed()
    })
    let closing: NodeJS.Timeout | undefined
    app.addHook('preClose', async () => {
      closing = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_SECONDS * 500)
    })
    app.addHook('onClose', async () => clearTimeout(closing))
    if (CORS_ORIGIN.length > 0) {
      await app.register(cors, {
        // Browsers send origins in lower case.
        origin: CORS_ORIGIN.includes('*') ? true : CORS_ORIGIN.map((origin) => origin.toLowerCase()),
        // An OPTIONS that is no preflight is answered like one. The 400 of the plugin would be text, not a problem.
        strictPreflight: false,
        methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
        exposedHeaders: ['retry-after', 'idempotent-replayed', 'x-request-id']
      })
    }
    await shedLoad(app)
  },
  { name: 'security', fastify: '5.x', dependencies: ['error-handler'] }
)

/** The longest time of a timer, 24 days in milliseconds. The library's own sampling is put off until then. */
const NEVER_MS = 2 ** 31 - 1

/**
 * Answers 503 while the event loop runs late. The delay is measured here and not by @fastify/under-pressure: its timer reads the size of the
 * memory first, which throws when the process has no file descriptor left, and an error in a timer ends the process.
 */
async function shedLoad(app: FastifyInstance): Promise<void> {
  const delay = perfHooks.monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  app.addHook('onClose', async () => void delay.disable())
  // The first samples include the time of the start, which is not load.
  let sampledFrom = Number.POSITIVE_INFINITY
  app.addHook('onListen', async () => {
    sampledFrom = performance.now() + 2 * SAMPLE_MS
  })
  const keepsUp = async (): Promise<boolean> => {
    const isLate = delay.count > 0 && delay.mean / 1e6 - RESOLUTION_MS > MAX_EVENT_LOOP_DELAY_MS
    delay.reset()
    return !isLate || performance.now() < sampledFrom
  }
  const neverShed = NEVER_SHED.map((path) => app.prefix + path)
  await app.register(underPressure, {
    healthCheck: keepsUp,
    healthCheckInterval: SAMPLE_MS,
    sampleInterval: NEVER_MS,
    pressureHandler: (request) => {
      if (!neverShed.includes(request.routeOptions.url ?? '')) throw new errors.Overloaded()
    }
  })
}

/** Returns the headers that helmet sets. They are the same on every response, and helmet would compute them again for each. */
async function securityHeaders(): Promise<OutgoingHttpHeaders> {
  const probe = Fastify()
  await probe.register(helmet, {
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        connectSrc: ["'self'", 'ws:', 'wss:'],
        imgSrc: ["'self'", 'data:'],
        upgradeInsecureRequests: null
      }
    },
    strictTransportSecurity: false
  })
  let headers: OutgoingHttpHeaders = {}
  probe.get('/', async (_request, reply) => {
    headers = { ...reply.raw.getHeaders() }
  })
  await probe.inject('/')
  await probe.close()
  return headers
}
