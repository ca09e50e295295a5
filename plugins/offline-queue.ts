import fp from 'fastify-plugin'
import { CursorWriter } from '../services/connection/cursor-writer.ts'

declare module 'fastify' {
  interface FastifyInstance {
    offlineQueue: CursorWriter
  }
}

/**
 * Writes the cursors of devices. The log of a user is the queue of a device that is offline, and the cursor is its place in it, so the queue
 * itself needs no plugin. Acknowledgements are written before the store closes.
 */
export default fp(
  async (app) => {
    const queue = new CursorWriter(app.store, app.counters)
    app.decorate('offlineQueue', queue)
    app.addHook('onClose', () => queue.close())
  },
  { name: 'offline-queue', fastify: '5.x', dependencies: ['store', 'metrics'] }
)
