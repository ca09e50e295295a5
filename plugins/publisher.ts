import fp from 'fastify-plugin'
import { Publisher } from '../services/delivery/publisher.ts'
import { pushRuleOf } from '../services/reach/settings.ts'

declare module 'fastify' {
  interface FastifyInstance {
    publisher: Publisher
  }
}

/** Publishes notifications for the REST routes. */
export default fp(
  async (app) => {
    app.decorate('publisher', new Publisher(app.store, app.userClock, app.counters, pushRuleOf(app.config)))
  },
  { name: 'publisher', fastify: '5.x', dependencies: ['store', 'user-clock', 'metrics'] }
)
