import t, { type Test } from 'tap'
import { Belfry } from '../../packages/server/src/index.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, ready, SECRET, serviceToken, startService, temporaryFolder } from '../helper.ts'

const STORES = ['embedded', 'redis'] as const

/** Returns the environment of a service on a store of its own. */
async function storeOf(t: Test, name: (typeof STORES)[number]): Promise<Record<string, string>> {
  const own = { DATA_DIR: temporaryFolder(t), RATE_LIMIT_MAX: '0' }
  if (name === 'embedded') return own
  const redis = await RedisServer.start({ appendonly: 'yes', appendfsync: 'always' })
  t.teardown(() => redis.stop())
  return { ...own, REDIS_URL: redis.url }
}

const note = (title: string) => ({ type: 'test', title })

/** Returns the titles of a user's notifications, oldest first. */
async function titlesOf(service: { url: string }, user: string): Promise<string[]> {
  const titles: string[] = []
  let cursor = ''
  do {
    const { body } = await call(service, 'GET', `/v1/users/${user}/notifications?limit=200${cursor}`)
    titles.unshift(...(body.items as { title: string }[]).map(({ title }) => title).reverse())
    cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`
  } while (cursor !== '')
  return titles
}

for (const store of STORES) {
  const burst = store === 'embedded' ? 10_000 : 3000

  t.test(`${store}: every method, and ${burst} calls at once`, async (t) => {
    const service = await startService(t, { ...(await storeOf(t, store)), API_KEYS: 'admin:the-key-of-the-tests' })
    const belfry = new Belfry(`${service.url}/`, { apiKey: 'the-key-of-the-tests' })
    t.teardown(() => belfry.close())
    const alice = await ready(t, service, 'alice', { deviceId: 'laptop', acks: true })

    const published = await belfry.notify('alice', { ...note('hello'), data: { n: 1 }, actions: [{ action: 'ok', title: 'OK' }] })
    t.match(published, { user: 'alice', status: 'accepted', nodes: 1, durability: store === 'embedded' ? 'fsync' : /./ })
    t.match(await alice.next('notification'), { notification: { id: published.id, title: 'hello', data: { n: 1 } } })
    const keyed = { idempotencyKey: 'the same' }
    const [one, other] = await Promise.all([1, 2].map(() => belfry.notify('carol', note('once'), keyed)))
    t.same(one, other)
    await t.rejects(belfry.notify('carol', note('another'), keyed), { status: 422, code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT' })
    t.match(await belfry.notify(['alice', 'bob'], note('both')), { results: [{ user: 'alice' }, { user: 'bob' }] })
    const later = Date.now() + 3_600_000
    t.match(await belfry.notify('bob', { ...note('later'), deliverAt: later }), { status: 'scheduled', deliverAt: later })
    await t.rejects(belfry.notify('bob', { ...note('wrong'), ttl: -1 }), {
      code: 'BELFRY_ERR_INVALID_REQUEST',
      problem: { errors: [{ pointer: '/ttl' }] }
    })

    await belfry.recall('alice', published.id)
    t.match(await alice.next('retract'), { id: published.id })
    await t.rejects(belfry.recall('alice', 'unknown'), { status: 404, code: 'BELFRY_ERR_NOT_FOUND' })
    t.match(await belfry.presence('alice'), { user: 'alice', online: true, devices: [{ deviceId: 'laptop' }] })
    const users = Array.from({ length: 1500 }, (_, n) => (n === 1200 ? 'alice' : `nobody-${n}`))
    const presence = await belfry.presence(users)
    t.equal(presence.length, 1500)
    t.same(
      presence.flatMap(({ user, online }) => (online ? [user] : [])),
      ['alice']
    )

    const calls = Array.from({ length: burst }, (_, n) => belfry.notify(n % 100 === 0 ? 'alice' : `user-${n % 100}`, note(`burst ${n}`)))
    const results = await Promise.all(calls)
    t.ok(results.every(({ status }) => status === 'accepted'))
    const titlesOfBurst = (first: number): string[] => Array.from({ length: burst / 100 }, (_, n) => `burst ${n * 100 + first}`)
    await alice.until(() => alice.all('notification').length === burst / 100 + 2 || undefined, 'the burst')
    t.same(
      alice.all('notification').map(({ notification }) => notification.title),
      ['hello', 'both', ...titlesOfBurst(0)]
    )
    t.same(await titlesOf(service, 'user-7'), titlesOfBurst(7))

    const team = Array.from({ length: 700 }, (_, n) => `member-${n}`)
    t.same(await belfry.topics.add('team', [...team, 'alice', 'leaver']), { added: 702, removed: 0 })
    t.same(await belfry.topics.remove('team', 'leaver'), { added: 0, removed: 1 })
    const members: string[] = []
    for await (const member of belfry.topics.members('team')) members.push(member)
    t.same(members.sort(), ['alice', ...team].sort())
    t.same(await belfry.topics.of('alice'), ['team'])
    const ended = async (id: string) => {
      await until(async () => (await belfry.broadcasts.get(id)).status === 'done', 'the broadcast is done', 20_000)
      return await belfry.broadcasts.get(id)
    }
    const sent = await belfry.notify({ topic: 'team', except: ['member-0'] }, note('to the team'))
    t.match(await ended(sent.broadcast.id), { to: { topic: 'team', except: ['member-0'] }, accepted: 700, parked: 0, rejected: 0 })
    await alice.until(() => alice.all('notification').some(({ notification }) => notification.id === sent.id) || undefined, 'the broadcast')
    t.same(await titlesOf(service, 'member-1'), ['to the team'])
    t.same(await titlesOf(service, 'member-0'), [])
    await belfry.broadcasts.cancel(sent.broadcast.id)
    t.match(await belfry.broadcasts.get(sent.broadcast.id), { status: 'cancelled' })
    await alice.until(() => alice.all('retract').some(({ id }) => id === sent.id) || undefined, 'the recall')
    const toAll = await belfry.notify({ everyone: true, except: ['alice'] }, note('to everyone'))
    t.ok((await ended(toAll.broadcast.id)).accepted >= 799, 'the 700 members, and the 99 users of the burst')
    await belfry.topics.delete('team')
    t.same(await belfry.topics.of('alice'), [])
    await t.rejects(belfry.broadcasts.get('unknown'), { status: 404, code: 'BELFRY_ERR_NOT_FOUND' })
  })

  t.test(`${store}: a node is killed while calls are under way: none is lost, doubled or out of order`, async (t) => {
    const environment = { ...(await storeOf(t, store)), JWT_SECRET: SECRET, LOG_LEVEL: 'silent' }
    const port = await freePort()
    let node = new ServerProcess(port, environment)
    t.teardown(() => node.kill())
    await node.until(() => node.ready(), 'ready')
    const belfry = new Belfry(node.url, { getToken: () => serviceToken('publish') })
    const titlesByUser = new Map<string, string[]>()
    const calls: Promise<{ status: string }>[] = []
    let settled = 0
    let made = 0
    const publish = (): void => {
      const user = `user-${made % 8}`
      titlesByUser.set(user, [...(titlesByUser.get(user) ?? []), `${made}`])
      calls.push(belfry.notify(user, note(`${made++}`)).finally(() => settled++))
    }
    for (let round = 1; round <= 2; round++) {
      for (let n = 0; n < 400; n++) {
        publish()
        if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await until(() => settled > 0, 'the first results')
      t.ok(settled < made, `killed with ${made - settled} calls under way`)
      await node.kill()
      node = new ServerProcess(port, environment)
    }
    await node.until(() => node.ready(), 'ready')
    t.ok((await Promise.all(calls)).every(({ status }) => status === 'accepted'))
    for (const [user, titles] of titlesByUser) t.same(await titlesOf(node, user), titles, user)
  })
}

t.test('redis: with the store away, calls wait and are then carried out once', async (t) => {
  const redis = await RedisServer.start({ appendonly: 'yes', appendfsync: 'always' })
  t.teardown(() => redis.stop())
  const service = await startService(t, { REDIS_URL: redis.url, RATE_LIMIT_MAX: '0' })
  const belfry = new Belfry(service.url, { getToken: () => serviceToken('publish') })
  await belfry.notify('alice', note('before'))
  await redis.kill()
  const calls = Array.from({ length: 50 }, (_, n) => belfry.notify('alice', note(`away ${n}`)))
  await until(async () => !(await fetch(`${service.url}/health/ready`)).ok, 'red')
  await redis.run()
  await Promise.all(calls)
  t.same(await titlesOf(service, 'alice'), ['before', ...Array.from({ length: 50 }, (_, n) => `away ${n}`)])
})
