import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'
import { Health } from '../services/node/health.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: Health
  }
}

/** Paths that are answered until the last connection is closed. */
const ALWAYS = ['/health/live', '/health/ready', '/metrics']

/** Named readiness checks that other plugins add. A draining node is not ready; a stopping one begins nothing new. */
export default fp(
  async (app) => {
    const health = new Health()
    app.decorate('health', health)
    app.addHook('preClose', async () => health.stop())
    app.addHook('onRequest', async (request) => {
      if (health.stopping && !ALWAYS.includes(request.routeOptions.url ?? '')) throw new errors.Draining()
    })
    // A client leaves a draining node only when its connection ends, and a connection kept alive would delay the stop.
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (health.draining) reply.header('connection', 'close')
      done()
    })
  },
  { name: 'health', fastify: '5.x', dependencies: ['error-handler'] }
)
