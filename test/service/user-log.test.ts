import t, { type Test } from 'tap'
import { parseEventId } from '../../services/protocol/index.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService, type TestClient, type TestService } from '../helper.ts'

// Trimming, states, cursors and idempotency keys, over the wire and on both stores.

type Frame = { type: string; unread?: number; ids?: string[] }

/** Returns the unread count of a client that follows docs/guides/consuming.md. */
function countOf(client: TestClient): number {
  let unread = 0
  for (const frame of client.frames as Frame[]) {
    if (frame.type === 'notification') unread += 1
    else if (frame.unread !== undefined && frame.type !== 'ok') unread = frame.unread
  }
  return unread
}

function publish(service: TestService, to: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) {
  return call(service, 'POST', '/v1/notifications', { to, type: 'a', title: 'A', ...more }, { headers })
}

async function inboxOf(service: TestService, user: string, query = ''): Promise<{ items: { id: string }[]; unread: number }> {
  return (await call(service, 'GET', `/v1/users/${user}/notifications?limit=100${query}`)).body
}

async function onBothStores(
  t: Test,
  run: (t: Test, start: (environment: Record<string, string>) => Promise<TestService>) => Promise<void>
) {
  await t.test('embedded', (t) => run(t, (environment) => startService(t, environment)))
  await t.test('redis', async (t) => {
    const redis = await RedisServer.start()
    t.teardown(() => redis.stop())
    await run(t, (environment) => startService(t, { REDIS_URL: redis.url, ...environment }))
  })
}

t.test('after trimming by count, the service, a client and the answer to a mark have the same unread count', (t) =>
  onBothStores(t, async (t, start) => {
    const service = await start({ LOG_MAX_ENTRIES: '10', RATE_LIMIT_MAX: '0' })
    const client = await ready(t, service, 'alice', { deviceId: 'd', acks: true })
    for (let n = 0; n < 40; n++) await publish(service, 'alice', { title: String(n) })
    await until(() => client.all('notification').length === 40)
    const { unread, items } = await inboxOf(service, 'alice')
    t.equal(unread, items.length)
    t.equal(countOf(client), unread)
    const ids = items.slice(0, 3).map(({ id }) => id)
    client.send({ type: 'mark', ref: 1, ids, state: 'read' })
    t.match(await client.next('ok'), { ref: 1, unread: unread - 3 })
    await until(() => (client.all('state') as Frame[]).some((frame) => frame.ids?.length === 3))
    t.equal(countOf(client), unread - 3)
    t.equal((await inboxOf(service, 'alice')).unread, unread - 3)
  })
)

t.test('trimming by age reaches every device without a publish', (t) =>
  onBothStores(t, async (t, start) => {
    const service = await start({ RETENTION_SECONDS: '2', RATE_LIMIT_MAX: '0' })
    const clients = [
      await ready(t, service, 'alice', { deviceId: 'a', acks: true }),
      await ready(t, service, 'alice', { deviceId: 'b', acks: true })
    ]
    for (let n = 0; n < 5; n++) await publish(service, 'alice', { title: String(n) })
    await until(() => clients.every((client) => client.all('notification').length === 5))
    t.same(clients.map(countOf), [5, 5])
    await until(() => clients.every((client) => countOf(client) === 0), 'every client has 0')
    t.equal((await inboxOf(service, 'alice')).unread, 0)
  })
)

t.test('changes of state trim no notification: an offline device gets every one', (t) =>
  onBothStores(t, async (t, start) => {
    const service = await start({ LOG_MAX_ENTRIES: '100', RATE_LIMIT_MAX: '0' })
    await (await ready(t, service, 'alice', { deviceId: 'phone', acks: true })).close()
    for (let n = 0; n < 100; n++) await publish(service, 'alice', { title: String(n) })
    const [first] = (await inboxOf(service, 'alice')).items
    for (let n = 0; n < 150; n++) {
      await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [first?.id], state: n % 2 === 0 ? 'read' : 'unread' })
    }
    const phone = await ready(t, service, 'alice', { deviceId: 'phone', acks: true })
    t.equal(phone.all('gap').length, 0)
    t.equal(new Set(phone.all('notification').map(({ notification }) => notification.id)).size, 100)
    t.equal(phone.all('caughtUp')[0]?.unread, 100)
  })
)

t.test('a device has a cursor from its first hello, the default device too', (t) =>
  onBothStores(t, async (t, start) => {
    const service = await start({ RATE_LIMIT_MAX: '0' })
    const [phone, shared] = [await ready(t, service, 'alice', { deviceId: 'phone' }), await ready(t, service, 'alice', {})]
    await Promise.all([phone.close(), shared.close()])
    await until(() => service.app.connections.count === 0)
    const laptop = await ready(t, service, 'alice', { deviceId: 'laptop', acks: true })
    for (let n = 0; n < 3; n++) await publish(service, 'alice', { title: String(n) })
    await until(() => laptop.all('notification').length === 3)
    await until(async () => {
      const { body } = await call(service, 'GET', '/v1/users/alice/queue')
      return body.devices.find(({ deviceId }: { deviceId: string }) => deviceId === 'laptop')?.lag === 0
    })
    for (const options of [{ deviceId: 'phone' }, {}]) {
      const client = await connect(t, service, 'alice', options)
      t.match((await client.next('hello')).resume, { status: 'resumed', pending: 3 })
      await client.next('caughtUp')
      t.equal(client.all('notification').length, 3)
    }
    const watch = await ready(t, service, 'alice', { deviceId: 'watch' })
    t.match(watch.all('hello')[0]?.resume, { status: 'fresh', pending: 0 })
  })
)

t.test('an Idempotency-Key stands for one body, also after the notification was trimmed, folded or recalled', (t) =>
  onBothStores(t, async (t, start) => {
    const service = await start({ LOG_MAX_ENTRIES: '10', RATE_LIMIT_MAX: '5', RATE_LIMIT_WINDOW_MS: '1000' })
    const key = (name: string) => ({ 'idempotency-key': name })
    const data = { b: { y: [{ two: 2, one: 1 }], x: 1 }, a: 1 }
    const sorted = { a: 1, b: { x: 1, y: [{ one: 1, two: 2 }] } }

    const first = await publish(service, 'alice', { data }, key('trimmed'))
    t.match(await publish(service, 'alice', { data: sorted }, key('trimmed')), { status: 200, body: { id: first.body.id } })
    for (let n = 0; n < 4; n++) await publish(service, 'alice')
    const folded = await publish(service, 'alice', { halfLife: 0.01 }, key('folded'))
    const recalled = await publish(service, 'alice', {}, key('recalled'))
    t.match([folded.body.results[0].status, recalled.body.results[0].status], ['parked', 'parked'])
    await call(service, 'DELETE', `/v1/users/alice/notifications/${recalled.body.id}`)
    await until(async () => {
      const { body } = await call(service, 'GET', `/v1/users/alice/notifications/${folded.body.id}`)
      return body.state === 'folded'
    })
    const other = { title: 'Another' }
    for (const name of ['folded', 'recalled']) t.match(await publish(service, 'alice', other, key(name)), { status: 422 }, name)
    t.match(await publish(service, 'alice', { halfLife: 0.01 }, key('folded')), { status: 200, body: { id: folded.body.id } })
    const again = await publish(service, 'alice', {}, key('recalled'))
    t.match(again, { status: 200, body: { id: recalled.body.id, results: [{ status: 'accepted' }] } })
    t.notOk(again.body.results[0].eventId, 'a recalled parked notification never had an event id')

    await until(async () => {
      await publish(service, 'alice')
      const { body } = await call(service, 'GET', `/v1/users/alice/notifications/${first.body.id}`)
      return body.status === 404
    })
    t.match(await publish(service, 'alice', other, key('trimmed')), { status: 422 })
    const repeat = await publish(service, 'alice', { data }, key('trimmed'))
    t.match(repeat, { status: 200, body: { id: first.body.id } })
    t.match(parseEventId(repeat.body.results[0].eventId), { offset: 1, id8: '' }, 'a trimmed row has no tag')
  })
)
