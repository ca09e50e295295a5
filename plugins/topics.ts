import fp from 'fastify-plugin'
import { Topics } from '../services/audience/topics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    topics: Topics
  }
}

/** Provides the members of topics, for the REST routes and for an app that embeds Belfry. */
export default fp(
  async (app) => {
    app.decorate('topics', new Topics(app.store.audiences))
  },
  { name: 'topics', fastify: '5.x', dependencies: ['store'] }
)
