import { setTimeout } from 'node:timers/promises'
import redis from '@fastify/redis'
import fp from 'fastify-plugin'
import { redisOptionsOf } from '../config.ts'
import { createSharedClient } from '../services/store/redis/shared-client.ts'

/** Longest time that a start waits for Redis, milliseconds. After it, the node starts and the client keeps reconnecting. */
const FIRST_ATTEMPT_MS = 1000

/** Shares one Redis connection as `app.redis`, for plugins and for apps that embed Belfry. Undefined on the embedded store. */
export default fp(
  async (app) => {
    const options = redisOptionsOf(app.config)
    if (options === undefined) return
    const client = createSharedClient(options)
    // A node must start while Redis is away. @fastify/redis waits until the client is ready, and quits the client if its first error is one such
    // as ENOTFOUND or LOADING. It does neither if the client is ready already. So the client claims to be ready while it is registered: it is
    // lazy and has not connected, and no other code has it yet.
    client.status = 'ready'
    await app.register(redis, { client })
    client.status = 'wait'
    app.addHook('onClose', async () => client.disconnect())
    await Promise.race([client.connect().catch(() => undefined), setTimeout(FIRST_ATTEMPT_MS, undefined, { ref: false })])
  },
  { name: 'redis', fastify: '5.x' }
)
