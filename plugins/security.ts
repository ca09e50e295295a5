import type { OutgoingHttpHeaders } from 'node:http'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import underPressure from '@fastify/under-pressure'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'

/** An event loop that runs later than this has too much to do, milliseconds. */
const MAX_EVENT_LOOP_DELAY_MS = 2000

/** How often the delay of the event loop is looked at, milliseconds. */
const SAMPLE_MS = 500

/** Paths that answer however much there is to do. */
const ALWAYS = ['/health/live', '/health/ready', '/metrics']

/**
 * Checks `Host` and `Expect`, sets the response headers and CORS for REST (off unless `CORS_ORIGIN`), and sheds load when the process cannot
 * keep up. A peer that sends nothing, or half a request, does not delay a stop: after half the grace its connection is closed.
 */
export default fp(
  async (app) => {
    const { CORS_ORIGIN, CLOSE_GRACE_SECONDS } = app.config
    app.addHook('onRequest', async ({ headers: { host, expect }, raw: { httpVersion } }) => {
      if (host === undefined ? httpVersion !== '1.0' : host.includes(',')) throw new errors.InvalidRequest('there must be one Host')
      if (expect !== undefined && expect.toLowerCase() !== '100-continue') throw new errors.ExpectationFailed()
    })
    let letGo: NodeJS.Timeout | undefined
    app.addHook('preClose', async () => {
      letGo = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_SECONDS * 500)
    })
    app.addHook('onClose', async () => clearTimeout(letGo))
    const headers = await securityHeaders()
    app.addHook('onRequest', async (_request, reply) => void reply.headers(headers))
    if (CORS_ORIGIN.length > 0) {
      await app.register(cors, {
        // A browser sends origins in lower case.
        origin: CORS_ORIGIN.includes('*') ? true : CORS_ORIGIN.map((origin) => origin.toLowerCase()),
        // An OPTIONS that is no preflight is answered like one: the plugin's own 400 is text.
        strictPreflight: false,
        methods: ['GET', 'POST', 'DELETE'],
        exposedHeaders: ['retry-after', 'idempotent-replayed']
      })
    }
    // The first samples hold what the start itself took, which is not load.
    let sampledFrom = 0
    app.addHook('onListen', async () => {
      sampledFrom = performance.now() + 2 * SAMPLE_MS
    })
    await app.register(underPressure, {
      maxEventLoopDelay: MAX_EVENT_LOOP_DELAY_MS,
      sampleInterval: SAMPLE_MS,
      pressureHandler: (request, _reply, _type, delay) => {
        // Infinity: no sample was taken since the last look, as happens after one long turn of the event loop.
        const known = Number.isFinite(delay) && performance.now() >= sampledFrom
        if (known && !ALWAYS.includes(request.routeOptions.url ?? '')) throw new errors.Overloaded()
      }
    })
  },
  { name: 'security', fastify: '5.x', dependencies: ['error-handler'] }
)

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
