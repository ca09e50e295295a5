import t from 'tap'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { command, on, own, settings, UNAVAILABLE } from '../fixtures/redis-ground.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'

const shared = await RedisServer.start()
t.teardown(() => shared.stop())

t.test('after SCRIPT FLUSH the scripts are sent again', async (t) => {
  const { node } = on(shared, t)
  const follower = await node()
  const admin = shared.client()
  for (let i = 1; i <= 5; i++) {
    await admin.script('FLUSH')
    t.match(await Promise.all([follower.store.publish(command('a')), follower.store.publish(command('b'))]), [
      { status: 'accepted', offset: i },
      { status: 'accepted', offset: i }
    ])
  }
})

t.test('a node starts while Redis is unavailable', async (t) => {
  const server = await RedisServer.prepare()
  t.teardown(() => server.stop())
  const since = Date.now()
  const follower = await on(server, t).node()
  t.ok(Date.now() - since < 3000)
  t.match(follower.store.status(), { available: false, reason: /reach|closed|ECONN/ })
  await t.rejects(follower.store.publish(command('a')), UNAVAILABLE)
  await server.run()
  await until(() => follower.store.status().available, 'available', 2000)
  t.match(await follower.store.publish(command('a')), { status: 'accepted', offset: 1 })
})

t.test('a node starts while Redis accepts connections and does not answer', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  proxy.silence(true)
  const follower = await on(shared, t).node(proxy.url)
  t.notOk(follower.store.status().available)
  proxy.silence(false)
  await until(() => follower.store.status().available, 'available', 4000)
  t.match(await follower.store.publish(command('a')), { status: 'accepted', offset: 1 })
})

t.test('a Redis that answers but refuses writes is not available', async (t) => {
  const { server, node } = await own(t, { args: ['--busy-reply-threshold', '100'] })
  const follower = await node()
  const admin = server.client()
  const heals = async (): Promise<void> => {
    await until(() => follower.store.status().available, 'available again', 3000)
    await follower.store.publish(command('a'))
  }
  await follower.store.publish(command('a'))
  await admin.config('SET', 'min-replicas-to-write', 1)
  await t.rejects(follower.store.publish(command('a')), UNAVAILABLE)
  await until(() => /NOREPLICAS/.test(follower.store.status().reason), 'the reason names the missing replicas', 4000)
  await admin.config('SET', 'min-replicas-to-write', 0)
  await heals()
  await admin.replicaof('127.0.0.1', 1)
  await t.rejects(follower.store.publish(command('a')), UNAVAILABLE)
  await until(() => !follower.store.status().available, 'a replica is not available', 4000)
  await admin.replicaof('NO', 'ONE')
  await heals()
  const endless = server
    .client()
    .eval('while true do end', 0)
    .catch((error: Error) => error.message)
  await until(() => !follower.store.status().available, 'a busy server is not available', 4000)
  await t.rejects(follower.store.publish(command('a')), UNAVAILABLE)
  await until(
    () =>
      admin.script('KILL').then(
        () => true,
        () => false
      ),
    'the script is killed'
  )
  t.match(await endless, /killed/)
  await heals()
})

t.test('a database is refused: another eviction policy, another number of buckets, rows of another format', async (t) => {
  const { server, node } = await own(t, { args: ['--maxmemory-policy', 'allkeys-lru'] })
  await t.rejects(node(), { message: /noeviction/ })
  const late = await RedisServer.prepare({ args: ['--maxmemory-policy', 'allkeys-lru'] })
  t.teardown(() => late.stop())
  const follower = await on(late, t).node()
  await late.run()
  await until(() => /noeviction/.test(follower.store.status().reason), 'the reason names the policy', 4000)
  t.notOk(follower.store.status().available)
  await server.client().config('SET', 'maxmemory-policy', 'noeviction')
  const prefix = 'other'
  await server.client().set(`${prefix}:buckets`, 64)
  const store = new RedisStore(settings, { url: server.url, keyPrefix: prefix, waitReplicas: 0 })
  await t.rejects(store.open('n', follower), { message: /64 buckets/ })
  await server.client().set('older:buckets', 256)
  const older = new RedisStore(settings, { url: server.url, keyPrefix: 'older', waitReplicas: 0 })
  await t.rejects(older.open('n', follower), { message: /rows of format 1, this version reads format 2/ })
})

t.test('a full Redis refuses publishes, and accepts every call that makes room', async (t) => {
  const { server, node } = await own(t)
  const follower = await node(server.url, { rateLimit: 5, rateWindowMs: 60_000 })
  const many = Array.from({ length: 50 }, (_, i) => `full-${i}`)
  for (const user of many) for (let i = 0; i < 7; i++) await follower.store.publish(command(user))
  await follower.follow('full-0')
  const admin = server.client()
  await admin.config('SET', 'maxmemory', '1mb')
  const outcomes = await Promise.allSettled(many.map((user) => follower.store.publish({ ...command(user), tail: 'x'.repeat(200) })))
  t.equal(outcomes.filter(({ status }) => status === 'rejected').length, many.length)
  t.match(outcomes[0], { reason: { code: 'BELFRY_ERR_STORE_FULL' } })
  const { epoch } = (await follower.store.queue('full-0')).head
  await follower.store.ack('full-0', 'phone', { epoch, offset: 3, id8: '' })
  t.match(await follower.store.queue('full-0'), { devices: [{ position: { offset: 3 } }], parked: 2 })
  t.match(await follower.store.advance('full-0'), { released: 0, waiting: 2 })
  t.match(await follower.store.mark({ user: 'full-0', target: { upTo: { epoch, offset: 3, id8: '' } }, state: 'read' }), { unread: 2 })
  await follower.leave('full-0')
  t.same(await follower.store.connections('full-0'), [])
  for (const meta of await admin.keys('ground*:m:*')) {
    const [top, floor] = await admin.hmget(meta, 't', 'f')
    if (Number(top) - Number(floor ?? 0) !== (await admin.llen(meta.replace(':m:', ':l:')))) t.fail(`${meta}: the log is damaged`)
  }
  await admin.config('SET', 'maxmemory', '0')
  t.match(await follower.store.publish(command('more')), { status: 'accepted' })
})
