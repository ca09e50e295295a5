import t from 'tap'
import { errors } from '../../services/errors.ts'
import { isProblem } from '../fixtures/problem.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, serviceToken, startService, type TestService, userToken } from '../helper.ts'

const NO_LIMIT = { RATE_LIMIT_MAX: '0' }
const NOTE = { type: 'sync.done', title: 'Sync finished' }

type Answer = Awaited<ReturnType<typeof call>>

function publish(service: TestService, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return call(service, 'POST', '/v1/notifications', body, { headers })
}

t.test('publish', async (t) => {
  const service = await startService(t, NO_LIMIT)

  await t.test('to one user: 202, with every field of a notification', async (t) => {
    const full = { ...NOTE, timestamp: 1_754_000_000_000, ref: '/syncs/77', data: { files: 12, nested: { ünï: ['😀'] } } }
    const answer = await publish(service, { to: 'alice', ...full, halfLife: 0.5 })
    t.equal(answer.status, 202)
    t.match(answer.body.id, /^[\w-]{20}$/)
    t.same(answer.body, {
      id: answer.body.id,
      durability: 'fsync',
      results: [{ user: 'alice', status: 'accepted', eventId: answer.body.results[0].eventId, nodes: 0 }]
    })
    t.match(answer.body.results[0].eventId, /^[0-9a-z]{6}\.1\.[0-9a-f]{8}$/)
    const found = await call(service, 'GET', `/v1/users/alice/notifications/${answer.body.id}`)
    t.same(found.body, { id: answer.body.id, ...full, state: 'unread', eventId: answer.body.results[0].eventId })
    const before = Date.now()
    const { body } = await publish(service, { to: 'alice', ...NOTE })
    const { timestamp } = (await call(service, 'GET', `/v1/users/alice/notifications/${body.id}`)).body
    t.ok(timestamp >= before && timestamp <= Date.now(), 'the default is the time of the publish')
  })

  await t.test('to many users: each once, in the order of the request', async (t) => {
    const answer = await publish(service, { to: ['a', 'b', 'a', 'ünï/cö?d'], ...NOTE })
    t.equal(answer.status, 202)
    t.same(
      answer.body.results.map(({ user, status }: { user: string; status: string }) => [user, status]),
      [
        ['a', 'accepted'],
        ['b', 'accepted'],
        ['ünï/cö?d', 'accepted']
      ]
    )
    const inbox = await call(service, 'GET', `/v1/users/${encodeURIComponent('ünï/cö?d')}/notifications`)
    t.equal(inbox.body.items[0].id, answer.body.id)
    const thousand = await publish(service, { to: Array.from({ length: 1000 }, (_, n) => `many${n}`), ...NOTE })
    t.equal(thousand.body.results.filter(({ status }: { status: string }) => status === 'accepted').length, 1000)
  })

  await t.test('invalid requests', async (t) => {
    const good = { to: 'alice', ...NOTE }
    const { title: _title, ...noTitle } = good
    const bad: [name: string, body: unknown][] = [
      ['no title', noTitle],
      ['an empty title', { ...good, title: '' }],
      ['a title that is no text', { ...good, title: 7 }],
      ['a long title', { ...good, title: 'x'.repeat(1025) }],
      ['a long type', { ...good, type: 'x'.repeat(129) }],
      ['a long ref', { ...good, ref: 'x'.repeat(2049) }],
      ['an unknown field', { ...good, priority: 1 }],
      ['no recipient', { ...good, to: [] }],
      ['an empty user', { ...good, to: '' }],
      ['a user that is a number', { ...good, to: 7 }],
      ['one bad user among good ones', { ...good, to: ['a', ''] }],
      ['data that is no object', { ...good, data: [1] }],
      ['data that is text', { ...good, data: 'x' }],
      ['a timestamp that is text', { ...good, timestamp: '1' }],
      ['a timestamp before 1970', { ...good, timestamp: -1 }],
      ['a timestamp with a fraction', { ...good, timestamp: 1.5 }],
      ['a half-life of nothing', { ...good, halfLife: 0 }],
      ['no object', [good]],
      ['null', 'null'],
      ['no JSON', '{"to":'],
      ['nothing', '']
    ]
    for (const [name, body] of bad) isProblem(t, await publish(service, body), 400, 'INVALID_REQUEST', name)
    const wrong = await publish(service, { ...good, title: '' })
    t.match(wrong.body.errors, [{ pointer: '/title', detail: String }])
    t.same(Object.keys((await publish(service, good)).body), ['id', 'durability', 'results'])
  })

  await t.test('a batch: items succeed and fail separately, and results keep the order', async (t) => {
    const notifications = [
      { to: 'batch', ...NOTE, title: 'first' },
      { to: 'batch', ...NOTE, title: '' },
      { to: ['batch', 'other'], ...NOTE, idempotencyKey: '"k1"' },
      { to: 'batch', ...NOTE, data: { text: 'x'.repeat(5000) } },
      { to: 'batch', ...NOTE, unknown: true },
      { to: 'batch', ...NOTE, title: 'other body', idempotencyKey: 'k2' },
      { to: 'batch', ...NOTE, idempotencyKey: 'kü' },
      { to: Array.from({ length: 1001 }, (_, n) => `many${n}`), ...NOTE }
    ]
    const answer = await call(service, 'POST', '/v1/notifications/batch', { notifications })
    t.equal(answer.status, 202)
    const { results } = answer.body
    t.equal(results.length, notifications.length)
    t.match(results[0], { durability: 'fsync', results: [{ user: 'batch', status: 'accepted' }] })
    t.match(results[1], { problem: { status: 400, code: 'BELFRY_ERR_INVALID_REQUEST', detail: /title/ } })
    t.match(results[2].results, [{ user: 'batch' }, { user: 'other' }])
    t.match(results[3], { problem: { status: 413, code: 'BELFRY_ERR_TOO_LARGE' } })
    t.match(results[4], { problem: { status: 400 } })
    t.match(results[5].results, [{ status: 'accepted' }])
    t.match(results[6], { problem: { status: 400, errors: [{ pointer: '/idempotencyKey' }] } })
    t.match(results[7], { problem: { status: 413, code: 'BELFRY_ERR_TOO_LARGE' } }, 'as in a single publish')
    const again = await call(service, 'POST', '/v1/notifications/batch', {
      notifications: [notifications[2], { ...notifications[5], title: 'changed' }]
    })
    t.equal(again.body.results[0].id, results[2].id, 'a repeat has the first id')
    t.match(again.body.results[1], { problem: { status: 422, code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT' } })
    const inbox = await call(service, 'GET', '/v1/users/batch/notifications')
    t.same(inbox.body.items.map(({ title }: { title: string }) => title).toReversed(), ['first', NOTE.title, 'other body'])
    const others = [1, null, 'text', [], true]
    const mixed = await call(service, 'POST', '/v1/notifications/batch', { notifications: [...others, { to: 'mixed', ...NOTE }] })
    t.equal(mixed.status, 202)
    const refused = { problem: { status: 400, code: 'BELFRY_ERR_INVALID_REQUEST', detail: /object/ } }
    t.match(mixed.body.results, [...others.map(() => refused), { results: [{ user: 'mixed', status: 'accepted' }] }])
    for (const body of [{}, { notifications: [] }, { notifications: {} }, { notifications: [{}], more: 1 }]) {
      isProblem(t, await call(service, 'POST', '/v1/notifications/batch', body), 400, 'INVALID_REQUEST', JSON.stringify(body))
    }
  })

  await t.test('idempotency: a repeated request is 200 with the first id; another body with the key is 422', async (t) => {
    const headers = { 'idempotency-key': 'sync-77-done' }
    const body = { to: 'ida', ...NOTE, data: { a: 1 } }
    const first = await publish(service, body, headers)
    t.equal(first.status, 202)
    t.equal(first.headers.get('idempotent-replayed'), null)
    for (const key of ['sync-77-done', '"sync-77-done"']) {
      const again = await publish(service, body, { 'idempotency-key': key })
      t.equal(again.status, 200)
      t.equal(again.headers.get('idempotent-replayed'), 'true')
      t.equal(again.body.id, first.body.id)
      t.match(again.body.results, [{ user: 'ida', status: 'accepted', eventId: first.body.results[0].eventId, nodes: 0 }])
    }
    for (const other of [
      { ...body, title: 'x' },
      { ...body, to: ['ida', 'more'] },
      { ...body, data: { a: 2 } },
      { ...body, ref: '/' }
    ]) {
      isProblem(t, await publish(service, other, headers), 422, 'IDEMPOTENCY_CONFLICT')
    }
    const many = { 'idempotency-key': 'many' }
    const [one, two] = [
      await publish(service, { to: ['ida', 'jo'], ...NOTE }, many),
      await publish(service, { to: ['ida', 'jo'], ...NOTE }, many)
    ]
    t.same([one.status, two.status, one.body.id === two.body.id], [202, 200, true])
    t.equal((await call(service, 'GET', '/v1/users/ida/notifications')).body.items.length, 2)

    const answers = await Promise.all(
      Array.from({ length: 50 }, () => publish(service, { to: 'race', ...NOTE }, { 'idempotency-key': 'race' }))
    )
    t.equal(answers.filter(({ status }) => status === 202).length, 1)
    t.equal(answers.filter(({ status }) => status === 200).length, 49)
    t.equal(new Set(answers.map(({ body }) => body.id)).size, 1)
    t.equal((await call(service, 'GET', '/v1/users/race/notifications')).body.items.length, 1)
  })

  await t.test('a recipient who has the key with another body is rejected, the others are not', async (t) => {
    const headers = { 'idempotency-key': 'shared' }
    await publish(service, { to: 'lou', ...NOTE }, headers)
    const answer = await publish(service, { to: ['max', 'lou'], ...NOTE }, headers)
    t.equal(answer.status, 202)
    t.match(answer.body.results, [
      { user: 'max', status: 'accepted' },
      { user: 'lou', status: 'rejected', code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT' }
    ])
  })

  await t.test('a store failure for some recipients rejects those; for all it is 503, and a repeat completes the publish', async (t) => {
    const { store } = service.app
    const append = store.publish
    let failing = ['mia']
    store.publish = async (command) => {
      if (failing.includes(command.user)) throw new errors.StoreUnavailable()
      return append.call(store, command)
    }
    t.teardown(() => {
      store.publish = append
    })
    const body = { to: ['leo', 'mia'], ...NOTE }
    for (const headers of [{}, { 'idempotency-key': 'partly' }]) {
      const answer = await publish(service, body, headers)
      t.equal(answer.status, 202)
      t.match(answer.body.results, [
        { user: 'leo', status: 'accepted' },
        { user: 'mia', status: 'rejected', code: 'BELFRY_ERR_STORE_UNAVAILABLE', retryAfterMs: 2000, nodes: 0 }
      ])
    }
    failing = ['leo', 'mia']
    const none = await publish(service, body)
    isProblem(t, none, 503, 'STORE_UNAVAILABLE')
    t.equal(none.body.retryAfterMs, 2000)
    failing = ['leo']
    isProblem(t, await publish(service, body, { 'idempotency-key': 'first' }), 503, 'STORE_UNAVAILABLE')
    failing = []
    const repeat = await publish(service, body, { 'idempotency-key': 'partly' })
    t.equal(repeat.status, 202)
    t.match(repeat.body.results, [{ status: 'accepted' }, { status: 'accepted' }])
    t.equal((await call(service, 'GET', '/v1/users/leo/notifications')).body.items.length, 2)
    t.equal((await call(service, 'GET', '/v1/users/mia/notifications')).body.items.length, 1)
  })
})

t.test('notifications over the rate are parked and released in order; too many parked ones are 429', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '2', RATE_LIMIT_WINDOW_MS: '700', PARKED_MAX: '4' })
  const client = await connect(t, service, 'alice', { deviceId: 'd', acks: true })
  await client.next('caughtUp')
  const before = Date.now()
  const answers: Answer[] = []
  for (let n = 1; n <= 6; n++)
    answers.push(await publish(service, { to: 'alice', ...NOTE, title: String(n) }, { 'idempotency-key': `n${n}` }))
  t.same(
    answers.map(({ status, body }) => [status, body.results[0].status]),
    [[202, 'accepted'], [202, 'accepted'], ...Array.from({ length: 4 }, () => [202, 'parked'])]
  )
  const releases = answers.slice(2).map(({ body }) => body.results[0].releaseAt as number)
  t.same(
    releases,
    releases.toSorted((a, b) => a - b)
  )
  t.ok((releases[0] as number) >= before + 700 && (releases[3] as number) >= before + 1400)
  t.equal(answers[2]?.body.results[0].eventId, undefined, 'a parked notification has no event id')
  const repeat = await publish(service, { to: 'alice', ...NOTE, title: '3' }, { 'idempotency-key': 'n3' })
  t.match(repeat, { status: 200, body: { id: answers[2]?.body.id, results: [{ status: 'parked' }] } })
  isProblem(t, await publish(service, { to: 'alice', ...NOTE }, { 'idempotency-key': 'n3' }), 422, 'IDEMPOTENCY_CONFLICT')

  const full = await publish(service, { to: 'alice', ...NOTE, title: '7' })
  isProblem(t, full, 429, 'PARKED_FULL')
  const drain = Number(full.headers.get('retry-after'))
  t.ok(drain >= 1 && drain <= 3, `Retry-After ${drain}: the time it takes to drain, in seconds`)
  const batch = await call(service, 'POST', '/v1/notifications/batch', { notifications: [{ to: 'alice', ...NOTE, title: '8' }] })
  t.match(batch.body.results, [{ problem: { status: 429, code: 'BELFRY_ERR_PARKED_FULL' } }])
  t.ok(batch.body.results[0].problem.retryAfterMs > 0 && batch.body.results[0].problem.retryAfterMs <= 2200)
  const several = await publish(service, { to: ['alice', 'bob'], ...NOTE })
  t.equal(several.status, 202)
  t.match(several.body.results, [
    { user: 'alice', status: 'rejected', code: 'BELFRY_ERR_PARKED_FULL', nodes: 0 },
    { user: 'bob', status: 'accepted' }
  ])
  t.ok(several.body.results[0].retryAfterMs > 0 && several.body.results[0].retryAfterMs <= 2200)

  const parked = await call(service, 'GET', `/v1/users/alice/notifications/${answers[4]?.body.id}`)
  t.match(parked.body, { state: 'parked', title: '5', releaseAt: Number })
  t.equal((await call(service, 'DELETE', `/v1/users/alice/notifications/${answers[4]?.body.id}`)).status, 204, 'recalled while parked')
  isProblem(t, await call(service, 'GET', `/v1/users/alice/notifications/${answers[4]?.body.id}`), 404, 'NOT_FOUND')
  const late = await connect(t, service, 'alice', { deviceId: 'late' })
  t.ok((await late.next('hello')).resume.parked > 0)
  await client.until(() => client.all('notification')[4])
  t.same(
    client.all('notification').map(({ notification }) => notification.title),
    ['1', '2', '3', '4', '6']
  )
  const { body: queue } = await call(service, 'GET', '/v1/users/alice/queue')
  t.equal(queue.parked, 0)
  const { body: metrics } = await call(service, 'GET', '/metrics')
  t.match(metrics, /belfry_parked_total 4\n/)
  t.match(metrics, /belfry_rejected_total 3\n/)
})

t.test('parked notifications that outlive their half-lives are folded into a digest', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_WINDOW_MS: '600' })
  const client = await connect(t, service, 'alice', { deviceId: 'd', acks: true })
  await client.next('caughtUp')
  const ids: string[] = []
  for (const halfLife of [undefined, 0.05, 0.05, undefined]) {
    ids.push((await publish(service, { to: 'alice', ...NOTE, ...(halfLife === undefined ? {} : { halfLife }) })).body.id)
  }
  const digest = await client.next('digest')
  t.match(digest, { count: 2, ids: [ids[1], ids[2]], unread: 1 })
  t.equal((await client.next('notification')).notification.id, ids[3])
  t.same((await call(service, 'GET', `/v1/users/alice/notifications/${ids[1]}`)).body, {
    id: ids[1],
    state: 'folded',
    eventId: digest.eventId
  })
  isProblem(t, await call(service, 'DELETE', `/v1/users/alice/notifications/${ids[1]}`), 404, 'NOT_FOUND')
  t.same(
    (await call(service, 'GET', '/v1/users/alice/notifications')).body.items.map(({ id }: { id: string }) => id),
    [ids[3], ids[0]]
  )
  const late = await connect(t, service, 'alice', { deviceId: 'e', lastEventId: 'earliest' })
  await late.next('caughtUp')
  t.match(late.all('digest')[0], { replay: true, count: 2 })
})

t.test('connections and the queue', async (t) => {
  const service = await startService(t, NO_LIMIT)
  t.same((await call(service, 'GET', '/v1/users/alice/connections')).body, { items: [] })
  t.match((await call(service, 'GET', '/v1/users/alice/queue')).body, { parked: 0, unread: 0, devices: [] })
  const before = Date.now()
  const phone = await connect(t, service, 'alice', { deviceId: 'phone', acks: true })
  const laptop = await connect(t, service, 'alice', { deviceId: 'laptop' })
  for (const client of [phone, laptop]) await client.next('caughtUp')
  const { items } = (await call(service, 'GET', '/v1/users/alice/connections')).body
  t.same(
    items.map(({ deviceId, node, address }: Record<string, string>) => [deviceId, node, address]),
    [
      ['phone', service.app.node, '127.0.0.1'],
      ['laptop', service.app.node, '127.0.0.1']
    ]
  )
  t.equal(items[0].connectionId, phone.all('hello')[0]?.connectionId)
  t.ok(items[0].connectedAt >= before && items[0].connectedAt <= Date.now())

  const published = await publish(service, { to: 'alice', ...NOTE })
  t.equal(published.body.results[0].nodes, 1)
  const { eventId } = published.body.results[0]
  const queue = await until(async () => {
    const { body } = await call(service, 'GET', '/v1/users/alice/queue')
    return body.devices[1]?.lag === 0 && body
  })
  const devices = [
    { deviceId: 'laptop', lag: 1 },
    { deviceId: 'phone', eventId, lag: 0 }
  ]
  t.match(queue, { head: eventId, first: eventId, parked: 0, unread: 1, devices })
  t.ok(queue.devices[1].acknowledgedAt >= before)

  const path = `/v1/users/alice/connections/${items[0].connectionId}`
  isProblem(t, await call(service, 'DELETE', '/v1/users/alice/connections/unknown'), 404, 'NOT_FOUND')
  isProblem(t, await call(service, 'DELETE', `/v1/users/bob/connections/${items[0].connectionId}`), 404, 'NOT_FOUND', 'not of this user')
  isProblem(t, await call(service, 'DELETE', `${path}?reason=${'x'.repeat(101)}`), 400, 'INVALID_REQUEST')
  isProblem(t, await call(service, 'DELETE', `${path}?revoke=true`), 400, 'INVALID_REQUEST', 'tokens are of a user')
  t.same((await call(service, 'DELETE', `${path}?reason=moved`)).body, { disconnected: 1, durability: 'fsync' })
  t.same(await phone.whenClosed(), { code: 4003, reason: 'moved' })
  t.equal(laptop.closed, undefined)
  t.same((await call(service, 'DELETE', '/v1/users/alice/connections')).body, { disconnected: 1, durability: 'fsync' })
  t.same(await laptop.whenClosed(), { code: 4003, reason: 'disconnected by an operator' })
  t.same((await call(service, 'DELETE', '/v1/users/alice/connections')).body, { disconnected: 0, durability: 'fsync' })
  const long = await connect(t, service, 'alice')
  await long.next('caughtUp')
  t.equal((await call(service, 'DELETE', `/v1/users/alice/connections?reason=${encodeURIComponent('€'.repeat(100))}`)).status, 200)
  t.same(await long.whenClosed(), { code: 4003, reason: '€'.repeat(41) }, 'cut to the length of a close frame')
})

t.test('operations and documents', async (t) => {
  const service = await startService(t)
  const open = { token: '' }
  t.same((await call(service, 'GET', '/health/live', undefined, open)).body, { status: 'ok' })
  t.match(await call(service, 'GET', '/health/ready', undefined, open), {
    status: 200,
    body: { ready: true, checks: { node: 'ok', store: 'ok' } }
  })
  const { status } = service.app.store
  const sound = { full: false, damage: '' }
  service.app.store.status = () => ({ ...sound, available: false, reason: 'connect ECONNREFUSED 192.0.2.7:6379', durability: 'fsync' })
  const unavailable = await call(service, 'GET', '/health/ready', undefined, open)
  t.same(
    [unavailable.status, unavailable.body],
    [503, { ready: false, checks: { node: 'ok', store: 'away' } }],
    'the answer names no address'
  )
  service.app.store.status = () => ({ ...status.call(service.app.store), damage: '000005.ldb at byte 0: damaged' })
  const damaged = await call(service, 'GET', '/health/ready', undefined, open)
  t.same([damaged.status, damaged.body.checks.store], [503, '000005.ldb at byte 0: damaged'])
  service.app.store.status = () => ({ ...status.call(service.app.store), full: true })
  t.equal((await call(service, 'GET', '/health/ready', undefined, open)).status, 200, 'a full store is ready')
  t.match((await call(service, 'GET', '/metrics', undefined, open)).body, /belfry_store_full 1/)
  service.app.store.status = status
  const metrics = await call(service, 'GET', '/metrics', undefined, open)
  t.match(metrics.headers.get('content-type'), /^text\/plain/)
  t.match(metrics.body, /belfry_connections 0/)
  t.match(metrics.body, /belfry_http_request_seconds_count\{method="GET",route="\/health\/live",status="200"\} 1/)
  const { body: api } = await call(service, 'GET', '/docs/json', undefined, open)
  t.equal(api.openapi, '3.1.0')
  for (const [path, methods] of Object.entries({
    '/v1/notifications': ['post'],
    '/v1/notifications/batch': ['post'],
    '/v1/users/{user}/notifications': ['get'],
    '/v1/users/{user}/notifications/{id}': ['get', 'delete'],
    '/v1/users/{user}/notifications/{id}/receipts': ['get'],
    '/v1/users/{user}/scheduled': ['get'],
    '/v1/users/{user}': ['delete'],
    '/v1/users/{user}/notifications/mark': ['post'],
    '/v1/users/{user}/connections': ['get', 'delete'],
    '/v1/users/{user}/connections/{id}': ['delete'],
    '/v1/users/{user}/queue': ['get'],
    '/v1/me/notifications': ['get'],
    '/v1/me/notifications/{id}': ['get'],
    '/v1/me/notifications/mark': ['post'],
    '/v1/me/notifications/{id}/actions/{action}': ['post'],
    '/v1/answers': ['post']
  })) {
    for (const method of methods) t.ok(api.paths[path]?.[method], `${method} ${path}`)
  }
  t.equal((await call(service, 'GET', '/docs/', undefined, open)).status, 200)
  isProblem(t, await call(service, 'GET', '/nowhere?token=x', undefined, open), 404, 'NOT_FOUND')
  isProblem(t, await call(service, 'PATCH', '/v1/notifications', undefined), 404, 'NOT_FOUND')
})

t.test('the limit per publisher, and CORS', async (t) => {
  const service = await startService(t, { ...NO_LIMIT, PUBLISH_RATE_LIMIT_MAX: '3', CORS_ORIGIN: 'https://app.example' })
  const answers: Answer[] = []
  for (let n = 0; n < 4; n++) answers.push(await publish(service, { to: 'alice', ...NOTE }))
  t.same(
    answers.slice(0, 3).map(({ status }) => status),
    [202, 202, 202]
  )
  isProblem(t, answers[3] as Answer, 429, 'TOO_MANY_REQUESTS')
  t.equal((answers[3] as Answer).headers.get('retry-after'), '1')
  const other = await call(
    service,
    'POST',
    '/v1/notifications',
    { to: 'alice', ...NOTE },
    { token: userToken('other', { scope: 'admin' }) }
  )
  t.equal(other.status, 202, 'another publisher has a limit of its own')
  const allowed = (origin: string) => call(service, 'GET', '/health/live', undefined, { token: '', headers: { origin } })
  t.equal((await allowed('https://app.example')).headers.get('access-control-allow-origin'), 'https://app.example')
  t.equal((await allowed('https://evil.example')).headers.get('access-control-allow-origin'), null)
  const any = await startService(t, { CORS_ORIGIN: '*' })
  const answer = await call(any, 'GET', '/v1/users/a/queue', undefined, {
    token: serviceToken('admin'),
    headers: { origin: 'https://x.example' }
  })
  t.same([answer.status, answer.headers.get('access-control-allow-origin')], [200, 'https://x.example'])
})
