import t from 'tap'
import { publish } from '../fixtures/reach.ts'
import { until } from '../fixtures/wait.ts'
import { environmentOf, STORES } from '../fixtures/watcher.ts'
import { call, ready, serviceToken, startService, userToken } from '../helper.ts'

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
