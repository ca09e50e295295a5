import fp from 'fastify-plugin'
import { errors } from '../services/errors.ts'
import { Health } from '../services/node/health.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: Health
  }
}

/** Named readiness checks that other plugins add. From the first moment of a shutdown on: not ready, and nothing new is begun. */
export default fp(
  async (app) => {
    const health = new Health()
    app.decorate('health', health)
    app.addHook('preClose', async () => health.drain())
    app.addHook('onRequest', async (request) => {
      if (health.draining && !request.url.startsWith('/health/')) throw new errors.Draining()
    })
    // A connection kept alive after its last answer would hold up the stop.
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (health.draining) reply.header('connection', 'close')
      done()
    })
  },
  { name: 'health', fastify: '5.x', dependencies: ['error-handler'] }
)
