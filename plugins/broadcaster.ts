import fp from 'fastify-plugin'
import { BatchRunner } from '../services/audience/batch-runner.ts'
import { Broadcaster } from '../services/audience/broadcaster.ts'
import { OutcomeRecorder } from '../services/delivery/outcome-recorder.ts'

declare module 'fastify' {
  interface FastifyInstance {
    broadcaster: Broadcaster
  }
}

/** Carries out broadcasts. Publishes under way end before the clock of users and the store close. */
export default fp(
  async (app) => {
    const { store, counters } = app
    const outcomes = new OutcomeRecorder(app.userClock, counters)
    const log = app.log.child({ component: 'broadcaster' })
    const broadcaster = new Broadcaster({
      store,
      runner: new BatchRunner({ store, counters, onOutcome: (user, result, expiresAt) => outcomes.record(user, result, expiresAt) }),
      onFault: (err) => log.error({ err }, 'a batch of a broadcast failed: it is carried out again when its lease has run out')
    })
    app.decorate('broadcaster', broadcaster)
    app.metrics.gauge('belfry_broadcasts_running', 'Broadcasts that this node carries out', () => broadcaster.running)
    app.addHook('onClose', () => broadcaster.close())
  },
  { name: 'broadcaster', fastify: '5.x', dependencies: ['store', 'user-clock', 'metrics'] }
)
