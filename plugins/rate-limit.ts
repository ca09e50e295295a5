import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { clientAddress } from '../services/connection/client-address.ts'
import { errors } from '../services/errors.ts'
import { RateWindows } from '../services/rate-windows.ts'

declare module 'fastify' {
  interface FastifyInstance {
    limits: {
      /** Counts an attempt to connect against its address. Throws TooManyRequests. */
      connect: (request: FastifyRequest) => Promise<void>
      /** Counts a request against its publisher. Throws TooManyRequests. */
      publish: (request: FastifyRequest) => Promise<void>
    }
  }
}

/** Limits of requests per publisher and per address, in this node's memory. The store limits notifications per user. */
export default fp(
  async (app) => {
    const { CONNECT_RATE_LIMIT_MAX, PUBLISH_RATE_LIMIT_MAX } = app.config
    await app.register(rateLimit, { global: false, store: RateWindows })

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
  { name: 'rate-limit', fastify: '5.x', dependencies: ['auth'] }
)
