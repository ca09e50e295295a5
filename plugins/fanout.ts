import fp from 'fastify-plugin'
import { Fanout } from '../services/delivery/fanout.ts'

declare module 'fastify' {
  interface FastifyInstance {
    fanout: Fanout
  }
}

/** A store that stays full is logged this often, milliseconds. */
const FULL_LOG_MS = 60_000

/** Wake-ups from the store to the connections. Opens the store for this node, and closes it last of all. */
export default fp(
  async (app) => {
    const fanout = new Fanout(app.connections, app.counters)
    app.decorate('fanout', fanout)
    let loggedFullAt = Number.NEGATIVE_INFINITY
    const logFull = (): void => {
      if (!app.store.status().full || performance.now() - loggedFullAt < FULL_LOG_MS) return
      loggedFullAt = performance.now()
      app.log.warn('the store is full: publishes are refused with 507 until there is room')
    }
    const logging = setInterval(logFull, FULL_LOG_MS / 60).unref()
    app.addHook('onClose', async () => clearInterval(logging))
    fanout.onStatus(({ available, full, reason, durability }) => {
      if (full) logFull()
      else if (available) app.log.info({ durability }, 'the store is available')
      else app.log.warn({ reason }, 'the store is away')
    })
    await app.store.open(app.node, fanout)
    app.addHook('onClose', () => app.store.close())
  },
  { name: 'fanout', fastify: '5.x', dependencies: ['store', 'connections', 'metrics'] }
)
