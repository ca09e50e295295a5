import t, { type Test } from 'tap'
import { newId } from '../../services/ids.ts'
import { encodeRow, tagAfter } from '../../services/store/row.ts'
import { stream } from '../fixtures/event-stream.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService, type TestClient, type TestService, userToken } from '../helper.ts'

/** Longest time from the node's return to the last frame that tells of a loss, milliseconds: that of any lost wake-up. */
const FOUND_MAX_MS = 2000

interface Ground {
  redis: RedisServer
  /** Reaches Redis only through a proxy, so it can be cut off while the other node works. */
  node: TestService
  other: TestService
  publish(user: string, title: string): Promise<void>
  /** Saves the data of Redis, and restarts it with them after `lost`. `before` runs while `node` is still cut off. Resolves when `node` has Redis again. */
  restart(lost: () => Promise<void>, before: () => Promise<void>): Promise<void>
}

const hasStore = (service: TestService) => until(() => service.app.store.status().available, 'the store is available', 10_000)

async function start(t: Test): Promise<Ground> {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const proxy = await TcpProxy.start(redis.port)
  t.teardown(() => proxy.stop())
  const node = await startService(t, { REDIS_URL: proxy.url, RATE_LIMIT_MAX: '0' })
  const other = await startService(t, { REDIS_URL: redis.url, RATE_LIMIT_MAX: '0' })
  await hasStore(node)
  await hasStore(other)
  const publish = async (user: string, title: string): Promise<void> => {
    t.equal((await call(other, 'POST', '/v1/notifications', { to: user, type: 'a', title })).status, 202)
  }
  const restart = async (lost: () => Promise<void>, before: () => Promise<void>): Promise<void> => {
    await redis.admin().save()
    await lost()
    proxy.refuse(true)
    await redis.kill()
    await redis.run()
    await until(() => !node.app.store.status().available, 'the node notices')
    await hasStore(other)
    await before()
    proxy.refuse(false)
    await hasStore(node)
  }
  return { redis, node, other, publish, restart }
}

const titles = (client: Pick<TestClient, 'all'>): string[] => client.all('notification').map(({ notification }) => notification.title)

t.test('Redis loses as many wake-ups of a node as the node then misses: every device is told, and gets the rows', async (t) => {
  const { node, publish, restart } = await start(t)
  const devices = await Promise.all(['phone', 'tab'].map((deviceId) => ready(t, node, 'alice', { deviceId, acks: true })))
  const { events, next } = await stream(t, node, 'alice', '?device_id=stream')
  await next('caughtUp')
  const streamed = (): string[] => events.flatMap(({ frame }) => (frame.type === 'notification' ? [frame.notification.title] : []))
  await publish('alice', 'kept')
  const lost = async (): Promise<void> => {
    await publish('alice', 'lost 1')
    await publish('alice', 'lost 2')
    for (const device of devices) await until(() => titles(device).length === 3, 'the device has all')
    await until(() => streamed().length === 3, 'the stream has all')
  }
  await restart(lost, async () => {
    await publish('alice', 'new 1')
    await publish('alice', 'new 2')
  })
  const back = Date.now()
  const expected = ['kept', 'lost 1', 'lost 2', 'kept', 'new 1', 'new 2']
  for (const device of devices) {
    t.equal((await device.next('gap')).reason, 'fork')
    await until(() => titles(device).length === expected.length, 'the device has the rows', FOUND_MAX_MS)
    t.same(titles(device), expected)
  }
  await until(() => streamed().length === expected.length, 'the stream has the rows', FOUND_MAX_MS)
  t.match(await next('gap'), { frame: { reason: 'fork' } })
  t.same(streamed(), expected)
  t.ok(Date.now() - back < FOUND_MAX_MS, `found ${Date.now() - back} ms after the node had Redis again`)
})

t.test('Redis loses the registration of a node: its devices are woken again', async (t) => {
  const { node, publish, restart } = await start(t)
  const devices: TestClient[] = []
  const lost = async (): Promise<void> => {
    devices.push(await ready(t, node, 'alice', { deviceId: 'phone', acks: true }))
  }
  await restart(lost, async () => {})
  await until(
    async () => (await call(node, 'GET', '/v1/users/alice/connections')).body.items.length === 1,
    'registered again',
    FOUND_MAX_MS
  )
  await publish('alice', 'new')
  for (const device of devices) t.equal((await device.next('notification')).notification.title, 'new')
})

t.test('Redis loses nothing: no log is read, and the next wake-up arrives', async (t) => {
  const { node, publish, restart } = await start(t)
  const devices = await Promise.all(['alice', 'bob', 'carol'].map((user) => ready(t, node, user, { deviceId: 'phone', acks: true })))
  await publish('alice', 'kept')
  await devices[0]?.next('notification')
  const { reads } = node.app.counters
  await restart(
    async () => {},
    async () => {}
  )
  for (const [index, user] of ['alice', 'bob', 'carol'].entries()) {
    await publish(user, 'new')
    await until(() => titles(devices[index] as TestClient).at(-1) === 'new', `${user} has it`)
  }
  t.equal(node.app.counters.reads, reads)
  t.ok(devices.every((device) => device.all('gap').length === 0))
})

for (const store of ['embedded', 'redis']) {
  t.test(`${store}: a live row of another history of the log is not sent: the connections read the log`, async (t) => {
    const redis = store === 'redis' ? await RedisServer.start() : undefined
    t.teardown(() => redis?.stop())
    const service = await startService(t, { RATE_LIMIT_MAX: '0', ...(redis && { REDIS_URL: redis.url }) })
    await hasStore(service)
    const device = await connect(t, service, 'alice', { deviceId: 'phone', acks: true })
    const { events, next } = await stream(t, service, 'alice', '?device_id=stream', { authorization: `Bearer ${userToken('alice')}` })
    await device.next('caughtUp')
    await next('caughtUp')
    await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'one' })
    await device.next('notification')
    await next('notification')
    const { epoch } = (await service.app.store.queue('alice')).head
    const { reads } = service.app.counters
    const [id, now] = [newId(), Date.now()]
    const row = encodeRow('n', now, id, tagAfter('deadbeef', now, id), '"type":"a","title":"other","timestamp":1}')
    service.app.fanout.wake({ user: 'alice', epoch, offset: 2, row })
    await until(() => service.app.counters.reads === reads + 2, 'both connections read the log')
    await until(() => device.all('gap').length === 1 || device.all('caughtUp').length === 2, 'the device is told')
    t.same(titles(device), ['one'])
    t.equal(events.filter(({ frame }) => frame.type === 'notification').length, 1)
  })
}
