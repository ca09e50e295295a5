import t from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, startService } from '../helper.ts'
import { startCluster } from './three-nodes.ts'

const DURABLE = { appendonly: 'yes', appendfsync: 'always' } as const

t.test('Redis is killed and comes back: 503 until then, sockets stay open, nothing is lost, no restart is needed', async (t) => {
  const { redis, nodes } = await startCluster(t, { RATE_LIMIT_MAX: '0' }, DURABLE)
  const clients = await Promise.all(nodes.map((node, n) => connect(t, node, 'alice', { deviceId: `d${n}`, acks: true })))
  await Promise.all(clients.map((client) => client.next('caughtUp')))
  const accepted: string[] = []
  const publish = async (node: (typeof nodes)[0], title: string) => {
    const answer = await call(node, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title })
    if (answer.status === 202) accepted.push(answer.body.id)
    return answer
  }
  t.match(await publish(nodes[0], 'before'), { status: 202, body: { durability: 'fsync' } })

  await redis.kill()
  const began = Date.now()
  const refused = await publish(nodes[1], 'during the outage')
  t.match(refused, { status: 503, body: { code: 'BELFRY_ERR_STORE_UNAVAILABLE' } })
  t.ok(refused.headers.get('retry-after'))
  t.ok(Date.now() - began < 3000, 'it answers within the command timeout')
  for (const node of nodes) await until(async () => (await call(node, 'GET', '/health/ready')).status === 503, 'not ready')
  t.equal((await call(nodes[0], 'GET', '/health/live')).status, 200)
  t.equal((await call(nodes[0], 'GET', '/v1/users/alice/notifications')).status, 503)
  await t.rejects(connect(t, nodes[2], 'bob'), /503/, 'new connections are for another node')
  t.ok(
    clients.every(({ closed }) => closed === undefined),
    'open sockets stay open'
  )

  await redis.run()
  const back = Date.now()
  for (const node of nodes) await until(async () => (await call(node, 'GET', '/health/ready')).status === 200, 'ready again')
  t.ok(Date.now() - back < 5000, 'within 5 s of its return')
  t.equal((await publish(nodes[2], 'after')).status, 202)
  for (const client of clients) await client.until(() => (client.all('notification').length >= accepted.length ? true : undefined))
  for (const client of clients)
    t.same(
      client.all('notification').map(({ notification }) => notification.id),
      accepted
    )
  t.ok(clients.every((client) => client.all('gap').length === 0 && client.closed === undefined))
})

t.test('Redis loses its data under open sockets: every device gets a gap with reason epoch, then new notifications', async (t) => {
  const { redis, nodes } = await startCluster(t)
  const clients = await Promise.all(nodes.map((node, n) => connect(t, node, 'alice', { deviceId: `d${n}`, acks: true })))
  await Promise.all(clients.map((client) => client.next('caughtUp')))
  await call(nodes[0], 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'before' })
  await Promise.all(clients.map((client) => client.next('notification')))
  await redis.kill()
  await redis.run()
  for (const node of nodes) await until(async () => (await call(node, 'GET', '/health/ready')).status === 200, 'ready again')
  for (const client of clients) t.equal((await client.next('gap')).reason, 'epoch')
  await call(nodes[1], 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'after' })
  for (const client of clients) t.equal((await client.next('notification')).notification.title, 'after')
})

t.test('Redis hangs: publishes answer 503 in time, and later ones are delivered', async (t) => {
  const { redis, nodes } = await startCluster(t, {}, DURABLE)
  const client = await connect(t, nodes[0], 'alice', { deviceId: 'phone', acks: true })
  await client.next('caughtUp')
  redis.pause()
  const began = Date.now()
  const refused = await call(
    nodes[1],
    'POST',
    '/v1/notifications',
    { to: 'alice', type: 'a', title: 'hang' },
    { headers: { 'idempotency-key': 'hang' } }
  )
  t.equal(refused.status, 503)
  t.ok(Date.now() - began < 3000)
  await until(async () => (await call(nodes[1], 'GET', '/health/ready')).status === 503, 'not ready')
  redis.resume()
  await until(async () => (await call(nodes[1], 'GET', '/health/ready')).status === 200, 'ready again')
  const retried = await call(
    nodes[1],
    'POST',
    '/v1/notifications',
    { to: 'alice', type: 'a', title: 'hang' },
    { headers: { 'idempotency-key': 'hang' } }
  )
  t.ok([200, 202].includes(retried.status), 'the outcome was unknown: the key makes the retry safe')
  await client.next('notification')
  await call(nodes[2], 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'last' })
  t.equal((await client.next('notification')).notification.title, 'last')
  t.equal(client.all('notification').length, 2)
})

t.test('a node that starts without Redis is not ready, and becomes ready when Redis comes', async (t) => {
  const redis = await RedisServer.prepare()
  t.teardown(() => redis.stop())
  const service = await startService(t, { REDIS_URL: redis.url })
  t.match(await call(service, 'GET', '/health/ready'), { status: 503, body: { ready: false } })
  t.equal((await call(service, 'POST', '/v1/notifications', { to: 'a', type: 't', title: 't' })).status, 503)
  await redis.run()
  await until(async () => (await call(service, 'GET', '/health/ready')).status === 200, 'ready')
  t.equal((await call(service, 'POST', '/v1/notifications', { to: 'a', type: 't', title: 't' })).status, 202)
})

t.test('the items of a batch keep their order per user; a batch is 503 if the store accepted none', async (t) => {
  const { redis, nodes } = await startCluster(t)
  const notifications = [
    { to: ['bob', 'alice'], type: 'a', title: '1', idempotencyKey: 'k-1' },
    { to: 'alice', type: 'a', title: '2' },
    { to: ['alice', 'bob'], type: 'a', title: '3' }
  ]
  t.equal((await call(nodes[0], 'POST', '/v1/notifications/batch', { notifications })).status, 202)
  const { body } = await call(nodes[1], 'GET', '/v1/users/alice/notifications')
  t.same(
    body.items.map(({ title }: { title: string }) => title),
    ['3', '2', '1']
  )
  await redis.kill()
  t.match(await call(nodes[0], 'POST', '/v1/notifications/batch', { notifications }), {
    status: 503,
    body: { code: 'BELFRY_ERR_STORE_UNAVAILABLE' }
  })
})
