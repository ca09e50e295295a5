import fp from 'fastify-plugin'
import { Registry } from '../services/connection/registry.ts'

declare module 'fastify' {
  interface FastifyInstance {
    connections: Registry
  }
}

/** The registry of this node's connections, and their heartbeat. */
export default fp(
  async (app) => {
    const registry = new Registry(app.store, app.config.WS_PING_INTERVAL_MS)
    app.decorate('connections', registry)
    app.metrics.gauge('belfry_connections', 'Open connections', () => registry.count)
    app.metrics.gauge('belfry_connected_users', 'Users with an open connection', () => registry.userCount)
    app.addHook('onClose', async () => registry.close())
  },
  { name: 'connections', fastify: '5.x', dependencies: ['store', 'metrics'] }
)
