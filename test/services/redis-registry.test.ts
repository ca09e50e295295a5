import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { command, on, own } from '../fixtures/redis-ground.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'

const shared = await RedisServer.start()
t.teardown(() => shared.stop())

t.test('registrations of connected devices that were deleted are restored within a minute', { timeout: 90_000 }, async (t) => {
  const { server, node, keys } = await own(t)
  const follower = await node()
  const admin = server.admin()
  const users = Array.from({ length: 300 }, (_, index) => `user-${index}`)
  for (const user of users) await follower.follow(user)
  for (const user of users) await admin.del(keys.registry(user))
  const since = Date.now()
  const gone = async (): Promise<string[]> => {
    const found = await Promise.all(users.map((user) => admin.hexists(keys.registry(user), follower.node)))
    return users.filter((_, index) => found[index] === 0)
  }
  await until(async () => (await gone()).length === 0, 'all are registered again', 60_000)
  t.ok(Date.now() - since < 60_000)
  for (const user of users.slice(0, 20)) await follower.store.publish(command(user))
  await until(() => users.slice(0, 20).every((user) => follower.ids(user).length === 1), 'and woken')
})

t.test('an older AOF: registrations of users who have left the node are removed', async (t) => {
  const { server, node, keys } = await own(t, { appendonly: 'yes', appendfsync: 'always' })
  const [one, two] = [await node(server.url, { maxConnections: 2 }), await node(server.url, { maxConnections: 2 })]
  const admin = server.admin()
  const ghosts = ['ann', 'ben', 'cid']
  await two.follow('stays')
  for (const user of ghosts) await one.follow(user)
  await admin.call('CONFIG', 'SET', 'auto-aof-rewrite-percentage', '0')
  const folder = join(server.folder, 'appendonlydir')
  const kept = join(server.folder, 'kept')
  await cp(folder, kept, { recursive: true })
  for (const user of ghosts) await one.leave(user)
  await server.kill()
  await rm(folder, { recursive: true })
  await cp(kept, folder, { recursive: true })
  await server.run()
  const registered = async (user: string): Promise<number> => await admin.hlen(keys.registry(user))
  await until(async () => one.store.status().available && two.store.status().available, 'both are available')
  await until(
    async () => (await Promise.all(ghosts.map(registered))).every((count) => count === 0),
    'the registrations were removed',
    10_000
  )
  t.equal(await registered('stays'), 1)
  for (const user of ghosts) {
    await two.follow(user)
    t.match(await one.store.publish(command(user)), { nodes: 1 })
  }
})

t.test('a wake-up for a user without a connection here: the registration is removed', async (t) => {
  const { node, keys } = on(shared, t)
  const follower = await node()
  const admin = shared.admin()
  await follower.follow('other')
  await admin.hset(keys.registry('alice'), follower.node, `1 ${JSON.stringify(follower.connections('alice'))}`)
  t.match(await follower.store.publish(command('alice')), { nodes: 1 })
  await until(async () => (await admin.hlen(keys.registry('alice'))) === 0, 'removed', 5000)
})

t.test('the message of a disconnect is lost: the counters reveal it, and the attach that follows returns the order to close', async (t) => {
  const proxy = await TcpProxy.start(shared.port)
  t.teardown(() => proxy.stop())
  const { node, keys } = on(shared, t)
  const deaf = await node(proxy.url)
  const operator = await node()
  await deaf.follow('alice')
  await deaf.follow('bob')
  for (const passage of proxy.passages('ssubscribe')) passage.blackHole('down')
  const disconnect = { user: 'alice', connectionId: undefined, reason: 'lost phone', revoke: false }
  t.equal(await operator.store.disconnect(disconnect), 1)
  const since = Date.now()
  await until(() => deaf.kicks.length > 0, 'the kick', 6000)
  t.ok(Date.now() - since < 5000, `told after ${Date.now() - since} ms`)
  const [connection] = deaf.connections('alice')
  t.match(deaf.kicks[0], { user: 'alice', connectionId: connection?.connectionId, reason: 'lost phone', revoked: false })
  t.ok(
    deaf.kicks.every(({ user }) => user === 'alice'),
    'nobody else'
  )

  const kicks = deaf.kicks.length
  await deaf.leave('alice')
  t.equal(await operator.store.disconnect(disconnect), 0)
  t.equal(await shared.admin().exists(keys.ofUser('alice', ['KICKS'])), 0, 'the order is deleted once the connection has left the registry')
  await until(() => deaf.store.status().available, 'available')
  await deaf.follow('alice')
  t.equal(deaf.kicks.length, kicks, 'a new connection is not closed')
})
