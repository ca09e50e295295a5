import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { signToken } from '../../services/auth/signing.ts'
import { SharedLimits } from '../../services/node/shared-limits.ts'
import { RedisCluster, RedisSentinel, RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, SECRET, startService, type TestService } from '../helper.ts'

const OWN_LIMIT = 'requests are limited by this node alone: Redis does not answer'
const SHARED_LIMIT = 'requests are limited across all nodes again'

/** Starts a node, and collects the messages of its log. */
async function startNode(t: Test, environment: Record<string, string>): Promise<TestService & { messages: string[] }> {
  const messages: string[] = []
  const log = new Writable({
    write(line, _encoding, done) {
      messages.push((JSON.parse(String(line)) as { msg: string }).msg)
      done()
    }
  })
  return { ...(await startService(t, { LOG_LEVEL: 'info', ...environment }, { log })), messages }
}

/** Makes an attempt to connect. A plain GET is counted, and then answered with 426 for want of an upgrade. */
async function attempt(service: TestService): Promise<number> {
  return (await call(service, 'GET', '/v1/ws', undefined, { token: '' })).status
}

/** Makes attempts on two nodes in turn. */
async function attempts(services: [TestService, TestService], count: number): Promise<number[]> {
  const statuses: number[] = []
  for (let n = 0; n < count; n++) statuses.push(await attempt(services[n % 2] as TestService))
  return statuses
}

async function holdsAcrossNodes(t: Test, environment: Record<string, string>): Promise<void> {
  const limited = { ...environment, CONNECT_RATE_LIMIT_MAX: '4' }
  const nodes: [TestService, TestService] = [await startNode(t, limited), await startNode(t, limited)]
  t.same(await attempts(nodes, 6), [426, 426, 426, 426, 429, 429])
}

t.test('the limit per address holds across two nodes, and its keys have the prefix', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  await holdsAcrossNodes(t, { REDIS_URL: redis.url, REDIS_KEY_PREFIX: 'other' })
  const keys = await redis.admin().keys('*limit*')
  t.same(keys, ['other:limit:connect:127.0.0.1'])
  const left = await redis.admin().pttl(keys[0] as string)
  t.ok(left > 0 && left <= 60_000, 'the window is a minute')
})

t.test('so does the limit per publisher', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const nodes = await Promise.all([0, 1].map(() => startNode(t, { REDIS_URL: redis.url, PUBLISH_RATE_LIMIT_MAX: '4' })))
  let round = 0
  // The window is a second. A round that took longer says nothing: another publisher begins a new one.
  const refused = await until(async () => {
    const token = signToken(SECRET, `publisher-${round++}`, 'publish')
    const startedAt = performance.now()
    const requests = Array.from({ length: 10 }, (_, n) =>
      call(nodes[n % 2] as TestService, 'GET', '/v1/users/a/queue', undefined, { token })
    )
    const answers = await Promise.all(requests)
    return performance.now() - startedAt < 1000 && answers.filter(({ status }) => status === 429)
  }, 'a round within one window')
  t.equal(refused.length, 6)
  const retryAfterMs: number = refused[0]?.body.retryAfterMs ?? 0
  t.ok(retryAfterMs > 0 && retryAfterMs <= 1000)
})

t.test('limits hold across nodes on a Redis Cluster', async (t) => {
  const cluster = await RedisCluster.start()
  t.teardown(() => cluster.stop())
  await holdsAcrossNodes(t, { REDIS_CLUSTER_NODES: cluster.servers.map(({ port }) => `127.0.0.1:${port}`).join(',') })
})

t.test('and behind a Sentinel', async (t) => {
  const { sentinel, name, ...servers } = await RedisSentinel.start()
  t.teardown(() => Promise.all([sentinel, servers.master, servers.replica].map((server) => server.stop())))
  await holdsAcrossNodes(t, { REDIS_SENTINELS: `127.0.0.1:${sentinel.port}`, REDIS_SENTINEL_NAME: name })
})

t.test('while Redis is unavailable each node limits by itself, and logs it once', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const environment = { REDIS_URL: redis.url, CONNECT_RATE_LIMIT_MAX: '4' }
  const [one, two] = [await startNode(t, environment), await startNode(t, environment)]
  t.same(await attempts([one, two], 2), [426, 426])
  await redis.kill()
  // The store is unavailable, too: an attempt that the limit lets pass is answered with 503.
  t.same(await attempts([one, two], 12), [503, 503, 503, 503, 503, 503, 503, 503, 429, 429, 429, 429])
  for (const { messages } of [one, two]) t.equal(messages.filter((message) => message === OWN_LIMIT).length, 1)
  await redis.run()
  await until(async () => {
    await attempt(one)
    return one.messages.includes(SHARED_LIMIT)
  }, 'the shared limit')
  t.equal(one.messages.filter((message) => message === OWN_LIMIT).length, 1)
})

t.test('a node starts without Redis, and uses Redis once it is available', async (t) => {
  const redis = await RedisServer.prepare()
  t.teardown(() => redis.stop())
  const node = await startNode(t, { REDIS_URL: redis.url, CONNECT_RATE_LIMIT_MAX: '4' })
  t.equal((await call(node, 'GET', '/health/ready', undefined, { token: '' })).status, 503)
  t.equal(await attempt(node), 503)
  await t.rejects(node.app.redis.ping(), 'a command rejects at once')
  await redis.run()
  await until(() => node.app.redis.status === 'ready', 'app.redis is connected')
  t.equal(await node.app.redis.ping(), 'PONG')
})

t.test('a node starts while the name of Redis does not resolve', async (t) => {
  const node = await startNode(t, { REDIS_URL: 'redis://redis.invalid:6379' })
  t.equal((await call(node, 'GET', '/health/live', undefined, { token: '' })).status, 200)
  t.not(node.app.redis.status, 'end', 'the client keeps trying to connect')
})

t.test('on the embedded store there is no app.redis', async (t) => {
  const node = await startNode(t, {})
  t.equal(node.app.hasDecorator('redis'), false)
})

t.test('while shared counts fail, one request a second tries them', async (t) => {
  const events: string[] = []
  const limits = new SharedLimits({ onFailure: (error) => events.push((error as Error).message), onRecovery: () => events.push('back') })
  let fails = true
  let calls = 0
  const shared = async (): Promise<string> => {
    calls += 1
    if (fails) throw new Error('down')
    return 'shared'
  }
  const check = (now: number): Promise<string> => limits.check(shared, async () => 'own', now)
  t.equal(await check(0), 'own')
  t.equal(await check(999), 'own')
  t.equal(calls, 1)
  t.same(await Promise.all([check(1000), check(1000), check(1500)]), ['own', 'own', 'own'])
  t.equal(calls, 2)
  fails = false
  t.equal(await check(1999), 'own')
  t.equal(await check(2000), 'shared')
  t.equal(await check(2000), 'shared')
  t.same(events, ['down', 'back'])
})
