import fp from 'fastify-plugin'
import { PresenceDirectory } from '../services/audience/presence.ts'

declare module 'fastify' {
  interface FastifyInstance {
    presence: PresenceDirectory
  }
}

/** Tells the REST routes who is online. */
export default fp(
  async (app) => {
    app.decorate('presence', new PresenceDirectory(app.store))
  },
  { name: 'presence', fastify: '5.x', dependencies: ['store'] }
)
