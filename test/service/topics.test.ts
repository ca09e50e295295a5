import t, { type Test } from 'tap'
import { isProblem } from '../fixtures/problem.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, ready, serviceToken, startService, type TestService } from '../helper.ts'

const NOTE = { type: 'deploy', title: 'Version 7 is out' }

const redis = await RedisServer.start()
t.teardown(() => redis.stop())
const stores: Record<string, TestService> = {
  embedded: await startService(t, { RATE_LIMIT_MAX: '0' }),
  redis: await startService(t, { RATE_LIMIT_MAX: '0', REDIS_URL: redis.url })
}

type Answer = Awaited<ReturnType<typeof call>>

function change(service: TestService, topic: string, body: unknown): Promise<Answer> {
  return call(service, 'PATCH', `/v1/topics/${encodeURIComponent(topic)}/members`, body)
}

function publish(service: TestService, to: unknown, more: Record<string, unknown> = {}, key?: string): Promise<Answer> {
  const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key }
  return call(service, 'POST', '/v1/notifications', { to, ...NOTE, ...more }, { headers })
}

async function membersOf(service: TestService, topic: string, query = ''): Promise<string[]> {
  const { body } = await call(service, 'GET', `/v1/topics/${encodeURIComponent(topic)}/members${query}`)
  return body.items.sort()
}

/** Resolves with a broadcast when it has ended. */
async function ended(service: TestService, { body }: Answer): Promise<Answer['body']> {
  return await until(async () => {
    const found = await call(service, 'GET', `/v1/broadcasts/${body.broadcast.id}`)
    return found.body.status === 'running' ? undefined : found.body
  }, 'the end of the broadcast')
}

async function titlesOf(service: TestService, user: string): Promise<string[]> {
  const { body } = await call(service, 'GET', `/v1/users/${encodeURIComponent(user)}/notifications?limit=200`)
  return body.items.map(({ title }: { title: string }) => title).reverse()
}

for (const [name, service] of Object.entries(stores)) {
  t.test(`${name}: members are added, removed, listed, and listed by user`, async (t) => {
    t.same((await change(service, 'm', { add: ['a', 'b', 'a', 'c'] })).body, { added: 3, removed: 0 })
    t.same((await change(service, 'm', { add: ['a', 'd'], remove: ['b', 'b', 'x'] })).body, { added: 1, removed: 1 })
    t.same((await change(service, 'm', { add: ['a', 'd'], remove: ['b'] })).body, { added: 0, removed: 0 }, 'again')
    t.same(await membersOf(service, 'm'), ['a', 'c', 'd'])
    await change(service, 'Ünï/cö?d', { add: ['a', 'ü/?#%'] })
    t.same((await call(service, 'GET', '/v1/users/a/topics')).body, { items: ['m', 'Ünï/cö?d'] })
    t.same((await call(service, 'GET', `/v1/users/${encodeURIComponent('ü/?#%')}/topics`)).body, { items: ['Ünï/cö?d'] })
    t.equal((await call(service, 'DELETE', '/v1/topics/m')).status, 204)
    t.equal((await call(service, 'DELETE', '/v1/topics/m')).status, 204)
    t.same(await membersOf(service, 'm'), [])
    t.same((await call(service, 'GET', '/v1/users/a/topics')).body, { items: ['Ünï/cö?d'] })
    await call(service, 'DELETE', '/v1/users/a')
    t.same(await membersOf(service, 'Ünï/cö?d'), ['ü/?#%'], 'an erased user is a member of nothing')
  })

  t.test(`${name}: pages hold every member once`, async (t) => {
    const names = Array.from({ length: 250 }, (_, n) => `page-${n}`)
    await change(service, 'pages', { add: names })
    const found: string[] = []
    let cursor: string | null = ''
    do {
      const query: string = cursor === '' ? '?limit=100' : `?limit=100&cursor=${encodeURIComponent(cursor)}`
      const { body } = await call(service, 'GET', `/v1/topics/pages/members${query}`)
      t.ok(body.items.length <= 100)
      found.push(...body.items)
      cursor = body.nextCursor
    } while (cursor !== null)
    t.same([...new Set(found)].sort(), names.sort())
    for (const query of ['?limit=0', '?limit=1001', '?cursor=', '?more=1']) {
      isProblem(t, await call(service, 'GET', `/v1/topics/pages/members${query}`), 400, 'INVALID_REQUEST', query)
    }
  })

  t.test(`${name}: 10,000 long names in one call`, async (t) => {
    const names = Array.from({ length: 10_000 }, (_, n) => `${n}`.padEnd(128, '😀'.at(0)).replaceAll('\ud83d', 'é').slice(0, 128))
    t.same((await change(service, 'large', { add: names })).body, { added: 10_000, removed: 0 })
    isProblem(t, await change(service, 'large', { add: [...names, 'more'] }), 413, 'TOO_LARGE', 'in one list')
    isProblem(t, await change(service, 'large', { add: names, remove: ['more'] }), 413, 'TOO_LARGE', 'together')
    t.same((await change(service, 'large', { remove: names })).body, { added: 0, removed: 10_000 })
  })

  t.test(`${name}: changes and topics that are not valid`, async (t) => {
    const bad: unknown[] = [{}, { add: [] }, { add: [], remove: [] }, { add: 'a' }, { add: [''] }, { add: ['..'] }, { add: ['\u0007'] }]
    bad.push({ add: ['a'], remove: ['b', 'a'] }, { add: ['a'], more: 1 }, { add: [7] }, ['a'], 'null', '', '{"add":["a"],"add":["b"]}')
    for (const body of bad) isProblem(t, await change(service, 'bad', body), 400, 'INVALID_REQUEST', JSON.stringify(body))
    for (const topic of ['\u0007', 'x'.repeat(129), '\ud7ff\u200b']) {
      isProblem(t, await change(service, topic, { add: ['a'] }), 400, 'INVALID_REQUEST', topic)
    }
    // fetch and proxies resolve dots in a path, so these names cannot be reached by one.
    for (const to of [
      { topic: '..' },
      { topic: '.' },
      { topic: '' },
      { topic: 7 },
      { topic: 'a', everyone: true },
      { everyone: false },
      {}
    ]) {
      isProblem(t, await publish(service, to), 400, 'INVALID_REQUEST', JSON.stringify(to))
    }
    isProblem(t, await publish(service, { topic: 'a', except: [''] }), 400, 'INVALID_REQUEST')
    isProblem(t, await publish(service, { topic: 'a', except: 'b' }), 400, 'INVALID_REQUEST')
    isProblem(t, await publish(service, { topic: 'a', more: 1 }), 400, 'INVALID_REQUEST')
    isProblem(t, await publish(service, { topic: 'a', except: Array(1001).fill('b') }), 413, 'TOO_LARGE')
    t.same(await membersOf(service, 'bad'), [])
  })

  t.test(`${name}: membership needs the scope admin; publishing to a topic and its broadcast do not`, async (t) => {
    const token = serviceToken('publish')
    for (const [method, path, body] of [
      ['PATCH', '/v1/topics/scoped/members', { add: ['a'] }],
      ['GET', '/v1/topics/scoped/members', undefined],
      ['DELETE', '/v1/topics/scoped', undefined],
      ['GET', '/v1/users/a/topics', undefined]
    ] as const) {
      isProblem(t, await call(service, method, path, body, { token }), 403, 'SCOPE_MISSING', `${method} ${path}`)
    }
    const { status, body } = await call(service, 'POST', '/v1/notifications', { to: { topic: 'scoped' }, ...NOTE }, { token })
    t.equal(status, 202)
    t.equal((await call(service, 'GET', `/v1/broadcasts/${body.broadcast.id}`, undefined, { token })).status, 200)
    t.equal((await call(service, 'DELETE', `/v1/broadcasts/${body.broadcast.id}`, undefined, { token })).status, 204)
  })

  t.test(`${name}: each member gets a broadcast once, with one id, and nobody else does`, async (t) => {
    const users = Array.from({ length: 1200 }, (_, n) => `each-${n}`)
    await change(service, 'each', { add: users })
    const client = await ready(t, service, 'each-7', { acks: true })
    const before = Date.now()
    const answer = await publish(service, { topic: 'each', except: ['each-3', 'stranger'] }, { data: { n: 1 }, timestamp: 1 }, 'k1')
    t.equal(answer.status, 202)
    t.match(answer.body.broadcast.id, /^[0-9a-f]{2}[\w-]{20}$/)
    t.same(answer.body, {
      id: answer.body.broadcast.id.slice(2),
      durability: answer.body.durability,
      results: [],
      broadcast: { id: answer.body.broadcast.id, status: 'running' }
    })
    const broadcast = await ended(service, answer)
    t.same(broadcast, {
      id: answer.body.broadcast.id,
      to: { topic: 'each', except: ['each-3', 'stranger'] },
      status: 'done',
      members: broadcast.members,
      accepted: 1199,
      parked: 0,
      rejected: 0,
      startedAt: broadcast.startedAt,
      finishedAt: broadcast.finishedAt
    })
    t.ok(broadcast.startedAt >= before && broadcast.finishedAt >= broadcast.startedAt && broadcast.finishedAt <= Date.now() + 1000)
    const { notification } = await client.next('notification')
    t.same(notification, { id: answer.body.id, ...NOTE, timestamp: 1, data: { n: 1 } }, 'live')
    for (const user of ['each-0', 'each-499', 'each-500', 'each-1199']) t.same(await titlesOf(service, user), [NOTE.title], user)
    for (const user of ['each-3', 'stranger']) t.same(await titlesOf(service, user), [], user)

    const again = await publish(service, { topic: 'each', except: ['stranger', 'each-3'] }, { data: { n: 1 }, timestamp: 1 }, 'k1')
    t.equal(again.status, 200)
    t.equal(again.headers.get('idempotent-replayed'), 'true')
    t.same(again.body, { ...answer.body, broadcast: { ...answer.body.broadcast, status: 'done' } })
    isProblem(t, await publish(service, { topic: 'each' }, {}, 'k1'), 422, 'IDEMPOTENCY_CONFLICT', 'another audience')
    const other = await publish(service, { topic: 'other' }, {}, 'k1')
    t.equal(other.status, 202, 'a key belongs to a topic')
    t.equal((await ended(service, other)).accepted, 0, 'a topic without members')
    t.equal((await publish(service, 'each-0', {}, 'k1')).status, 202, 'and not to a user')
    t.same(await titlesOf(service, 'each-0'), [NOTE.title, NOTE.title])
    await client.close()
  })

  t.test(`${name}: broadcasts to one topic reach each member in the order of their publishes`, async (t) => {
    const users = Array.from({ length: 40 }, (_, n) => `order-${n}`)
    await change(service, 'order', { add: users })
    const titles = Array.from({ length: 8 }, (_, n) => `title ${n}`)
    const answers: Answer[] = []
    for (const title of titles.slice(0, 5)) answers.push(await publish(service, { topic: 'order' }, { title }))
    const batch = titles.slice(5).map((title) => ({ to: { topic: 'order' }, ...NOTE, title }))
    const { body } = await call(service, 'POST', '/v1/notifications/batch', { notifications: [...batch, { to: { topic: '' }, ...NOTE }] })
    t.match(body.results.at(-1), { problem: { status: 400 } })
    for (const result of body.results.slice(0, -1)) answers.push({ ...(answers[0] as Answer), body: result })
    for (const answer of answers) t.match(await ended(service, answer), { status: 'done', accepted: 40 })
    for (const user of users) t.same(await titlesOf(service, user), titles, user)
  })

  t.test(`${name}: everyone is every user who has a log`, async (t) => {
    await publish(service, ['everyone-1', 'everyone-2', 'everyone-3'])
    const answer = await publish(service, { everyone: true, except: ['everyone-2'] }, { title: 'to all' }, 'k1')
    t.match(await ended(service, answer), { to: { everyone: true, except: ['everyone-2'] }, status: 'done', rejected: 0 })
    t.same(await titlesOf(service, 'everyone-1'), [NOTE.title, 'to all'])
    t.same(await titlesOf(service, 'everyone-2'), [NOTE.title])
    t.same(await titlesOf(service, 'never seen'), [])
    t.equal((await publish(service, { everyone: true, except: ['everyone-2'] }, { title: 'to all' }, 'k1')).status, 200)
  })

  t.test(`${name}: a cancelled broadcast is recalled from those who got it`, async (t) => {
    const users = Array.from({ length: 600 }, (_, n) => `cancel-${n}`)
    await change(service, 'cancel', { add: users })
    const client = await ready(t, service, 'cancel-1', { acks: true })
    const answer = await publish(service, { topic: 'cancel' })
    t.equal((await ended(service, answer)).accepted, 600)
    const { id } = answer.body.broadcast
    const cancelled = await call(service, 'DELETE', `/v1/broadcasts/${id}`)
    t.equal(cancelled.status, 204)
    t.equal(cancelled.headers.get('belfry-durability'), answer.body.durability)
    t.match((await call(service, 'GET', `/v1/broadcasts/${id}`)).body, { status: 'cancelled', accepted: 600 })
    t.match(await client.next('retract'), { id: answer.body.id, reason: 'recalled' })
    for (const user of ['cancel-0', 'cancel-599']) {
      await until(async () => ((await titlesOf(service, user)).length === 0 ? true : undefined), `the recall from ${user}`)
    }
    t.equal((await call(service, 'DELETE', `/v1/broadcasts/${id}`)).status, 204, 'again')
    for (const unknown of ['00aaaaaaaaaaaaaaaaaaaa', 'none', `${id}x`, '%00']) {
      isProblem(t, await call(service, 'GET', `/v1/broadcasts/${unknown}`), 404, 'NOT_FOUND', unknown)
      isProblem(t, await call(service, 'DELETE', `/v1/broadcasts/${unknown}`), 404, 'NOT_FOUND', unknown)
    }
    await client.close()
  })

  t.test(`${name}: options of a notification hold for each member`, async (t) => {
    await change(service, 'options', { add: ['opt-1', 'opt-2'] })
    await ended(service, await publish(service, { topic: 'options' }, { collapseKey: 'k', title: 'first' }))
    await ended(service, await publish(service, { topic: 'options' }, { collapseKey: 'k', title: 'second' }))
    t.same(await titlesOf(service, 'opt-2'), ['second'])
    const deliverAt = Date.now() + 60_000
    const scheduled = await publish(service, { topic: 'options' }, { title: 'later', deliverAt })
    t.match(await ended(service, scheduled), { accepted: 2 })
    t.match((await call(service, 'GET', '/v1/users/opt-1/scheduled')).body, { items: [{ title: 'later', deliverAt }] })
    await call(service, 'DELETE', `/v1/broadcasts/${scheduled.body.broadcast.id}`)
    await until(async () => {
      const { body } = await call(service, 'GET', '/v1/users/opt-1/scheduled')
      return body.items.length === 0 ? true : undefined
    }, 'the recall of the scheduled one')
    const expiring = await publish(service, { topic: 'options' }, { title: 'short', ttl: 1 })
    await ended(service, expiring)
    await until(async () => ((await titlesOf(service, 'opt-1')).includes('short') ? undefined : true), 'the expiry')
  })
}

t.test('members over their rate are parked, and those with too many parked are rejected', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_WINDOW_MS: '1000', PARKED_MAX: '1' })
  await service.app.topics.add('team', ['quiet', 'parked', 'full'])
  await publish(service, 'parked')
  await publish(service, 'full')
  await publish(service, 'full')
  const broadcast = await ended(service, await publish(service, { topic: 'team' }, { title: 'to the team' }))
  t.match(broadcast, { accepted: 1, parked: 1, rejected: 1 })
  await until(async () => ((await titlesOf(service, 'parked')).length === 2 ? true : undefined), 'the release')
  const { body } = await call(service, 'GET', '/metrics')
  t.match(body, /belfry_broadcast_members_total\{result="parked"\} 1/)
  t.match(body, /belfry_broadcasts_running 0/)
})

t.test('an app that embeds Belfry changes topics and publishes to them', async (t: Test) => {
  const { app } = await startService(t, { RATE_LIMIT_MAX: '0' })
  t.equal(await app.topics.add('room', 'alice'), 1)
  t.equal(await app.topics.add('room', ['alice', 'bob', 'carol']), 2)
  t.equal(await app.topics.remove('room', ['carol', 'dan']), 1)
  t.equal(await app.topics.add('room', []), 0)
  t.equal(
    await app.topics.add(
      'crowd',
      Array.from({ length: 10_500 }, (_, n) => `crowd-${n}`)
    ),
    10_500,
    'more than one step'
  )
  t.same((await app.topics.members('room', { limit: 10 })).items.sort(), ['alice', 'bob'])
  t.same(await app.topics.topicsOf('bob'), ['room'])
  const { answer, replayed } = await app.publisher.publish({ to: { topic: 'room' }, ...NOTE }, 'chat', undefined)
  t.equal(replayed, false)
  const found = await until(async () => {
    const broadcast = await app.broadcaster.get(answer.broadcast?.id ?? '')
    return broadcast.status === 'done' ? broadcast : undefined
  }, 'the end of the broadcast')
  t.match(found, { accepted: 2, to: { topic: 'room' } })
  await app.topics.delete('room')
  t.same(await app.topics.topicsOf('bob'), [])
})
