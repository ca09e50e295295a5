import fp from 'fastify-plugin'
import { Fanout } from '../services/delivery/fanout.ts'

declare module 'fastify' {
  interface FastifyInstance {
    fanout: Fanout
  }
}

/** Wake-ups from the store to the connections. Opens the store for this node, and closes it last of all. */
export default fp(
  async (app) => {
    const fanout = new Fanout(app.connections, app.counters)
    app.decorate('fanout', fanout)
    fanout.onStatus(({ available, reason, durability }) => {
      if (available) app.log.info({ durability }, 'the store is available')
      else app.log.warn({ reason }, 'the store is away')
    })
    await app.store.open(app.node, fanout)
    app.addHook('onClose', () => app.store.close())
  },
  { name: 'fanout', fastify: '5.x', dependencies: ['store', 'connections', 'metrics'] }
)
