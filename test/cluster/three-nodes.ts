import type { Test } from 'tap'
import { NatsServer } from '../fixtures/nats.ts'
import { RedisServer, type RedisServerOptions } from '../fixtures/redis.ts'
import { startService, type TestService } from '../helper.ts'

export interface Cluster {
  redis: RedisServer
  nodes: [TestService, TestService, TestService]
}

export type StartCluster = (t: Test, environment?: Record<string, string>, options?: RedisServerOptions) => Promise<Cluster>

/** Starts three nodes on one Redis of their own. `npm run test:nats` sets `TEST_BUS`, which gives them a NATS server of their own, too. */
export const startCluster: StartCluster = async (t, environment = {}, options = {}) => {
  if (process.env.TEST_BUS === 'nats') return await startClusterWithNats(t, environment, options)
  const redis = await RedisServer.start(options)
  t.teardown(() => redis.stop())
  const start = (): Promise<TestService> => startService(t, { REDIS_URL: redis.url, ...environment })
  return { redis, nodes: [await start(), await start(), await start()] }
}

/** Starts three nodes on one Redis and one NATS server of their own. */
export const startClusterWithNats: StartCluster = async (t, environment = {}, options = {}) => {
  const nats = await NatsServer.start()
  t.teardown(() => nats.stop())
  const redis = await RedisServer.start(options)
  t.teardown(() => redis.stop())
  const start = (): Promise<TestService> => startService(t, { REDIS_URL: redis.url, NATS_URL: nats.url, ...environment })
  return { redis, nodes: [await start(), await start(), await start()] }
}
