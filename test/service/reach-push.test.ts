import t from 'tap'
import { isProblem } from '../fixtures/problem.ts'
import { PushService } from '../fixtures/push-service.ts'
import { ACTIONS, publish, quiet, startReach, subscribe, VAPID } from '../fixtures/reach.ts'
import { until } from '../fixtures/wait.ts'
import { environmentOf, STORES } from '../fixtures/watcher.ts'
import { call, ready, startService, temporaryFolder, userToken } from '../helper.ts'

for (const store of STORES) {
  t.test(`${store}: a notification that nobody received is pushed to each browser`, async (t) => {
    const rig = await startReach(t, store)
    const { service, push } = rig
    const [phone, desk] = [await subscribe(rig), await subscribe(rig, 'alice', 'desk/1')]
    const other = await subscribe(rig, 'bob')
    const id = await publish(service, { ref: '/x', collapseKey: 'k', ttl: 600, urgency: 'high', data: { body: 'Text' }, actions: ACTIONS })
    await until(() => push.requests(phone).length === 1 && push.requests(desk).length === 1)
    const [pushed] = await push.pushes(phone, VAPID.publicKey)
    const { belfry, ...rest } = pushed?.payload ?? { belfry: { id: '', eventId: '' } }
    t.same(rest, {
      web_push: 8030,
      notification: {
        title: 'Hi',
        body: 'Text',
        navigate: '/x',
        tag: id,
        actions: ACTIONS.map((action) => ({ ...action, navigate: '/x' }))
      },
      app_badge: 1
    })
    const found = (await call(service, 'GET', `/v1/users/alice/notifications/${id}`)).body
    t.match(belfry, { id, eventId: found.eventId, answerLink: String })
    const path = `/v1/users/alice/notifications/${id}/receipts`
    const receipts = await until(async () => {
      const { body } = await call(service, 'GET', path)
      return body.push.every(({ status }: { status: string }) => status === 'sent') && body
    }, 'both pushes are settled')
    t.match(receipts, { push: [{ deviceId: 'desk/1', at: Number }, { deviceId: 'phone' }], fallback: null })
    const ttl = Number(pushed?.headers.ttl)
    t.ok(ttl > 590 && ttl <= 600, `TTL ${ttl}`)
    t.match(pushed?.headers, { urgency: 'high', topic: /^[\w-]{32}$/ })
    t.match(pushed?.vapid, { sub: 'mailto:ops@example.com', aud: push.origin })

    const answer = await call(service, 'POST', '/v1/answers', { link: belfry.answerLink, action: 'approve' }, { token: '' })
    t.match(answer, { status: 200, body: { id, deviceId: 'link' } })
    await publish(service, { title: 'Second' })
    await until(() => push.requests(phone).length === 2)
    t.match((await push.pushes(phone, VAPID.publicKey))[1]?.payload, { notification: { title: 'Second' }, app_badge: 1 })
    t.equal(push.requests(other).length, 0, 'other users get nothing')
    const { body } = await call(service, 'GET', '/metrics', undefined, { token: '' })
    t.match(body, /belfry_calls_total\{kind="push",result="delivered"\} 4/)
  })

  t.test(`${store}: nothing is pushed that somebody looked at, or that says so`, async (t) => {
    const rig = await startReach(t, store, { PUSH_AFTER_SECONDS: '1' })
    const { service, push } = rig
    const phone = await subscribe(rig)
    const tab = await ready(t, service, 'alice', { deviceId: 'tab', acks: true })
    await publish(service, { title: 'received' })
    await tab.next('notification')
    await publish(service, { title: 'never', push: false })
    await publish(service, { title: 'unread', push: { unless: 'read' } })
    const read = await publish(service, { title: 'read', push: { unless: 'read', after: 1 } })
    await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [read], state: 'read' })
    const recalled = await publish(service, { title: 'recalled', push: { unless: 'read' } })
    await call(service, 'DELETE', `/v1/users/alice/notifications/${recalled}`)
    await publish(service, { title: 'replaced', collapseKey: 'k', push: { unless: 'read' } })
    await publish(service, { title: 'replacing', collapseKey: 'k', push: { unless: 'read' } })
    await until(() => push.requests(phone).length === 2)
    await quiet()
    t.same((await push.pushes(phone, VAPID.publicKey)).map(({ payload }) => payload.notification.title).sort(), ['replacing', 'unread'])
  })

  t.test(`${store}: 410 removes the subscription; 500 is retried; a removed one gets nothing`, async (t) => {
    const rig = await startReach(t, store)
    const { service, push } = rig
    const [gone, busy, removed] = [await subscribe(rig), await subscribe(rig, 'alice', 'busy'), await subscribe(rig, 'alice', 'removed')]
    push.receiver.behaviour = (response, { path }) => {
      const status = path === gone.path ? 410 : push.requests(busy).length === 1 ? 500 : 201
      response.writeHead(status).end()
    }
    const path = '/v1/me/devices/removed/push'
    for (let round = 0; round < 2; round++)
      t.equal((await call(service, 'DELETE', path, undefined, { token: userToken('alice') })).status, 204)
    await publish(service)
    await until(() => push.requests(gone).length === 1 && push.requests(busy).length === 1)
    await until(() => push.requests(busy).length === 2)
    const [first, second] = push.requests(busy)
    t.ok((second?.at ?? 0) - (first?.at ?? 0) >= 4900, 'after the back-off')
    t.same(
      (await service.app.store.outbox.subscriptions('alice')).map(({ deviceId }) => deviceId),
      ['busy']
    )
    await publish(service)
    await until(() => push.requests(busy).length === 3)
    t.same([push.requests(gone).length, push.requests(removed).length], [1, 0])
  })

  t.test(`${store}: the subscriptions that the routes take`, async (t) => {
    const rig = await startReach(t, store)
    const { service, push } = rig
    const mine = { token: userToken('alice') }
    const put = (body: unknown, deviceId = 'phone') => call(service, 'PUT', `/v1/me/devices/${deviceId}/push`, body, mine)
    const { json } = push.subscribe()
    t.same((await call(service, 'GET', '/v1/push/key', undefined, { token: '' })).body, { publicKey: VAPID.publicKey })
    const bad: [string, unknown][] = [
      ['no body', undefined],
      ['a service of the network', { ...json, endpoint: 'http://169.254.169.254/latest' }],
      ['another port of this machine', { ...json, endpoint: 'http://127.0.0.1:1/x' }],
      ['userinfo', { ...json, endpoint: json.endpoint.replace('http://', 'http://user@') }],
      ['no keys', { endpoint: json.endpoint }],
      ['a point off the curve', { ...json, keys: { ...json.keys, p256dh: `${json.keys.p256dh.slice(0, -4)}AAAA` } }],
      ['a short secret', { ...json, keys: { ...json.keys, auth: 'AAAA' } }],
      ['an unknown field', { ...json, more: 1 }],
      ['a list', [json]],
      ['an endpoint that is no text', { ...json, endpoint: { toString: 1 } }]
    ]
    for (const [name, body] of bad) {
      const answer = await put(body)
      t.equal(answer.status, 400, name)
      isProblem(t, answer, 400, 'INVALID_REQUEST')
    }
    for (let device = 0; device < 20; device++) t.equal((await put(push.subscribe().json, `device${device}`)).status, 204)
    isProblem(t, await put(json, 'one more'), 409, 'SUBSCRIPTIONS_FULL')
    t.equal((await put(json, 'device7')).status, 204, 'a device has one, and may change it')
    t.equal((await service.app.store.outbox.subscriptions('alice')).length, 20)
    isProblem(t, await call(service, 'PUT', '/v1/me/devices/phone/push', json, { token: '' }), 401, 'TOKEN_MISSING')
    for (const more of [
      { push: true },
      { push: { after: -1 } },
      { push: { unless: 'never' } },
      { fallback: {} },
      { fallback: false },
      { fallback: { after: 1e9 } }
    ])
      t.equal(
        (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'x', ...more })).status,
        400,
        JSON.stringify(more)
      )
  })
}

t.test('without keys, Redis has no Web Push, and the routes say so; the embedded store makes keys and keeps them', async (t) => {
  const redis = await startService(t, await environmentOf(t, 'redis'))
  const { json } = (await PushService.start(t)).subscribe()
  for (const [method, path, body] of [
    ['GET', '/v1/push/key', undefined],
    ['PUT', '/v1/me/devices/phone/push', json],
    ['DELETE', '/v1/me/devices/phone/push', undefined]
  ] as const) {
    const answer = await call(redis, method, path, body, { token: userToken('alice') })
    isProblem(t, answer, 404, 'NOT_FOUND')
    t.match(answer.body.detail, /VAPID keys/)
  }
  const folder = { DATA_DIR: temporaryFolder(t) }
  const first = await startService(t, folder)
  const key = (await call(first, 'GET', '/v1/push/key')).body
  t.match(key, { publicKey: /^B[\w-]{86}$/ })
  await first.close()
  t.same((await call(await startService(t, folder), 'GET', '/v1/push/key')).body, key)
})
