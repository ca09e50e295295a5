import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { PresenceWatch } from '../services/audience/presence-watch.ts'
import { ConnectionDirectory } from '../services/connection/connection-directory.ts'
import { HeartbeatTimer } from '../services/connection/heartbeat-timer.ts'
import { Registry } from '../services/connection/registry.ts'
import { descriptorLimit, socketLimits } from '../services/node/descriptors.ts'
import { presenceTimesOf } from '../services/reach/settings.ts'
import { WEBHOOK_LANE } from '../services/store/outbox.ts'

declare module 'fastify' {
  interface FastifyInstance {
    connections: Registry
    /** Lists and closes the connections of a user on all nodes. */
    connectionDirectory: ConnectionDirectory
    /** Largest number of connections of this node. */
    maxConnections: number
  }
}

/** Registers this node's connections, runs their heartbeat, and limits their number to the file descriptors of the process. */
export default fp(
  async (app) => {
    const watch = presenceTimesOf(app.config) === undefined ? undefined : watchPresence(app)
    const registry = new Registry(app.store, app.config.RETENTION_SECONDS * 1000, watch)
    app.decorate('connections', registry)
    app.decorate('connectionDirectory', new ConnectionDirectory(app.store))
    const timer = new HeartbeatTimer(registry, app.store, app.config.WS_PING_INTERVAL_MS)
    const descriptors = descriptorLimit()
    const limits = socketLimits(descriptors, app.config.MAX_CONNECTIONS)
    if (app.config.MAX_CONNECTIONS > limits.sockets) {
      app.log.warn(
        { descriptors, maxConnections: app.config.MAX_CONNECTIONS },
        'MAX_CONNECTIONS is more than the limit of file descriptors allows'
      )
    }
    app.decorate('maxConnections', limits.connections)
    app.server.maxConnections = limits.sockets
    app.server.on('drop', () => {
      app.counters.socketsDropped += 1
    })
    app.metrics.gauge('belfry_connections', 'Open connections', () => registry.count)
    app.metrics.gauge('belfry_connections_max', 'Largest number of connections of this node', () => limits.connections)
    app.metrics.gauge('belfry_connected_users', 'Users with an open connection', () => registry.userCount)
    app.addHook('onClose', async () => timer.close())
  },
  { name: 'connections', fastify: '5.x', dependencies: ['store', 'reach', 'metrics'] }
)

/** Notes in the store who arrives on this node and leaves it. Runs only if webhooks tell of it. */
function watchPresence(app: FastifyInstance): PresenceWatch {
  const watch = new PresenceWatch({ outbox: app.store.outbox, onCall: () => app.reach.wake([WEBHOOK_LANE]) })
  app.addHook('onClose', async () => watch.close())
  return watch
}
