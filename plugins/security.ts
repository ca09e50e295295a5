import type { OutgoingHttpHeaders } from 'node:http'
import perfHooks from 'node:perf_hooks'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import underPressure from '@fastify/under-pressure'
import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'

/** An event loop that runs later than this has too much to do, milliseconds. */
const MAX_EVENT_LOOP_DELAY_MS = 2000

/** How often the delay of the event loop is looked at, milliseconds. */
const SAMPLE_MS = 500
/** Resolution of that delay, milliseconds. */
const RESOLUTION_MS = 10

/** Paths that answer however much there is to do. */
const ALWAYS = ['/health/live', '/health/ready', '/metrics']

/**
 * Checks `Host` and `Expect`, sets the response headers and CORS for REST (off unless `CORS_ORIGIN`), and sheds load when the process cannot
 * keep up. A peer that sends nothing, or half a request, does not delay a stop: after half the grace its connection is closed.
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
        // A browser sends origins in lower case.
        origin: CORS_ORIGIN.includes('*') ? true : CORS_ORIGIN.map((origin) => origin.toLowerCase()),
        // An OPTIONS that is no preflight is answered like one: the plugin's own 400 is text.
        strictPreflight: false,
        methods: ['GET', 'POST', 'DELETE'],
        exposedHeaders: ['retry-after', 'idempotent-replayed', 'x-request-id']
      })
    }
    await shedLoad(app)
  },
  { name: 'security', fastify: '5.x', dependencies: ['error-handler'] }
)

/** A time that no process reaches between two looks: 24 days, the longest that timers take, milliseconds. */
const NEVER_MS = 2 ** 31 - 1

/**
 * Answers 503 while the event loop runs late. The delay is measured here: the library's own timer reads the memory's size first, which throws
 * when the process is out of file descriptors, and an error in a timer ends the process.
 */
async function shedLoad(app: FastifyInstance): Promise<void> {
  const delay = perfHooks.monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  app.addHook('onClose', async () => void delay.disable())
  // The first samples hold the time that the start took, which is not load.
  let sampledFrom = Number.POSITIVE_INFINITY
  app.addHook('onListen', async () => {
    sampledFrom = performance.now() + 2 * SAMPLE_MS
  })
  const keepsUp = async (): Promise<boolean> => {
    const isLate = delay.count > 0 && delay.mean / 1e6 - RESOLUTION_MS > MAX_EVENT_LOOP_DELAY_MS
    delay.reset()
    return !isLate || performance.now() < sampledFrom
  }
  await app.register(underPressure, {
    healthCheck: keepsUp,
    healthCheckInterval: SAMPLE_MS,
    sampleInterval: NEVER_MS,
    pressureHandler: (request) => {
      if (!ALWAYS.includes(request.routeOptions.url ?? '')) throw new errors.Overloaded()
    }
  })
}

/** What helmet sets is the same on every response: asked of it once, since it would work everything out anew for each. */
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
