import fp from 'fastify-plugin'
import { OfflineQueue } from '../services/offline-queue.ts'

declare module 'fastify' {
  interface FastifyInstance {
    offlineQueue: OfflineQueue
  }
}

/** The cursors: what each device has received. Acknowledgements are written before the store closes. */
export default fp(
  async (app) => {
    const queue = new OfflineQueue(app.store, app.counters)
    app.decorate('offlineQueue', queue)
    app.addHook('onClose', () => queue.close())
  },
  { name: 'offline-queue', fastify: '5.x', dependencies: ['fanout', 'metrics'] }
)
