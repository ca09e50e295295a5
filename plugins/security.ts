import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import underPressure from '@fastify/under-pressure'
import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'

/** An event loop that runs later than this has too much to do, milliseconds. */
const MAX_EVENT_LOOP_DELAY_MS = 2000

/** Paths that answer however much there is to do. */
const ALWAYS = ['/health/live', '/health/ready', '/metrics']

/** Response headers, CORS for REST (off unless `CORS_ORIGIN`), and shedding when the process cannot keep up. */
export default fp(
  async (app) => {
    const { CORS_ORIGIN } = app.config
    app.addHook('onRequest', async ({ headers: { host } }) => {
      if (host?.includes(',')) throw new errors.InvalidRequest('there must be one Host')
    })
    await app.register(helmet, {
      global: true,
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
    if (CORS_ORIGIN.length > 0) {
      await app.register(cors, {
        origin: CORS_ORIGIN.includes('*') ? true : CORS_ORIGIN,
        methods: ['GET', 'POST', 'DELETE'],
        exposedHeaders: ['retry-after', 'idempotent-replayed']
      })
    }
    await app.register(underPressure, {
      maxEventLoopDelay: MAX_EVENT_LOOP_DELAY_MS,
      sampleInterval: 500,
      pressureHandler: (request) => {
        if (!ALWAYS.includes(request.url)) throw new errors.Overloaded()
      }
    })
  },
  { name: 'security', fastify: '5.x', dependencies: ['error-handler'] }
)
