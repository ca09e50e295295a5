import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { clientAddress } from '../services/connection/client-address.ts'
import { Releaser } from '../services/delivery/releaser.ts'
import { errors } from '../services/errors.ts'
import { RateWindows } from '../services/rate-windows.ts'

declare module 'fastify' {
  interface FastifyInstance {
    releaser: Releaser
    limits: {
      /** Counts an attempt to connect against its address. Throws TooManyRequests. */
      connect: (request: FastifyRequest) => Promise<void>
      /** Counts a request against its publisher. Throws TooManyRequests. */
      publish: (request: FastifyRequest) => Promise<void>
    }
  }
}

/**
 * Rates. Per user: the store decides and parks, the releaser here lets go again. Per publisher and per address: `@fastify/rate-limit`, in this
 * node's memory.
 */
export default fp(
  async (app) => {
    const { CONNECT_RATE_LIMIT_MAX, PUBLISH_RATE_LIMIT_MAX } = app.config
    await app.register(rateLimit, { global: false, store: RateWindows })
    const releaser = new Releaser(app.store, app.counters)
    app.decorate('releaser', releaser)
    app.addHook('onClose', () => releaser.close())

    const limiter = (max: number, timeWindow: number, keyGenerator: (request: FastifyRequest) => string) => {
      if (max === 0) return async (): Promise<void> => undefined
      const check = app.createRateLimit({ max, timeWindow, keyGenerator })
      return async (request: FastifyRequest): Promise<void> => {
        const verdict = await check(request)
        if (verdict.isAllowed || !verdict.isExceeded) return
        throw Object.assign(new errors.TooManyRequests(), { retryAfterMs: verdict.ttl })
      }
    }
    app.decorate('limits', {
      connect: limiter(CONNECT_RATE_LIMIT_MAX, 60_000, (request) => clientAddress(request.ip, request.raw.socket.remoteAddress)),
      publish: limiter(PUBLISH_RATE_LIMIT_MAX, 1000, (request) => request.publisher)
    })
  },
  { name: 'rate-limit', fastify: '5.x', dependencies: ['fanout', 'auth', 'metrics'] }
)
