import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'
import { Health } from '../services/node/health.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: Health
  }
}

/** Paths that a stopping node answers until the last connection is closed. */
const ANSWERED_WHILE_STOPPING = ['/health/live', '/health/ready', '/metrics']

/** Collects the readiness checks of other plugins. A draining node is not ready; a stopping node refuses new requests with 503. */
export default fp(
  async (app) => {
    const health = new Health()
    const answered = ANSWERED_WHILE_STOPPING.map((path) => app.prefix + path)
    app.decorate('health', health)
    app.addHook('preClose', async () => health.stop())
    app.addHook('onRequest', async (request) => {
      if (health.stopping && !answered.includes(request.routeOptions.url ?? '')) throw new errors.Draining()
    })
    // A client moves from a draining node only when its connection ends, and a kept-alive connection would delay the stop.
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (health.draining) reply.header('connection', 'close')
      done()
    })
  },
  { name: 'health', fastify: '5.x', dependencies: ['error-handler'] }
)
