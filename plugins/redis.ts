import { setTimeout } from 'node:timers/promises'
import redis from '@fastify/redis'
import fp from 'fastify-plugin'
import { redisOptionsOf } from '../config.ts'
import { createSharedClient } from '../services/store/redis/shared-client.ts'

/** Longest time that a start waits for Redis, milliseconds. A node starts without it, and the client goes on connecting. */
const FIRST_ATTEMPT_MS = 1000

/** Shares one Redis connection as `app.redis`, for plugins and for apps that embed Belfry. Undefined on the embedded store. */
export default fp(
  async (app) => {
    const options = redisOptionsOf(app.config)
    if (options === undefined) return
    const client = createSharedClient(options)
    // @fastify/redis holds up the start until a client is ready, and quits it for good on a first error such as ENOTFOUND or LOADING. A node
    // has to start while Redis is away. The plugin does neither with a client that is ready, so this one claims to be ready while it is
    // registered: it is lazy, and nothing else has it yet.
    client.status = 'ready'
    await app.register(redis, { client })
    client.status = 'wait'
    app.addHook('onClose', async () => client.disconnect())
    await Promise.race([client.connect().catch(() => undefined), setTimeout(FIRST_ATTEMPT_MS, undefined, { ref: false })])
  },
  { name: 'redis', fastify: '5.x' }
)
