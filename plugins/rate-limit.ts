import rateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { redisOptionsOf } from '../config.ts'
import { clientAddress } from '../services/connection/client-address.ts'
import { errors } from '../services/errors.ts'
import { RateWindows } from '../services/node/rate-windows.ts'
import { SharedLimits } from '../services/node/shared-limits.ts'

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

type Check = ReturnType<FastifyInstance['createRateLimit']>

interface Limit {
  /** Part of the Redis keys. */
  name: string
  /** Requests per window; 0: any number. */
  max: number
  timeWindow: number
  keyGenerator: (request: FastifyRequest) => string
}

/**
 * Limits requests per publisher and per address. On Redis all nodes count together, and each node by itself while Redis is away; on the
 * embedded store the node counts in its memory. Notifications per user are limited by the store.
 */
export default fp(
  async (app) => {
    const { CONNECT_RATE_LIMIT_PER_MINUTE, PUBLISH_RATE_LIMIT_PER_SECOND } = app.config
    const sharedLimits = new SharedLimits({
      onFailure: (err) => app.log.warn({ err }, 'requests are limited by this node alone: Redis does not answer'),
      onRecovery: () => app.log.info('requests are limited across all nodes again')
    })

    const limiter = async ({ name, max, timeWindow, keyGenerator }: Limit): Promise<(request: FastifyRequest) => Promise<void>> => {
      if (max === 0) return async () => undefined
      const options = { max, timeWindow, keyGenerator }
      const own = await createCheck(app, { ...options, store: RateWindows })
      const shared = redisOptionsOf(app.config)
        ? await createCheck(app, { ...options, redis: app.redis, nameSpace: `${app.config.REDIS_KEY_PREFIX}:limit:${name}:` })
        : own
      return async (request) => {
        const verdict = await sharedLimits.check(
          () => shared(request),
          () => own(request)
        )
        if (verdict.isAllowed || !verdict.isExceeded) return
        throw Object.assign(new errors.TooManyRequests(), { retryAfterMs: verdict.ttl })
      }
    }

    app.decorate('limits', {
      connect: await limiter({
        name: 'connect',
        max: CONNECT_RATE_LIMIT_PER_MINUTE,
        timeWindow: 60_000,
        keyGenerator: (request) => clientAddress(request.ip, request.raw.socket.remoteAddress)
      }),
      publish: await limiter({
        name: 'publish',
        max: PUBLISH_RATE_LIMIT_PER_SECOND,
        timeWindow: 1000,
        keyGenerator: (request) => request.publisher
      })
    })
  },
  { name: 'rate-limit', fastify: '5.x', dependencies: ['redis', 'auth'] }
)

/**
 * Registers `@fastify/rate-limit` in a context of its own, since a context has one store, and returns its check. The plugin adds the check only
 * where it finds none, and the embedding app may have one.
 */
async function createCheck(app: FastifyInstance, options: RateLimitPluginOptions): Promise<Check> {
  let check: Check | undefined
  await app.register(async (context) => {
    const bare = Object.create(context, { hasDecorator: { value: () => false } }) as FastifyInstance
    await rateLimit(bare, { global: false, ...options }, () => undefined)
    check = bare.createRateLimit()
  })
  return check as Check
}
