import t from 'tap'
import { ACTIONS, publish, quiet, type ReceivedWebhook, SECRETS, startReach, subscribe, webhooksOf } from '../fixtures/reach.ts'
import { answering, hanging } from '../fixtures/receiver.ts'
import { until } from '../fixtures/wait.ts'
import { STORES } from '../fixtures/watcher.ts'
import { call, ready } from '../helper.ts'

for (const store of STORES) {
  t.test(`${store}: the webhooks of a notification, verified by the library of Standard Webhooks`, async (t) => {
    const { service, hooks } = await startReach(t, store)
    const tab = await ready(t, service, 'alice', { deviceId: 'tab', acks: true })
    const before = Date.now()
    const id = await publish(service, { fallback: { after: 1 }, actions: ACTIONS, ref: '/x' })
    await tab.next('notification')
    const readInTime = await publish(service, { fallback: { after: 1.2 } })
    await publish(service, { fallback: { after: 1.2, unless: 'delivered' } })
    await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [readInTime], state: 'read' })
    await until(() => hooks.received.length === 1)
    for (const secret of SECRETS) t.equal(webhooksOf(hooks, secret).length, 1)
    const [fallback] = webhooksOf(hooks) as [ReceivedWebhook]
    t.match(fallback, {
      type: 'notification.fallback',
      id: /^msg_[\w-]{27}$/,
      data: {
        user: 'alice',
        notification: { id, title: 'Hi', ref: '/x', actions: ACTIONS },
        state: 'unread',
        devices: [{ deviceId: 'tab', received: true, lastAckAt: Number }],
        answerLink: String
      }
    })
    t.ok(Math.abs(Date.parse(fallback.timestamp) - before) < 5000)
    await until(async () => {
      const { body } = await call(service, 'GET', `/v1/users/alice/notifications/${id}/receipts`)
      return body.fallback?.status === 'sent' && body.push.length === 0
    }, 'the receipt of the fallback')
    t.match(hooks.received[0], { path: '/hooks', headers: { 'content-type': 'application/json' } })

    const given = await call(service, 'POST', '/v1/answers', { link: fallback.data.answerLink, action: 'reject' }, { token: '' })
    await until(() => hooks.received.length === 2)
    t.match(webhooksOf(hooks)[1], {
      type: 'notification.answered',
      data: { user: 'alice', id, action: 'reject', answeredAt: given.body.answeredAt, deviceId: 'link' }
    })
    const asked = await publish(service, { actions: ACTIONS })
    tab.send({ type: 'answer', ref: 1, id: asked, action: 'approve' })
    const answered = performance.now()
    await until(() => hooks.received.length === 3)
    t.ok(performance.now() - answered < 900, 'at once')
    t.match(webhooksOf(hooks)[2], { type: 'notification.answered', data: { user: 'alice', id: asked, deviceId: 'tab' } })

    const { id: expired } = (await call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'x.y', title: 'Hi', ttl: 1 })).body
    await publish(service, { ttl: 1 })
    await until(() => hooks.received.length === 4)
    t.match(webhooksOf(hooks)[3], { type: 'notification.expired', data: { user: 'bob', id: expired, type: 'x.y' } })
    await quiet()
    t.equal(hooks.received.length, 4, 'nothing for what was read, received or answered')
    t.equal(new Set(webhooksOf(hooks).map(({ id }) => id)).size, 4)
  })

  t.test(`${store}: it is not enough for a fallback that somebody has seen it; it has a link only if there are actions`, async (t) => {
    const { service, hooks } = await startReach(t, store)
    const id = await publish(service, { fallback: { after: 1 } })
    await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [id], state: 'seen' })
    await until(() => hooks.received.length === 1)
    const [fallback] = webhooksOf(hooks)
    t.match(fallback?.data, { notification: { id }, state: 'seen', devices: [] })
    t.notMatch(JSON.stringify(fallback), 'answerLink')
  })

  t.test(`${store}: a webhook that fails is sent again with its id; nothing is owed after an erasure`, async (t) => {
    const { service, hooks } = await startReach(t, store)
    hooks.behaviour = answering(500)
    await publish(service, { fallback: { after: 0 } })
    await call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: 'Hi', fallback: { after: 0 } })
    await call(service, 'POST', '/v1/notifications', { to: 'carol', type: 'a', title: 'Hi', fallback: { after: 2 } })
    await until(() => hooks.received.length === 2)
    for (const user of ['bob', 'carol']) t.equal((await call(service, 'DELETE', `/v1/users/${user}`)).status, 204)
    hooks.behaviour = answering(204)
    await until(() => hooks.received.length === 3)
    await quiet()
    const [first, second, third] = webhooksOf(hooks)
    t.equal(third?.data.user, 'alice')
    t.equal(third?.id, [first, second].find((webhook) => webhook?.data.user === 'alice')?.id)
    t.equal(hooks.received.length, 3)
  })

  t.test(`${store}: a receiver that hangs delays neither pushes nor publishes`, async (t) => {
    const rig = await startReach(t, store)
    const { service, push, hooks } = rig
    const phone = await subscribe(rig)
    hooks.behaviour = hanging
    for (let index = 0; index < 20; index++) await publish(service, { fallback: { after: 0 }, push: false })
    await until(() => hooks.open === 4)
    const before = performance.now()
    for (let index = 0; index < 10; index++) await publish(service)
    await until(() => push.requests(phone).length === 10)
    t.ok(performance.now() - before < 5000)
    t.equal(hooks.mostOpen, 4, 'four calls to a host at a time')
  })
}
