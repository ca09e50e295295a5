import type { Test } from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, connect, serviceToken, type TestClient, userToken } from '../helper.ts'
import type { StartCluster } from './three-nodes.ts'

function titles(client: TestClient): string[] {
  return client.all('notification').map(({ notification }) => notification.title)
}

/** Tests that what one node does reaches the connections on the others, for any bus between them. */
export function deliverySuite(t: Test, startCluster: StartCluster): void {
  t.test('one publish reaches every device once, on any node, and wakes no other node', async (t) => {
    const { nodes } = await startCluster(t)
    const [a, b, c] = nodes
    const phone = await connect(t, a, 'alice', { deviceId: 'phone' })
    const laptop = await connect(t, b, 'alice', { deviceId: 'laptop' })
    await Promise.all([phone.next('caughtUp'), laptop.next('caughtUp')])

    const { body } = await call(c, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'One' })
    t.equal(body.results[0].nodes, 2)
    t.equal((await phone.next('notification')).eventId, body.results[0].eventId)
    t.equal((await laptop.next('notification')).eventId, body.results[0].eventId)
    await call(a, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Two' })
    await laptop.until(() => (titles(laptop).length === 2 ? true : undefined))
    await phone.until(() => (titles(phone).length === 2 ? true : undefined))
    t.same(
      [titles(phone), titles(laptop)],
      [
        ['One', 'Two'],
        ['One', 'Two']
      ]
    )
    t.equal(c.app.counters.wakeUps, 0, 'a node without a connection of the user gets no wake-up')

    const { body: listed } = await call(c, 'GET', '/v1/users/alice/connections')
    t.same(listed.items.map(({ deviceId, node }: { deviceId: string; node: string }) => [deviceId, node]).sort(), [
      ['laptop', b.app.node],
      ['phone', a.app.node]
    ])
  })

  t.test('publishes from all nodes at once: every device sees the same gapless order', async (t) => {
    const { nodes } = await startCluster(t, { RATE_LIMIT_MAX: '0' })
    const clients = await Promise.all(
      nodes.flatMap((node, n) => [1, 2].map((d) => connect(t, node, 'bob', { deviceId: `d${n}${d}`, acks: true })))
    )
    await Promise.all(clients.map((client) => client.next('caughtUp')))
    const publish = (n: number) =>
      call(nodes[n % 3] as (typeof nodes)[0], 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: `${n}` })
    const answers = await Promise.all(Array.from({ length: 150 }, (_, n) => publish(n)))
    t.ok(answers.every(({ status }) => status === 202))
    for (const client of clients) await client.until(() => (titles(client).length >= 150 ? true : undefined), '150 notifications')
    const [first, ...others] = clients.map((client) => client.all('notification').map(({ eventId }) => eventId))
    for (const other of others) t.same(other, first)
    t.same(
      first?.map((id) => Number(id.split('.')[1])),
      Array.from({ length: 150 }, (_, n) => n + 1)
    )
  })

  t.test('marks, recalls and closings reach the other nodes', async (t) => {
    const { nodes } = await startCluster(t, { MAX_CONNECTIONS_PER_USER: '2' })
    const [a, b, c] = nodes
    const old = userToken('carol', { iat: Math.floor(Date.now() / 1000) - 10 })
    const phone = await connect(t, a, 'carol', { deviceId: 'phone', token: old })
    const laptop = await connect(t, b, 'carol', { deviceId: 'laptop', token: old })
    await Promise.all([phone.next('caughtUp'), laptop.next('caughtUp')])
    const { body } = await call(c, 'POST', '/v1/notifications', { to: 'carol', type: 'a', title: 'One' })
    await laptop.next('notification')
    phone.send({ type: 'mark', ref: 7, ids: [body.id], state: 'read' })
    t.match(await phone.next('ok'), { ref: 7, unread: 0 })
    t.match(await laptop.next('state'), { ids: [body.id], state: 'read', unread: 0 })
    t.match(await phone.next('state'), { ids: [body.id], state: 'read' })
    t.equal((await call(c, 'DELETE', `/v1/users/carol/notifications/${body.id}`)).status, 204)
    t.match(await laptop.next('retract'), { id: body.id, reason: 'recalled', unread: 0 })

    const third = await connect(t, c, 'carol', { deviceId: 'tablet' })
    t.equal((await third.whenClosed()).code, 4004, 'the limit holds over all nodes')

    const { body: listed } = await call(c, 'GET', '/v1/users/carol/connections')
    const phoneId = listed.items.find(({ deviceId }: { deviceId: string }) => deviceId === 'phone').connectionId
    t.match(await call(c, 'DELETE', `/v1/users/carol/connections/${phoneId}?reason=bye`), { status: 200, body: { disconnected: 1 } })
    t.same(await phone.whenClosed(), { code: 4003, reason: 'bye' })
    await until(async () => (await call(a, 'GET', '/v1/users/carol/connections')).body.items.length === 1)

    t.match(await call(a, 'DELETE', '/v1/users/carol/connections?revoke=true'), { status: 200, body: { disconnected: 1 } })
    t.same(await laptop.whenClosed(), { code: 4001, reason: 'token_revoked' })
    const again = await connect(t, c, 'carol', { token: old })
    t.same(await again.whenClosed(), { code: 4001, reason: 'token_revoked' })
    t.match(await call(b, 'GET', '/v1/me/notifications', undefined, { token: old }), {
      status: 401,
      body: { code: 'BELFRY_ERR_TOKEN_REVOKED' }
    })
    const signedInAgain = await connect(t, b, 'carol', { token: userToken('carol') })
    t.match(await signedInAgain.next('hello'), { user: 'carol' }, 'a token of the same second, issued after it')
  })

  t.test('notifications over the rate are parked and released in order, at most ten a second, by any node', async (t) => {
    const { nodes } = await startCluster(t)
    const [a, b, c] = nodes
    const client = await connect(t, a, 'dave', { deviceId: 'phone', acks: true })
    await client.next('caughtUp')
    const notifications = Array.from({ length: 35 }, (_, n) => ({ to: 'dave', type: 'a', title: `${n}` }))
    const { body } = await call(b, 'POST', '/v1/notifications/batch', { notifications })
    const statuses = body.results.map(({ results }: { results: { status: string }[] }) => results[0]?.status)
    t.same(statuses, [...Array(10).fill('accepted'), ...Array(25).fill('parked')])
    await b.close()
    const more = await call(c, 'POST', '/v1/notifications', { to: 'dave', type: 'a', title: '35' })
    t.equal(more.body.results[0].status, 'parked', 'a new one queues behind the backlog')
    await client.until(() => (titles(client).length === 36 ? true : undefined), '36 notifications')
    t.same(
      titles(client),
      Array.from({ length: 36 }, (_, n) => `${n}`)
    )
    const { body: inbox } = await call(c, 'GET', '/v1/users/dave/notifications?limit=100')
    t.equal(inbox.unread, 36)
    const rows = await c.app.store.read({ user: 'dave', position: { epoch: '', offset: 0, id8: '' }, seen: undefined, limit: 100 })
    const times = rows.rows.map((row) => Number(row.toString('latin1', 1, 14)))
    for (let n = 10; n < times.length; n++)
      if ((times[n] as number) - (times[n - 10] as number) < 1000) t.fail(`11 within a second at ${n}`)
    t.equal(times.length, 36)
  })

  t.test('a retry on another node is the same notification', async (t) => {
    const { nodes } = await startCluster(t)
    const publish = (node: (typeof nodes)[0], title: string) =>
      call(
        node,
        'POST',
        '/v1/notifications',
        { to: 'erin', type: 'a', title },
        { token: serviceToken(), headers: { 'idempotency-key': '"k-1"' } }
      )
    const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => publish(nodes[n % 3] as (typeof nodes)[0], 'One')))
    t.equal(answers.filter(({ status }) => status === 202).length, 1)
    t.equal(answers.filter(({ status, headers }) => status === 200 && headers.get('idempotent-replayed') === 'true').length, 29)
    t.equal(new Set(answers.map(({ body }) => body.id)).size, 1)
    t.match(await publish(nodes[0], 'Two'), { status: 422, body: { code: 'BELFRY_ERR_IDEMPOTENCY_CONFLICT' } })
    t.equal((await call(nodes[1], 'GET', '/v1/users/erin/notifications')).body.items.length, 1)
  })
}
