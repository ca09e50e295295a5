import t, { type Test } from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, startService, type TestClient, type TestService } from '../helper.ts'

/** Longest time from the node's return to the last frame that tells of a loss, milliseconds: that of any lost wake-up. */
const FOUND_MAX_MS = 2000

interface Ground {
  redis: RedisServer
  /** Reaches Redis only through a proxy, so it can be cut off while the other node works. */
  node: TestService
  other: TestService
  publish(user: string, title: string): Promise<void>
  /** Restarts Redis with its data as of the call of `save`; `before` runs while `node` is still cut off. Resolves when `node` is ready. */
  loseSince(save: () => Promise<void>, before: () => Promise<void>): Promise<void>
}

async function isReady(service: TestService): Promise<void> {
  await until(async () => (await call(service, 'GET', '/health/ready')).status === 200, 'ready', 10_000)
}

async function start(t: Test): Promise<Ground> {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const proxy = await TcpProxy.start(redis.port)
  t.teardown(() => proxy.stop())
  const node = await startService(t, { REDIS_URL: proxy.url, RATE_LIMIT_MAX: '0' })
  const other = await startService(t, { REDIS_URL: redis.url, RATE_LIMIT_MAX: '0' })
  const publish = async (user: string, title: string): Promise<void> => {
    t.equal((await call(other, 'POST', '/v1/notifications', { to: user, type: 'a', title })).status, 202)
  }
  const loseSince = async (save: () => Promise<void>, before: () => Promise<void>): Promise<void> => {
    await redis.admin().save()
    await save()
    proxy.refuse(true)
    await redis.kill()
    await redis.run()
    await isReady(other)
    await before()
    proxy.refuse(false)
    await isReady(node)
  }
  return { redis, node, other, publish, loseSince }
}

const titles = (client: TestClient): string[] => client.all('notification').map(({ notification }) => notification.title)

t.test('Redis loses as many wake-ups of a node as the node then misses: both devices are told, and get the rows', async (t) => {
  const { node, publish, loseSince } = await start(t)
  const devices = await Promise.all(['phone', 'tab'].map((deviceId) => connect(t, node, 'alice', { deviceId, acks: true })))
  for (const device of devices) await device.next('caughtUp')
  await publish('alice', 'kept')
  for (const device of devices) await device.next('notification')
  await loseSince(
    async () => {
      await publish('alice', 'lost 1')
      await publish('alice', 'lost 2')
      for (const device of devices) await until(() => titles(device).length === 3, 'the device has both')
    },
    async () => {
      await publish('alice', 'new 1')
      await publish('alice', 'new 2')
    }
  )
  const back = Date.now()
  for (const device of devices) {
    t.equal((await device.next('gap')).reason, 'fork')
    await until(() => titles(device).includes('new 2'), 'the device has the rows', FOUND_MAX_MS)
    t.same(titles(device), ['kept', 'lost 1', 'lost 2', 'kept', 'new 1', 'new 2'])
  }
  t.ok(Date.now() - back < FOUND_MAX_MS, `found ${Date.now() - back} ms after the node was ready`)
})
