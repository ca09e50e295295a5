import fp from 'fastify-plugin'
import { Health } from '../services/health.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: Health
  }
}

/** Named readiness checks that other plugins add. Not ready from the first moment of a shutdown on. */
export default fp(
  async (app) => {
    const health = new Health()
    app.decorate('health', health)
    app.addHook('preClose', async () => health.drain())
  },
  { name: 'health', fastify: '5.x' }
)
