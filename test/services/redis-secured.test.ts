import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { newId } from '../../services/ids.ts'
import type { RedisStoreOptions } from '../../services/store/redis/clients.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { Follower } from '../fixtures/follower.ts'
import { RedisCluster, RedisSentinel } from '../fixtures/redis.ts'
import { settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

const access = { username: 'belfry', password: 'hunter2' }

async function open(t: Test, options: Partial<RedisStoreOptions>): Promise<Follower> {
  const store = new RedisStore(settings, { keyPrefix: 'belfry', waitReplicas: 0, ...options })
  t.teardown(() => store.close())
  return await new Follower('one', store).open()
}

/** Publishes and receives the wake-up, which uses every kind of connection that the driver has. */
async function publishAndWake(t: Test, follower: Follower): Promise<void> {
  t.equal(follower.store.status().available, true, follower.store.status().reason)
  await follower.follow('alice')
  const tail = '"type":"t","title":"x","timestamp":1}'
  t.match(await follower.store.publish({ user: 'alice', id: newId(), keyed: false, tail, halfLife: 0 }), { status: 'accepted', nodes: 1 })
  await until(() => follower.ids('alice').length === 1, 'the wake-up')
}

// Each test has servers of its own and mostly waits.
t.jobs = 3

t.test('a Cluster that requires a user and a password', async (t) => {
  const cluster = await RedisCluster.start()
  t.teardown(() => cluster.stop())
  for (const server of cluster.servers) {
    await server.admin().call('ACL', 'SETUSER', access.username, 'on', `>${access.password}`, '~*', '&*', '+@all')
    await server.admin().call('ACL', 'SETUSER', 'default', 'off')
  }
  const refused = (await open(t, { clusterNodes: cluster.nodes, username: access.username, password: 'wrong' })).store.status()
  t.match(refused, { available: false, reason: /WRONGPASS/ })
  await publishAndWake(t, await open(t, { clusterNodes: cluster.nodes, ...access }))
})

t.test('a Sentinel and a master with passwords of their own', async (t) => {
  const group = await RedisSentinel.start()
  t.teardown(() => group.stop())
  const { master, replica, sentinel, name } = group
  for (const server of [master, replica]) {
    await server.admin().config('SET', 'masterauth', access.password)
    await server.admin().config('SET', 'requirepass', access.password)
  }
  await sentinel.admin().call('SENTINEL', 'SET', name, 'auth-pass', access.password)
  await sentinel.admin().call('ACL', 'SETUSER', 'default', 'resetpass', '>hunter3')
  const sentinels = [`127.0.0.1:${sentinel.port}`]
  const { password } = access
  t.equal((await open(t, { sentinels, sentinelName: name, password })).store.status().available, false, 'the Sentinel refuses')
  await publishAndWake(t, await open(t, { sentinels, sentinelName: name, password, sentinelPassword: 'hunter3' }))
})

t.test('a TLS handshake begins with the first byte', async (t) => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const node = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  for (const place of [{ clusterNodes: [node] }, { sentinels: [node], sentinelName: 'belfry' }]) {
    const connected = once(server, 'connection') as Promise<[Socket]>
    const opened = open(t, { ...place, tls: true })
    const [data] = (await once((await connected)[0], 'data')) as [Buffer]
    t.equal(data[0], 0x16, `${Object.keys(place)[0]}: a handshake`)
    t.equal((await opened).store.status().available, false)
  }
})
