import fp from 'fastify-plugin'
import { OutcomeRecorder } from '../services/delivery/outcome-recorder.ts'
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
    const publisher = new Publisher({
      store: app.store,
      outcomes: new OutcomeRecorder(app.userClock, app.counters),
      startBroadcast: (command) => app.broadcaster.start(command),
      pushRule: pushRuleOf(app.config)
    })
    app.decorate('publisher', publisher)
  },
  { name: 'publisher', fastify: '5.x', dependencies: ['store', 'user-clock', 'broadcaster', 'metrics'] }
)
