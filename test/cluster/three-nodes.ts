import type { Test } from 'tap'
import { RedisServer, type RedisServerOptions } from '../fixtures/redis.ts'
import { startService, type TestService } from '../helper.ts'

export interface Cluster {
  redis: RedisServer
  nodes: [TestService, TestService, TestService]
}

/** Three nodes on one Redis of their own. */
export async function startCluster(t: Test, environment: Record<string, string> = {}, options: RedisServerOptions = {}): Promise<Cluster> {
  const redis = await RedisServer.start(options)
  t.teardown(() => redis.stop())
  const start = (): Promise<TestService> => startService(t, { REDIS_URL: redis.url, ...environment })
  return { redis, nodes: [await start(), await start(), await start()] }
}
