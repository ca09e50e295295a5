import t from 'tap'
import { BUCKETS, bucketOf } from '../../services/store/redis/keys.ts'
import type { RedisServer } from '../fixtures/redis.ts'
import { command, own } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

async function memoryOf(server: RedisServer): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await server.admin().info('memory'))?.[1])
}

// Each test has servers of its own and mostly waits.
t.jobs = 3

t.test('a node for which nothing was registered leaves no key; a node that had users stays marked dead', async (t) => {
  const { server, node, keys } = await own(t)
  const admin = server.admin()
  const counters = keys.counters[bucketOf('a')] as string
  const stays = await node()
  const before = await admin.dbsize()
  const idle = await node()
  await idle.store.close()
  t.same(await admin.zrange(keys.nodes, '0', '-1'), [stays.node])
  t.same(await admin.hkeys(counters), [stays.node])
  t.equal(await admin.dbsize(), before)

  const used = await node()
  await used.follow('a')
  await used.store.close()
  t.ok(Number(await admin.zscore(keys.nodes, used.node)) < 0, 'marked dead, and kept until no late call can register it')
  t.ok(Number(await admin.hget(counters, used.node)) < 0)
  const other = keys.counters[(bucketOf('a') + 1) % BUCKETS] as string
  t.equal(await admin.hget(other, used.node), null, 'no mark in a bucket without its users')
  t.match(await stays.store.publish(command('a')), { nodes: 0 })
})

t.test('a thousand dead nodes: a start takes no longer, and they are removed in the background', async (t) => {
  const { server, node, keys } = await own(t)
  const admin = server.admin()
  const first = await node()
  await first.follow('a')
  const count = 1000
  const silentSince = Date.now() - 60_000
  const names = Array.from({ length: count }, (_, index) => `dead-${index}`)
  await admin.zadd(keys.nodes, ...names.flatMap((name) => [silentSince, name]))
  const registry = keys.registry('a')
  await admin.hset(registry, 'dead-7', '1 []')
  await admin.hset(keys.counters[bucketOf('a')] as string, 'dead-7', 5)
  const memory = await memoryOf(server)
  const began = Date.now()
  const second = await node()
  t.ok(second.store.status().available)
  t.ok(Date.now() - began < 2000, `started in ${Date.now() - began} ms`)
  await until(async () => (await admin.zcount(keys.nodes, 0, '+inf')) === 2, 'all are removed', 90_000)
  t.same(await admin.zrange(keys.nodes, '-inf', '(0', 'BYSCORE'), ['dead-7'], 'only a node that a registry may name is kept')
  t.match(await second.store.publish(command('a')), { nodes: 1 })
  t.same(await admin.hkeys(registry), [first.node], 'and the next step removes it from the registry')
  t.ok((await memoryOf(server)) - memory < 1_000_000)
})

t.test('a master has lost the mark of a dead node: the node is marked again', async (t) => {
  const { server, node, keys } = await own(t)
  const admin = server.admin()
  const registry = keys.registry('a')
  const counters = keys.counters[bucketOf('a')] as string
  await admin.zadd(keys.nodes, -Date.now(), 'dead')
  await admin.hset(registry, 'dead', '1 []')
  await admin.hset(counters, 'dead', 5)
  const live = await node()
  t.match(await live.store.publish(command('a')), { nodes: 1 }, 'the mark is lost')
  await until(async () => Number(await admin.hget(counters, 'dead')) < 0, 'the mark is back', 30_000)
  t.match(await live.store.publish(command('a')), { nodes: 0 })
  t.same(await admin.hkeys(registry), [])
})

t.test('a node that died long ago is removed', async (t) => {
  const { server, node, keys } = await own(t)
  const admin = server.admin()
  const counters = keys.counters[3] as string
  await admin.zadd(keys.nodes, -(Date.now() - 49 * 3_600_000), 'old', -(Date.now() - 47 * 3_600_000), 'recent')
  await admin.hset(counters, 'old', -5, 'recent', -5)
  await node()
  await until(async () => (await admin.zscore(keys.nodes, 'old')) === null, 'removed')
  t.equal(await admin.hget(counters, 'old'), null)
  t.equal(await admin.hget(counters, 'recent'), '-5')
})
