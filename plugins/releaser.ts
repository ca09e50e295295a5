import fp from 'fastify-plugin'
import { Releaser } from '../services/delivery/releaser.ts'

declare module 'fastify' {
  interface FastifyInstance {
    releaser: Releaser
  }
}

/** Releases parked notifications in time. A release that is under way ends before the store closes. */
export default fp(
  async (app) => {
    const releaser = new Releaser(app.store, app.counters)
    app.decorate('releaser', releaser)
    app.addHook('onClose', () => releaser.close())
  },
  { name: 'releaser', fastify: '5.x', dependencies: ['store', 'metrics'] }
)
