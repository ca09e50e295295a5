import { Redis } from 'ioredis'
import t from 'tap'
import { Keys } from '../../services/store/redis/keys.ts'
import { publish, quiet, SECRETS, webhooksOf } from '../fixtures/reach.ts'
import { Receiver } from '../fixtures/receiver.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { environmentOf, STORES } from '../fixtures/watcher.ts'
import { call, ready, serviceToken, startService, temporaryFolder, userToken } from '../helper.ts'

t.test('presence', async (t) => {
  for (const store of STORES) {
    const service = await startService(t, await environmentOf(t, store))
    const get = async (user: string) => (await call(service, 'GET', `/v1/users/${user}/presence`)).body
    t.same(await get('nobody'), { user: 'nobody', online: false, devices: [], lastSeenAt: null })
    const tab = await ready(t, service, 'alice', { deviceId: 'tab', acks: true })
    const second = await ready(t, service, 'alice', { deviceId: 'tab', acks: true })
    const online = await get('alice')
    t.match(online, { user: 'alice', online: true, devices: [{ deviceId: 'tab', node: service.app.node, connectedAt: Number }] })
    t.equal(online.devices.length, 1, 'a device is listed once')
    t.ok(Math.abs(online.lastSeenAt - Date.now()) < 5000)
    await publish(service)
    await tab.next('notification')
    await until(async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices[0]?.lag === 0)
    for (const client of [tab, second]) await client.close()
    await until(async () => !(await get('alice')).online)
    const { lastSeenAt } = await get('alice')
    t.ok(Math.abs(lastSeenAt - Date.now()) < 5000)
    await ready(t, service, 'bob')
    const list = await call(service, 'POST', '/v1/presence', { users: ['nobody', 'bob', 'alice', 'bob'] })
    t.match(list.body, {
      items: [
        { user: 'nobody', online: false, lastSeenAt: null },
        { user: 'bob', online: true },
        { user: 'alice', online: false, lastSeenAt },
        { user: 'bob', online: true }
      ]
    })
    const many = Array.from({ length: 1000 }, (_, index) => `user${index}`)
    t.equal((await call(service, 'POST', '/v1/presence', { users: many })).body.items.length, 1000)
    t.equal((await call(service, 'POST', '/v1/presence', { users: [...many, 'more'] })).status, 413)
    t.equal((await call(service, 'POST', '/v1/presence', { users: ['a'] }, { token: userToken('alice') })).status, 403)
    t.equal((await call(service, 'POST', '/v1/presence', { users: ['a'] }, { token: serviceToken('publish') })).status, 200)
  }
})

/** A check of connections follows within 15 s. */
const RESTART_MS = 30_000

for (const store of STORES) {
  t.test(`${store}: webhooks tell of users who come online, and go offline after the grace`, async (t) => {
    const hooks = await Receiver.start(t)
    const service = await startService(t, {
      WEBHOOK_URL: hooks.origin,
      WEBHOOK_SECRET: SECRETS.join(),
      WEBHOOK_EVENTS: 'user.online,user.offline',
      PRESENCE_GRACE_SECONDS: '1',
      ...(await environmentOf(t, store))
    })
    const events = () => webhooksOf(hooks).map(({ type, data }) => `${type} ${data.user}`)
    const before = Date.now()
    const tab = await ready(t, service, 'alice', { deviceId: 'tab' })
    await until(() => hooks.received.length === 1)
    t.match(webhooksOf(hooks)[0], { type: 'user.online', data: { user: 'alice', at: Number } })
    t.ok(Math.abs(webhooksOf(hooks)[0]?.data.at - before) < 5000)
    const phone = await ready(t, service, 'alice', { deviceId: 'phone' })
    await tab.close()
    await phone.close()
    const again = await ready(t, service, 'alice', { deviceId: 'tab' })
    await quiet(2500)
    t.same(events(), ['user.online alice'], 'a second connection, and one that comes back in the grace, change nothing')
    const refused = await ready(t, service, 'bob')
    const left = Date.now()
    await Promise.all([again.close(), refused.close()])
    await until(() => hooks.received.length === 4)
    t.same(events().sort(), ['user.offline alice', 'user.offline bob', 'user.online alice', 'user.online bob'])
    for (const { type, data } of webhooksOf(hooks)) {
      if (type === 'user.offline') t.ok(data.at - left >= 1000 && data.at - left < 8000, `${data.user}: ${data.at - left} ms`)
    }
    await ready(t, service, 'alice')
    await until(() => hooks.received.length === 5)
    t.equal(events()[4], 'user.online alice')
  })
}

t.test('users whose presence the store has lost come online again when their connections attach again', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const hooks = await Receiver.start(t)
  const service = await startService(t, {
    REDIS_URL: redis.url,
    WEBHOOK_URL: hooks.origin,
    WEBHOOK_SECRET: SECRETS.join(),
    WEBHOOK_EVENTS: 'user.online,user.offline',
    PRESENCE_GRACE_SECONDS: '1'
  })
  const events = () => webhooksOf(hooks).map(({ type, data }) => `${type} ${data.user}`)
  const tab = await ready(t, service, 'alice', { deviceId: 'tab' })
  await ready(t, service, 'alice', { deviceId: 'phone' })
  await until(() => hooks.received.length === 1)
  const client = new Redis(redis.url)
  t.teardown(() => client.disconnect())
  // As after a failover that lost its tail, or a pause in which the node counted as dead: nothing says that alice is online.
  await client.del(...(await client.keys('belfry:*:alice')), ...new Keys('belfry').counters)
  await until(() => hooks.received.length === 2, 'alice is online')
  await tab.close()
  await quiet(1500)
  t.same(events(), ['user.online alice', 'user.online alice'])
})

t.test('an embedded store that starts again knows who was online, and waits for them as long as the grace', async (t) => {
  const hooks = await Receiver.start(t)
  const environment = {
    WEBHOOK_URL: hooks.origin,
    WEBHOOK_SECRET: SECRETS.join(),
    WEBHOOK_EVENTS: 'user.online,user.offline',
    PRESENCE_GRACE_SECONDS: '4',
    DATA_DIR: temporaryFolder(t)
  }
  const first = await startService(t, environment)
  for (const user of ['alice', 'bob']) await ready(t, first, user)
  await until(() => hooks.received.length === 2)
  await first.close()
  const second = await startService(t, environment)
  await ready(t, second, 'alice')
  await until(() => hooks.received.length === 3, 'bob is offline', RESTART_MS)
  await quiet()
  t.same(
    webhooksOf(hooks)
      .slice(2)
      .map(({ type, data }) => `${type} ${data.user}`),
    ['user.offline bob']
  )
})
