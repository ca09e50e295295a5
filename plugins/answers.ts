import fp from 'fastify-plugin'
import { Answers } from '../services/delivery/answers.ts'
import { WEBHOOK_LANE } from '../services/store/outbox.ts'

declare module 'fastify' {
  interface FastifyInstance {
    answers: Answers
  }
}

/** Answers notifications for the REST routes, and signs answer links. */
export default fp(
  async (app) => {
    app.decorate('answers', new Answers(app.store, app.counters, () => app.reach.wake([WEBHOOK_LANE])))
  },
  { name: 'answers', fastify: '5.x', dependencies: ['store', 'reach', 'metrics'] }
)
