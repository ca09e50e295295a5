import fp from 'fastify-plugin'
import { UserClock } from '../services/delivery/user-clock.ts'

declare module 'fastify' {
  interface FastifyInstance {
    userClock: UserClock
  }
}

/** Advances users when something of theirs is due. A step that is under way ends before the store closes. */
export default fp(
  async (app) => {
    const log = app.log.child({ component: 'user-clock' })
    const userClock = new UserClock(
      app.store,
      app.counters,
      (lanes) => app.reach.wake(lanes),
      (err) => log.error({ err }, 'a user could not be advanced: the next sweep tries it again')
    )
    app.decorate('userClock', userClock)
    app.addHook('onClose', () => userClock.close())
  },
  { name: 'user-clock', fastify: '5.x', dependencies: ['store', 'reach', 'metrics'] }
)
