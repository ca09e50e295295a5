import t from 'tap'
import { NatsServer } from '../fixtures/nats.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, startService, type TestService, userToken } from '../helper.ts'
import { deliverySuite } from './delivering.ts'
import { startClusterWithNats } from './three-nodes.ts'

/** Longest time until a node reports that NATS is unavailable, or available again, milliseconds. */
const NOTICED_MS = 6000
/** Longest time until a lost wake-up is found by the counters, and the log is read, milliseconds. */
const FOUND_MS = 4000

// With TEST_BUS, `delivery.test.ts` runs the same.
if (process.env.TEST_BUS === undefined) deliverySuite(t, startClusterWithNats)

const bus = async (node: TestService): Promise<string> => (await call(node, 'GET', '/health/ready')).body.checks.bus

async function metric(node: TestService, name: string): Promise<number> {
  const { body } = await call(node, 'GET', '/metrics')
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1])
}

function publish(node: TestService, title: string) {
  return call(node, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title })
}

t.test(
  'nodes start without NATS: ready, publishes are delivered by the counters; then NATS comes, is killed, and comes again',
  async (t) => {
    const redis = await RedisServer.start()
    t.teardown(() => redis.stop())
    const nats = await NatsServer.prepare()
    t.teardown(() => nats.stop())
    const environment = { REDIS_URL: redis.url, NATS_URL: nats.url }
    const [a, b] = [await startService(t, environment), await startService(t, environment)]
    const client = await connect(t, a, 'alice', { deviceId: 'phone', acks: true })
    await client.next('caughtUp')
    const shows = (title: string): Promise<boolean> =>
      until(() => client.all('notification').at(-1)?.notification.title === title, title, FOUND_MS)

    t.match(await call(a, 'GET', '/health/ready'), { status: 200, body: { ready: true } })
    t.equal(await bus(a), 'away')
    t.equal(await metric(a, 'belfry_bus_available'), 0)
    t.match(await publish(b, 'without NATS'), { status: 202, body: { results: [{ status: 'accepted', nodes: 1 }] } })
    await shows('without NATS')
    t.equal(await metric(b, 'belfry_bus_messages_dropped_total'), 1)

    await nats.run()
    for (const node of [a, b]) await until(async () => (await bus(node)) === 'ok', 'NATS is available', NOTICED_MS)
    const { wakeUps } = a.app.counters
    await publish(b, 'by NATS')
    await shows('by NATS')
    t.equal(a.app.counters.wakeUps, wakeUps + 1, 'by a wake-up')
    t.equal(await metric(b, 'belfry_bus_messages_sent_total'), 1)

    await nats.kill()
    for (const node of [a, b]) await until(async () => (await bus(node)) !== 'ok', 'NATS is unavailable', NOTICED_MS)
    t.match(await publish(a, 'while it is killed'), { status: 202 })
    await shows('while it is killed')
    await publish(b, 'just before it comes again')
    await nats.run()
    await shows('just before it comes again')
    for (const node of [a, b]) await until(async () => (await bus(node)) === 'ok', 'NATS is available again', NOTICED_MS)
    t.equal(client.all('notification').length, 4)
    t.equal(client.closed, undefined)
  }
)

t.test('a node that is cut off from NATS, or gets no bytes from it, misses nothing; orders to close reach it', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const nats = await NatsServer.start()
  t.teardown(() => nats.stop())
  const link = await TcpProxy.start(nats.port)
  t.teardown(() => link.stop())
  const a = await startService(t, { REDIS_URL: redis.url, NATS_URL: `nats://127.0.0.1:${link.port}` })
  const b = await startService(t, { REDIS_URL: redis.url, NATS_URL: nats.url })
  const client = await connect(t, a, 'alice', { deviceId: 'phone', acks: true })
  await client.next('caughtUp')
  const shows = (count: number): Promise<boolean> =>
    until(() => client.all('notification').length === count, `${count} notifications`, FOUND_MS)

  for (const passage of link.passages()) passage.cut()
  await publish(b, 'cut')
  await shows(1)
  await until(async () => (await bus(a)) === 'ok', 'connected again', NOTICED_MS)

  const [hole] = link.passages()
  hole?.blackHole('up', 'down')
  await publish(b, 'swallowed')
  await shows(2)
  await until(() => a.app.bus?.status().available === false, 'the silence is noticed', NOTICED_MS)
  hole?.cut()
  await until(async () => (await bus(a)) === 'ok', 'connected again', NOTICED_MS)

  link.refuse(true)
  await until(async () => (await bus(a)) !== 'ok', 'cut off', NOTICED_MS)
  await call(b, 'DELETE', '/v1/users/alice/connections?reason=bye')
  t.same(await client.whenClosed(), { code: 4003, reason: 'bye' }, 'the order is found by the counters')
  link.refuse(false)
  await until(async () => (await bus(a)) === 'ok', 'connected again', NOTICED_MS)
  const again = await connect(t, a, 'alice', { token: userToken('alice') })
  await again.next('caughtUp')
  const began = performance.now()
  await call(b, 'DELETE', '/v1/users/alice/connections?reason=now')
  t.same(await again.whenClosed(), { code: 4003, reason: 'now' })
  t.ok(performance.now() - began < 900, 'by a message, before the counters are compared')
})
