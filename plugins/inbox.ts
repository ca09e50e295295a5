import fp from 'fastify-plugin'
import { Inbox } from '../services/delivery/inbox.ts'

declare module 'fastify' {
  interface FastifyInstance {
    inbox: Inbox
  }
}

/** Provides the retained notifications with their state, for the routes of services and of users. */
export default fp(
  async (app) => {
    app.decorate('inbox', new Inbox(app.store, app.counters))
  },
  { name: 'inbox', fastify: '5.x', dependencies: ['store', 'metrics'] }
)
