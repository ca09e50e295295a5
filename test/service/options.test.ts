import t from 'tap'
import type { Wake } from '../../services/store/store.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { isProblem } from '../fixtures/problem.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { environmentOf, STORES, TRANSPORTS, watch } from '../fixtures/watcher.ts'
import { call, ready, SECRET, startService, type TestService, userToken } from '../helper.ts'

/** Largest error of a node's estimate of the Redis clock on a busy machine, milliseconds. */
const CLOCK_MS = 200
const NO_LIMIT = { RATE_LIMIT_MAX: '0' }
const NOTE = { type: 'sync.done', title: 'Sync finished' }
/** Longest time from an expiry or a delivery to its frame, milliseconds. */
const LATENESS_MS = 2000

function publish(service: Pick<TestService, 'url'>, body: Record<string, unknown>, key = ''): ReturnType<typeof call> {
  return call(service, 'POST', '/v1/notifications', { ...NOTE, ...body }, key === '' ? {} : { headers: { 'idempotency-key': key } })
}

for (const store of STORES) {
  for (const transport of TRANSPORTS) {
    t.test(`${store}, ${transport}: an expired notification is retracted within 2 s, and is nowhere`, async (t) => {
      const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
      const device = await watch(t, service, 'alice', transport, 'd')
      const before = Date.now()
      const { body } = await publish(service, { to: 'alice', ttl: 1 })
      const { notification } = await device.nth('notification', 1)
      const expiresAt = notification.expiresAt ?? 0
      t.ok(expiresAt >= before + 1000 - CLOCK_MS && expiresAt <= Date.now() + 1000 + CLOCK_MS, 'ttl counts from the acceptance')
      t.match(await device.nth('retract', 1), { id: body.id, reason: 'expired', unread: 0, unseen: 0 })
      t.ok(Date.now() >= expiresAt - CLOCK_MS, 'not early')
      t.ok(Date.now() <= expiresAt + LATENESS_MS, `late by ${Date.now() - expiresAt} ms`)
      t.same((await call(service, 'GET', '/v1/users/alice/notifications')).body, { items: [], nextCursor: null, unread: 0, unseen: 0 })
      isProblem(t, await call(service, 'GET', `/v1/users/alice/notifications/${body.id}`), 404, 'NOT_FOUND')
      t.match((await call(service, 'GET', '/metrics')).body, /^belfry_expired_total 1$/m)
      const late = await ready(t, service, 'alice', { deviceId: 'late', lastEventId: 'earliest' })
      t.same(late.all('notification'), [], 'a device that was away never sees it')
    })

    t.test(`${store}, ${transport}: a notification takes the place of the one with its collapse key`, async (t) => {
      const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
      const device = await watch(t, service, 'alice', transport, 'd')
      const first = await publish(service, { to: 'alice', title: '1 of 3', collapseKey: 'sync' }, 'one')
      await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [first.body.id], state: 'read' })
      const second = await publish(service, { to: 'alice', title: '2 of 3', collapseKey: 'sync' })
      const frame = await device.nth('notification', 2)
      t.match(frame.notification, { id: second.body.id, title: '2 of 3', collapseKey: 'sync', replaces: first.body.id })
      await publish(service, { to: 'alice', title: 'other' })
      await device.nth('notification', 3)
      t.same(device.all('retract'), [])
      const inbox = await call(service, 'GET', '/v1/users/alice/notifications')
      t.match(inbox.body, { items: [{ title: 'other' }, { id: second.body.id, state: 'unread' }], unread: 2 })
      t.equal(inbox.body.items.length, 2)
      const retry = await publish(service, { to: 'alice', title: '1 of 3', collapseKey: 'sync' }, 'one')
      t.same([retry.status, retry.body.id], [200, first.body.id], 'a late retry of the replaced one has the first result')
      t.match(retry.body.results, [{ status: 'accepted', eventId: first.body.results[0].eventId, nodes: 0 }])
      const asked = await publish(service, {
        to: 'alice',
        collapseKey: 'asked',
        actions: [{ action: 'yes', title: 'Yes', url: 'HTTPS://shop.test/1' }]
      })
      await call(service, 'POST', `/v1/me/notifications/${asked.body.id}/actions/yes`, {}, { token: userToken('alice') })
      await device.nth('answered', 1)
      await publish(service, { to: 'alice', title: 'last', collapseKey: 'asked' })
      const away = await ready(t, service, 'alice', { deviceId: 'away', lastEventId: 'earliest' })
      t.same(away.all('answered'), [], 'the answer of a replaced one is not shown')
      t.same(
        away.all('notification').map(({ notification }) => notification.title),
        ['2 of 3', 'other', 'last']
      )
    })
  }

  t.test(`${store}: a retry after the expiry has the first result; a first publish after it is invalid`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const expiresAt = Date.now() + 1000
    const body = { to: 'alice', expiresAt }
    const first = await publish(service, body, 'one')
    t.equal(first.status, 202)
    await until(() => Date.now() > expiresAt, 'the expiry')
    const retry = await publish(service, body, 'one')
    t.equal(retry.status, 200)
    t.match(retry.body, { id: first.body.id, results: [{ status: 'accepted', eventId: first.body.results[0].eventId }] })
    isProblem(t, await publish(service, body, 'two'), 400, 'INVALID_REQUEST')
    isProblem(t, await publish(service, body), 400, 'INVALID_REQUEST')
    isProblem(t, await publish(service, { ...body, deliverAt: expiresAt }, 'three'), 400, 'INVALID_REQUEST')
  })

  t.test(`${store}: a default that is written out is the same content as one that is left out`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const fallback = { after: 60 }
    const pairs: [string, Record<string, unknown>, Record<string, unknown>][] = [
      ['urgency', {}, { urgency: 'normal' }],
      ['push', {}, { push: {} }],
      ['both', { ttl: 60 }, { ttl: 60, urgency: 'normal', push: {} }],
      ['fallback', { fallback }, { fallback: { ...fallback, unless: 'read' } }]
    ]
    for (const [key, short, long] of pairs) {
      for (const [name, first, second] of [
        [`${key} left out first`, short, long],
        [`${key} written out first`, long, short]
      ] as const) {
        const { body } = await publish(service, { to: 'alice', ...first }, name)
        const again = await publish(service, { to: 'alice', ...second }, name)
        t.same([again.status, again.body.id], [200, body.id], name)
      }
    }
    for (const [index, other] of [{ urgency: 'low' }, { push: false }, { push: { after: 3 } }, { fallback }].entries()) {
      await publish(service, { to: 'alice' }, `other ${index}`)
      isProblem(t, await publish(service, { to: 'alice', ...other }, `other ${index}`), 422, 'IDEMPOTENCY_CONFLICT')
    }
  })

  t.test(`${store}: a batch takes every option, and each item has its own result`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const batch = async (notifications: Record<string, unknown>[]) =>
      (await call(service, 'POST', '/v1/notifications/batch', { notifications: notifications.map((item) => ({ ...NOTE, ...item })) })).body
        .results
    const actions = [{ action: 'yes', title: 'Yes' }]
    const deliverAt = Date.now() + 3_600_000
    const timed = [
      { to: 'alice', title: 'brief', ttl: 60, idempotencyKey: 'brief' },
      { to: 'alice', title: 'later', deliverAt, expiresAt: deliverAt + 1, idempotencyKey: 'later' }
    ]
    const results = await batch([
      ...timed,
      { to: 'alice', title: '1 of 2', collapseKey: 'k' },
      { to: ['alice', 'bob'], title: '2 of 2', collapseKey: 'k', urgency: 'high', actions },
      { to: 'bob', title: 'first', deliverAt, collapseKey: 'k' },
      { to: 'bob', title: 'second', deliverAt, collapseKey: 'k' }
    ])
    const outcomes = (from: { results: { status: string }[] }[]) => from.map(({ results }) => results.map(({ status }) => status).join())
    t.same(outcomes(results), ['accepted', 'scheduled', 'accepted', 'accepted,accepted', 'scheduled', 'scheduled'])
    t.equal(results[1].results[0].deliverAt, deliverAt)
    t.same(await batch(timed), results.slice(0, 2), 'a repeat has the first results')
    const inbox = async (user: string) => (await call(service, 'GET', `/v1/users/${user}/notifications`)).body
    const newest = { id: results[3].id, title: '2 of 2', urgency: 'high', actions }
    const alice = {
      unread: 2,
      items: [
        { ...newest, replaces: results[2].id },
        { title: 'brief', expiresAt: Number }
      ]
    }
    t.match([await inbox('alice'), await inbox('bob')], [alice, { unread: 1, items: [newest] }])
    t.match((await call(service, 'GET', '/v1/users/alice/scheduled')).body.items, [{ title: 'later', expiresAt: deliverAt + 1 }])
    t.same(
      (await call(service, 'GET', '/v1/users/bob/scheduled')).body.items.map(({ title }: { title: string }) => title),
      ['second'],
      'one of a key'
    )
  })

  t.test(`${store}: a scheduled notification waits, can be listed and cancelled, and comes at its time`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, SCHEDULED_MAX: '4', ...(await environmentOf(t, store)) })
    const device = await ready(t, service, 'alice', { deviceId: 'd', acks: true })
    const deliverAt = Date.now() + 1500
    const body = { to: 'alice', title: 'soon', deliverAt, ttl: 60, ref: '/r' }
    const soon = await publish(service, body, 'soon')
    t.equal(soon.status, 202)
    t.same(soon.body.results, [{ user: 'alice', status: 'scheduled', deliverAt, nodes: 0 }])
    const retry = await publish(service, body, 'soon')
    t.equal(retry.headers.get('idempotent-replayed'), 'true')
    t.same([retry.status, retry.body], [200, soon.body], 'a retry has the first deliverAt')
    isProblem(t, await publish(service, { ...body, deliverAt: deliverAt + 1 }, 'soon'), 422, 'IDEMPOTENCY_CONFLICT')

    const later: string[] = []
    for (let n = 1; n <= 3; n++)
      later.push((await publish(service, { to: 'alice', title: `${n}`, deliverAt: deliverAt + n * 3_600_000 })).body.id)
    const full = await publish(service, { to: 'alice', deliverAt: deliverAt + 60_000 })
    isProblem(t, full, 429, 'SCHEDULED_FULL')
    t.ok(full.body.retryAfterMs > 0 && full.body.retryAfterMs <= 1500)
    const several = await publish(service, { to: ['alice', 'bob'], deliverAt: deliverAt + 60_000 })
    t.match(several.body.results, [{ status: 'rejected', code: 'BELFRY_ERR_SCHEDULED_FULL', nodes: 0 }, { status: 'scheduled' }])

    const list = (query = '') => call(service, 'GET', `/v1/users/alice/scheduled${query}`)
    const found = { id: soon.body.id, type: 'sync.done', title: 'soon', timestamp: deliverAt, ref: '/r', expiresAt: deliverAt + 60_000 }
    const one = await list('?limit=1')
    t.same(one.body.items, [{ ...found, deliverAt }])
    const titles: string[] = []
    for (let cursor: string | null = one.body.nextCursor; cursor !== null; ) {
      const page: Awaited<ReturnType<typeof list>> = await list(`?limit=2&cursor=${cursor}`)
      titles.push(...page.body.items.map(({ title }: { title: string }) => title))
      cursor = page.body.nextCursor
    }
    t.same(titles, ['1', '2', '3'])
    for (const query of ['?limit=0', '?cursor=1', '?cursor=x.y', '?state=unread'])
      isProblem(t, await list(query), 400, 'INVALID_REQUEST', query)
    t.same((await call(service, 'GET', `/v1/users/alice/notifications/${soon.body.id}`)).body, { ...found, state: 'scheduled', deliverAt })
    t.match((await call(service, 'GET', `/v1/users/alice/notifications/${soon.body.id}/receipts`)).body, {
      state: 'scheduled',
      answer: null,
      devices: [{ deviceId: 'd', received: false }]
    })
    t.equal((await call(service, 'DELETE', `/v1/users/alice/notifications/${later[1]}`)).status, 204, 'a recall cancels it')
    t.equal((await call(service, 'GET', '/v1/users/alice/queue')).body.scheduled, 3)

    const frame = await device.next('notification')
    t.ok(Date.now() >= deliverAt && Date.now() <= deliverAt + LATENESS_MS, `${Date.now() - deliverAt} ms after its time`)
    t.same(frame.notification, found)
    t.notOk('replay' in frame)
    const now = await publish(service, { to: 'alice', title: 'now', deliverAt: Date.now() - 5000 })
    t.match(now.body.results, [{ status: 'accepted' }])
    t.same(
      (await list()).body.items.map(({ title }: { title: string }) => title),
      ['1', '3']
    )
    const { body: metrics } = await call(service, 'GET', '/metrics')
    t.match(metrics, /^belfry_scheduled_total 5$/m)
    t.match(metrics, /^belfry_scheduled_delivered_total 1$/m)
  })

  t.test(`${store}: a recall with only=scheduled takes nothing back that was delivered`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const { body: delivered } = await publish(service, { to: 'alice' })
    const { body: later } = await publish(service, { to: 'alice', deliverAt: Date.now() + 3_600_000 })
    const recall = (id: string, query: string) => call(service, 'DELETE', `/v1/users/alice/notifications/${id}${query}`)
    isProblem(t, await recall(delivered.id, '?only=scheduled'), 404, 'NOT_FOUND')
    isProblem(t, await recall(later.id, '?only=unread'), 400, 'INVALID_REQUEST')
    t.equal((await recall(later.id, '?only=scheduled')).status, 204)
    isProblem(t, await recall(later.id, '?only=scheduled'), 404, 'NOT_FOUND')
    t.match((await call(service, 'GET', '/v1/users/alice/notifications')).body, { items: [{ id: delivered.id }], unread: 1 })
    t.equal((await recall(delivered.id, '')).status, 204)
  })

  t.test(`${store}: among the parked, the more urgent come first, in publish order within an urgency`, async (t) => {
    const service = await startService(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_WINDOW_MS: '300', ...(await environmentOf(t, store)) })
    const device = await ready(t, service, 'alice', { deviceId: 'd', acks: true })
    for (const [index, urgency] of (['normal', 'very-low', 'low', 'normal', 'high', 'low', 'high'] as const).entries()) {
      t.equal((await publish(service, { to: 'alice', title: `${index} ${urgency}`, urgency })).status, 202)
    }
    await device.until(() => device.all('notification')[6])
    t.same(
      device.all('notification').map(({ notification }) => notification.title),
      ['0 normal', '4 high', '6 high', '3 normal', '2 low', '5 low', '1 very-low']
    )
    t.same(
      device.all('notification').map(({ notification }) => notification.urgency),
      [undefined, 'high', 'high', undefined, 'low', 'low', 'very-low']
    )
  })
}

t.test('another node delivers what was scheduled, and retracts what expires, after the node that took them was killed', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const environment = { REDIS_URL: redis.url, JWT_SECRET: SECRET, LOG_LEVEL: 'silent' }
  const first = await ServerProcess.start(environment)
  t.teardown(() => first.kill())
  const second = await startService(t, environment)
  const device = await ready(t, second, 'alice', { deviceId: 'd', acks: true })
  const at = Date.now() + 1500
  t.match((await publish(first, { to: 'alice', title: 'due', deliverAt: at })).body.results, [{ status: 'scheduled' }])
  const expiring = (await publish(first, { to: 'alice', title: 'brief', expiresAt: at })).body.id
  await device.next('notification')
  await first.kill()
  const [retract, due] = await Promise.all([
    device.until(() => device.all('retract')[0], 'the retraction'),
    device.until(() => device.all('notification')[1], 'the delivery')
  ])
  t.ok(Date.now() >= at && Date.now() <= at + LATENESS_MS, `${Date.now() - at} ms after the time`)
  t.match([retract, due], [{ id: expiring, reason: 'expired' }, { notification: { title: 'due', timestamp: at } }])
})

t.test('options that are not valid are 400 with a sentence, in single publishes and in batches', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const soon = Date.now() + 60_000
  const yes = { action: 'yes', title: 'Yes' }
  const bad: [name: string, options: Record<string, unknown>][] = [
    ['both expiresAt and ttl', { expiresAt: soon, ttl: 60 }],
    ['a ttl of nothing', { ttl: 0 }],
    ['a ttl over 30 days', { ttl: 2_592_001 }],
    ['a ttl with a fraction', { ttl: 1.5 }],
    ['an expiry in the past', { expiresAt: Date.now() - 1 }],
    ['an expiry in seconds', { expiresAt: Math.floor(soon / 1000) }],
    ['an expiry before the delivery', { expiresAt: soon, deliverAt: soon + 1 }],
    ['an expiry at the delivery', { expiresAt: soon, deliverAt: soon }],
    ['a delivery in 31 days', { deliverAt: Date.now() + 31 * 24 * 3_600_000 }],
    ['a delivery that is text', { deliverAt: '2030-01-01' }],
    ['an empty key', { collapseKey: '' }],
    ['a key of 65 characters', { collapseKey: 'x'.repeat(65) }],
    ['a key with a control character', { collapseKey: 'a\nb' }],
    ['a key that is a number', { collapseKey: 7 }],
    ['an unknown urgency', { urgency: 'urgent' }],
    ['no action', { actions: [] }],
    ['an action without a title', { actions: [{ action: 'yes' }] }],
    ['an action with a bad name', { actions: [{ ...yes, action: 'Yes' }] }],
    ['an action with a long name', { actions: [{ ...yes, action: 'x'.repeat(33) }] }],
    ['an action with an empty title', { actions: [{ ...yes, title: '' }] }],
    ['an action with a long title', { actions: [{ ...yes, title: 'x'.repeat(65) }] }],
    ['an action with an unknown field', { actions: [{ ...yes, icon: 'x' }] }],
    ['two actions of one name', { actions: [yes, { ...yes, title: 'Other' }] }],
    ['a script as url', { actions: [{ ...yes, url: 'javascript:alert(1)' }] }],
    ['a url without scheme', { actions: [{ ...yes, url: '//evil.example' }] }],
    ['a url with a backslash', { actions: [{ ...yes, url: '/\\evil.example' }] }],
    ['a url with a tab', { actions: [{ ...yes, url: '/\t/evil.example' }] }],
    ['a relative url', { actions: [{ ...yes, url: 'x/y' }] }],
    ['an ftp url', { actions: [{ ...yes, url: 'ftp://x' }] }],
    ['four actions', { actions: ['a', 'b', 'c', 'd'].map((action) => ({ ...yes, action })) }],
    ['an expiry at the start of time', { expiresAt: 0 }],
    ['an unknown option', { lifetime: 5 }]
  ]
  for (const [name, options] of bad) {
    const single = await publish(service, { to: 'alice', ...options })
    isProblem(t, single, 400, 'INVALID_REQUEST', name)
    t.match(single.body.detail, /^The request is not valid: .{10}/, name)
  }
  const notifications = bad.map(([, options]) => ({ to: 'alice', ...NOTE, ...options }))
  const good = {
    to: 'alice',
    ...NOTE,
    ttl: 60,
    collapseKey: 'ключ 1',
    urgency: 'low',
    actions: [
      { ...yes, url: 'https://app.example/x?y#z' },
      { action: 'no', title: 'No', url: '/' }
    ]
  }
  const { body } = await call(service, 'POST', '/v1/notifications/batch', { notifications: [...notifications, good] })
  for (const [index, [name]] of bad.entries())
    t.match(body.results[index], { problem: { status: 400, code: 'BELFRY_ERR_INVALID_REQUEST' } }, name)
  t.match(body.results.at(-1).results, [{ status: 'accepted' }])
  const { items } = (await call(service, 'GET', '/v1/users/alice/notifications')).body
  t.match(items, [{ collapseKey: 'ключ 1', urgency: 'low', actions: good.actions, expiresAt: Number }])
  t.equal(items.length, 1)
})

t.test('a row that was on its way past its expiry is not sent: after a delayed wake-up, and after a slow read', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const { fanout, store } = service.app
  const alice = await ready(t, service, 'alice', { deviceId: 'd' })
  const wake = fanout.wake.bind(fanout)
  const held: Wake[] = []
  fanout.wake = (given) => void (given.user === 'alice' ? held.push(given) : wake(given))
  await publish(service, { to: 'alice', title: 'expiring', ttl: 1 })
  await publish(service, { to: 'alice', title: 'young', ttl: 60 })

  const expiring = await publish(service, { to: 'bob', title: 'expiring', ttl: 1 })
  const answered = await publish(service, { to: 'bob', title: 'answered', ttl: 1, actions: [{ action: 'yes', title: 'Yes' }] })
  await call(service, 'POST', `/v1/me/notifications/${answered.body.id}/actions/yes`, {}, { token: userToken('bob') })
  const attach = store.attach.bind(store)
  store.attach = async (command) => {
    const result = await attach(command)
    const slowUntil = Date.now() + 1200
    await until(() => Date.now() > slowUntil && held.length === 3, 'the retractions')
    return result
  }
  const bob = await ready(t, service, 'bob', { deviceId: 'd', lastEventId: 'earliest' })
  t.same(
    bob.all('notification').map(({ notification }) => notification.title),
    ['answered']
  )
  const seen = () => bob.frames.filter((frame) => 'id' in frame && frame.type === 'retract')
  await until(() => seen().length === 1, 'the retraction of a row that the client never saw')
  t.match(seen(), [{ id: expiring.body.id, reason: 'expired', unread: 0 }])

  fanout.wake = wake
  for (const each of held) wake(each)
  t.match(await alice.next('retract'), { reason: 'expired', unread: 1 })
  t.match(
    alice.all('notification').map(({ notification, replay }) => [notification.title, replay]),
    [['young', true]]
  )
})
