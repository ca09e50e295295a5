import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { newId } from '../../services/ids.ts'
import { bucketOf, Keys } from '../../services/store/redis/keys.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import type { Store } from '../../services/store/store.ts'
import { pageOf } from '../conformance/stage.ts'
import { makeCertificates, textsOf } from '../fixtures/certificates.ts'
import { Follower } from '../fixtures/follower.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { freePort, RedisCluster, RedisServer } from '../fixtures/redis.ts'
import { command, settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'
import { SECRET, temporaryFolder } from '../helper.ts'

const PASSWORD = 'hunter2'

/** The rules of the ACL that the guide shows, without those for INFO and CONFIG when `narrow`. */
function documentedRules(narrow: boolean): string[] {
  const guide = readFileSync('docs/guides/scaling.md', 'utf8')
  const [, rules = ''] = /^ACL SETUSER belfry on (.+)$/m.exec(guide) ?? []
  return rules
    .replace('PASSWORD', PASSWORD)
    .split(' ')
    .filter((rule) => !narrow || !['+info', '+config|get'].includes(rule))
}

async function openStore(t: Test, url: string, warnings: string[] = []): Promise<Follower> {
  const log = { info: () => undefined, warn: (message: string) => warnings.push(message) }
  const store = new RedisStore({ ...settings, rateLimit: 3 }, { url, keyPrefix: 'belfry', waitReplicas: 0, log })
  t.teardown(() => store.close())
  return await new Follower('one', store).open()
}

/** Runs every step of the store at least once. */
async function exercise(t: Test, follower: Follower, server: RedisServer): Promise<void> {
  const { store } = follower
  t.equal(store.status().available, true, store.status().reason)
  await follower.follow('alice')
  for (let i = 0; i < 5; i++) await store.publish(command('alice'))
  await until(() => follower.ids('alice').length >= 3, 'wake-ups')
  const { head } = await store.queue('alice')
  await store.ack('alice', 'phone', head)
  await store.mark({ user: 'alice', target: { upTo: head }, state: 'read' })
  await store.sweep()
  await store.advance('alice')
  const { items } = await pageOf(store, { user: 'alice', states: undefined, before: undefined, limit: 10 })
  t.ok(items.length >= 3)
  await store.retract('alice', follower.ids('alice')[0] as string, 'recalled')
  await store.find('alice', follower.ids('alice')[1] as string)
  await store.disconnect({ user: 'alice', connectionId: undefined, reason: 'bye', revoke: false })
  await until(() => follower.kicks.length === 1, 'the kick')
  await exerciseAudiences(t, store)
  await store.revokedBefore('alice')
  t.equal((await store.connections('alice')).length, 1)
  await follower.leave('alice')
  await server.admin().hincrby(new Keys('belfry').counters[bucketOf('alice')] as string, 'one', -1)
  await until(() => follower.lost > 0, 'the check of the counters')
  await store.close()
}

// Each test has servers of its own and mostly waits.
t.jobs = 3

async function exerciseAudiences(t: Test, { audiences }: Store): Promise<void> {
  const publish = { keyed: true, tail: command('alice').tail, halfLife: 0 }
  await audiences.changeMembers({ topic: 'team', add: ['alice', 'bob'], remove: ['carol'] })
  t.equal((await audiences.members('team', undefined, 10)).items.length, 2)
  t.same(await audiences.topicsOf('alice'), ['team'])
  const started = await audiences.start({ ...publish, id: newId(), to: { topic: 'team', except: ['bob'] } })
  if (started.status !== 'started' || started.batch === undefined) throw new Error(started.status)
  const { broadcastId, from, isRecall } = started.batch
  await audiences.settle({ broadcastId, from, isRecall, size: 1, accepted: 1, parked: 0, rejected: 0 })
  t.match(await audiences.cancel(broadcastId), { status: 'cancelled', accepted: 1 })
  await audiences.start({ ...publish, id: newId(), to: { everyone: true, except: [] } })
  const waiting = await audiences.waiting()
  t.equal(waiting.length, 2)
  for (const id of waiting) while ((await audiences.lease(id)).status === 'collecting');
  await audiences.deleteTopic('team')
}

t.test('the ACL of the guide allows every command that the store sends', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  await server.admin().call('ACL', 'SETUSER', 'belfry', 'on', ...documentedRules(false))
  const warnings: string[] = []
  await exercise(t, await openStore(t, `redis://belfry:${PASSWORD}@127.0.0.1:${server.port}`, warnings), server)
  t.same(await server.admin().call('ACL', 'LOG'), [])
  t.same(warnings, [])
})

t.test('a user without INFO and CONFIG: one warning, and the durability that the node can verify', async (t) => {
  const server = await RedisServer.start({ appendonly: 'yes', appendfsync: 'always' })
  t.teardown(() => server.stop())
  const url = `redis://belfry:${PASSWORD}@127.0.0.1:${server.port}`
  await server.admin().call('ACL', 'SETUSER', 'belfry', 'on', ...documentedRules(true))
  const warnings: string[] = []
  const narrow = await openStore(t, url, warnings)
  t.match(narrow.store.status(), { available: true, durability: 'none' })
  t.match(warnings, [/neither INFO nor CONFIG GET/])
  await exercise(t, narrow, server)
  t.equal(warnings.length, 1)

  await server.admin().call('ACL', 'SETUSER', 'belfry', '+info')
  const informed = await openStore(t, url, warnings)
  t.match(informed.store.status(), { available: true, durability: 'os' })
  t.match(warnings[1], /may not run CONFIG GET/)
  await server.admin().call('ACL', 'SETUSER', 'belfry', '+config|get')
  t.match((await openStore(t, url, warnings)).store.status(), { available: true, durability: 'fsync' })
  t.equal(warnings.length, 2)
})

t.test('a user with other key patterns is refused by name', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  await server.admin().call('ACL', 'SETUSER', 'other', 'on', `>${PASSWORD}`, '~other:*', '&*', '+@all')
  const follower = await openStore(t, `redis://other:${PASSWORD}@127.0.0.1:${server.port}`)
  t.match(follower.store.status(), { available: false, reason: /NOPERM|permissions/ })
})

t.test('a Cluster under the ACL of the guide', async (t) => {
  const cluster = await RedisCluster.start()
  t.teardown(() => cluster.stop())
  for (const server of cluster.servers) await server.admin().call('ACL', 'SETUSER', 'belfry', 'on', ...documentedRules(false))
  const access = { username: 'belfry', password: PASSWORD }
  const store = new RedisStore(settings, { clusterNodes: cluster.nodes, ...access, keyPrefix: 'belfry', waitReplicas: 0 })
  t.teardown(() => store.close())
  const follower = await new Follower('one', store).open()
  t.equal(store.status().available, true, store.status().reason)
  await follower.follow('alice')
  await store.publish(command('alice'))
  await until(() => follower.ids('alice').length === 1, 'the wake-up')
  await store.close()
  for (const server of cluster.servers) t.same(await server.admin().call('ACL', 'LOG'), [])
})

t.test('a policy and a durability changed at run time are noticed within 10 s', async (t) => {
  const server = await RedisServer.start({ appendonly: 'yes', appendfsync: 'always' })
  t.teardown(() => server.stop())
  const warnings: string[] = []
  const follower = await openStore(t, server.url, warnings)
  t.equal(follower.store.status().durability, 'fsync')
  await server.admin().config('SET', 'appendfsync', 'everysec')
  await until(() => follower.store.status().durability === 'os', 'appendfsync everysec')
  await server.admin().config('SET', 'appendonly', 'no')
  await until(() => follower.store.status().durability === 'none', 'no AOF')
  await server.admin().config('SET', 'maxmemory-policy', 'allkeys-lru')
  await until(() => !follower.store.status().available, 'a policy that evicts')
  t.match(follower.store.status().reason, /noeviction.*allkeys-lru/)
  t.match(warnings.at(-1), /noeviction.*allkeys-lru/)
  await server.admin().config('SET', 'maxmemory-policy', 'noeviction')
  await until(() => follower.store.status().available, 'available again', 4000)
})

t.test('a database number that the server does not have: the store is not available, and no other database is written', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  const far = await openStore(t, `${server.url}/99`)
  t.match(far.store.status(), { available: false, reason: /no database 99/ })
  t.equal(await server.admin().dbsize(), 0)
  const third = await openStore(t, `${server.url}/3`)
  await third.follow('alice')
  await third.store.publish(command('alice'))
  await until(() => third.ids('alice').length === 1, 'the wake-up')
  t.equal(await server.admin().dbsize(), 0)
})

t.test('TLS with a client certificate: by URL, and by the environment of a process', async (t) => {
  const folder = temporaryFolder(t)
  const made = await makeCertificates(folder)
  const tlsPort = String(await freePort())
  const files = ['--tls-cert-file', made.server.cert, '--tls-key-file', made.server.key, '--tls-ca-cert-file', made.ca]
  const server = await RedisServer.start({ args: ['--tls-port', tlsPort, ...files, '--tls-auth-clients', 'yes'] })
  t.teardown(() => server.stop())
  const url = `rediss://127.0.0.1:${tlsPort}`
  const open = async (certificates: { cert?: string; key?: string; ca?: string }): Promise<Follower> => {
    const store = new RedisStore(settings, { url, certificates, keyPrefix: 'tls', waitReplicas: 0 })
    t.teardown(() => store.close())
    return await new Follower('one', store).open()
  }
  const { ca, ...client } = await textsOf(made.client, made.ca)
  const { ca: _, ...stranger } = await textsOf(made.stranger, made.ca)
  t.match((await open({ ca })).store.status().available, false, 'no client certificate')
  t.match((await open({ ...client })).store.status().available, false, 'an unknown authority of the server')
  t.match((await open({ ...stranger, ca })).store.status().available, false, 'a client certificate of an unknown authority')
  const follower = await open({ ...client, ca })
  t.equal(follower.store.status().available, true, follower.store.status().reason)
  await follower.follow('alice')
  await follower.store.publish(command('alice'))
  await until(() => follower.ids('alice').length === 1, 'the wake-up')

  const environment = {
    REDIS_URL: url,
    REDIS_TLS_CERT: made.client.cert,
    REDIS_TLS_KEY: made.client.key,
    REDIS_TLS_CA: made.ca,
    JWT_SECRET: SECRET,
    LOG_LEVEL: 'silent'
  }
  const process = await ServerProcess.start(environment, folder)
  t.teardown(() => process.kill())
})
