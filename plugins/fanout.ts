import fp from 'fastify-plugin'
import { Fanout } from '../services/delivery/fanout.ts'

declare module 'fastify' {
  interface FastifyInstance {
    fanout: Fanout
  }
}

/** Passes the events of the store to the connections of this node. It is attached before any route exists, so no connection misses an event. */
export default fp(
  async (app) => {
    const fanout = new Fanout(app.connections, app.counters, app.store)
    app.storeListeners.attach(fanout)
    app.decorate('fanout', fanout)
  },
  { name: 'fanout', fastify: '5.x', dependencies: ['store', 'connections', 'metrics'] }
)
