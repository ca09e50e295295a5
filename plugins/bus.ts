import fp from 'fastify-plugin'
import { natsSettingsOf } from '../config.ts'
import type { Bus } from '../services/bus/bus.ts'
import { natsAccess } from '../services/bus/nats-access.ts'
import { NatsBus } from '../services/bus/nats-bus.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The bus between the nodes, which the store opens and closes; undefined if the store has its own: Redis Pub/Sub, or none. */
    bus: Bus | undefined
  }
}

/** Makes the NATS bus, if one is configured. While it is unavailable, the node stays ready: the store finds every wake-up by its counters. */
export default fp(
  async (app) => {
    const settings = natsSettingsOf(app.config)
    // A dot would divide the prefix into several tokens of the subject.
    const prefix = app.config.REDIS_KEY_PREFIX.replaceAll('.', '_')
    const log = app.log.child({ component: 'bus' })
    const bus = settings && new NatsBus({ access: natsAccess(settings, `belfry ${app.node}`), prefix, log })
    app.decorate('bus', bus)
    if (bus !== undefined) {
      app.health.add('bus', () => (bus.status().available ? '' : { degraded: 'away' }))
    }
    app.metrics.gauge('belfry_bus_available', '1 if the bus between the nodes can be used, else 0; always 1 without NATS_URL', () =>
      Number(bus?.status().available ?? true)
    )
    app.metrics.counter('belfry_bus_messages_sent_total', 'Wake-ups and kicks that this node gave to NATS', () => bus?.sent ?? 0)
    app.metrics.counter(
      'belfry_bus_messages_dropped_total',
      'Wake-ups and kicks that this node dropped while NATS was unavailable',
      () => bus?.dropped ?? 0
    )
  },
  { name: 'bus', fastify: '5.x', dependencies: ['health', 'metrics'] }
)
