import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { newId } from '../../services/ids.ts'
import type { RedisStoreOptions } from '../../services/store/redis/clients.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { makeCertificates } from '../fixtures/certificates.ts'
import { Follower } from '../fixtures/follower.ts'
import { RedisCluster, RedisSentinel, RedisServer } from '../fixtures/redis.ts'
import { settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'
import { temporaryFolder } from '../helper.ts'

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

t.test('TLS on one side only: one sentence says what to check', async (t) => {
  const plain = await RedisServer.start()
  t.teardown(() => plain.stop())
  const { server: pair } = await makeCertificates(temporaryFolder(t))
  const secured = createTlsServer({ cert: readFileSync(pair.cert), key: readFileSync(pair.key) }).listen(0, '127.0.0.1')
  await once(secured, 'listening')
  t.teardown(() => secured.close())
  const host = (port: number): string => `127.0.0.1:${port}`
  const [withoutTls, withTls] = [host(plain.port), host((secured.address() as AddressInfo).port)]
  const toPlain = /check the address, and that the server speaks TLS there if it is rediss:\/\/ or with REDIS_TLS=true$/
  const toSecured = /check the address, and write rediss:\/\/ or REDIS_TLS=true if the server speaks TLS there$/
  const cases: [Partial<RedisStoreOptions>, RegExp][] = [
    [{ url: `rediss://${withoutTls}` }, toPlain],
    [{ url: `redis://${withTls}` }, toSecured],
    [{ clusterNodes: [withoutTls], tls: true }, toPlain],
    [{ clusterNodes: [withTls] }, toSecured],
    [{ sentinels: [withoutTls], sentinelName: 'belfry', tls: true }, /check REDIS_SENTINELS, REDIS_SENTINEL_NAME and REDIS_TLS/],
    [{ sentinels: [withTls], sentinelName: 'belfry' }, /check REDIS_SENTINELS, REDIS_SENTINEL_NAME and REDIS_TLS/]
  ]
  const check = async ([options, expected]: (typeof cases)[number]): Promise<void> => {
    const lines: string[] = []
    const { store } = await open(t, { ...options, log: { info: () => undefined, warn: (line) => lines.push(line) } })
    await until(() => lines.length > 0, JSON.stringify(options))
    t.match(lines, [expected])
    t.equal(lines.length, 1, lines.join('\n'))
    t.match(store.status(), { available: false, reason: expected })
  }
  await Promise.all(cases.map(check))
})
