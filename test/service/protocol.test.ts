import t from 'tap'
import { formatEventId, parseEventId, type ServerFrame } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService, type TestClient, type TestService, userToken } from '../helper.ts'

const NO_LIMIT = { RATE_LIMIT_MAX: '0' }

async function publish(service: TestService, to: string, title: string): Promise<{ id: string; eventId: string }> {
  const { status, body } = await call(service, 'POST', '/v1/notifications', { to, type: 'a', title })
  if (status !== 202) throw new Error(JSON.stringify(body))
  return { id: body.id, eventId: body.results[0].eventId }
}

async function publishMany(service: TestService, to: string, count: number): Promise<string[]> {
  const notifications = Array.from({ length: count }, (_, n) => ({ to, type: 'a', title: String(n + 1) }))
  const { body } = await call(service, 'POST', '/v1/notifications/batch', { notifications })
  return body.results.map((result: { results: { eventId: string }[] }) => result.results[0]?.eventId)
}

/** Returns the titles of the notifications that a client received, in order. */
function titles(client: TestClient): string[] {
  return client.all('notification').map(({ notification }) => notification.title)
}

function offsetOf(eventId: string): number {
  return parseEventId(eventId)?.offset ?? -1
}

async function lagOf(service: TestService, user: string, deviceId: string): Promise<number | undefined> {
  const { body } = await call(service, 'GET', `/v1/users/${user}/queue`)
  return body.devices.find((device: { deviceId: string }) => device.deviceId === deviceId)?.lag
}

t.test('resume', async (t) => {
  const service = await startService(t, { ...NO_LIMIT, LOG_MAX_ENTRIES: '10' })

  await t.test('hello: fresh, on an empty log', async (t) => {
    const token = userToken('alice')
    const before = Date.now()
    const client = await connect(t, service, 'alice', { token, deviceId: 'laptop' })
    const hello = await client.next('hello')
    t.match(hello, {
      deviceId: 'laptop',
      user: 'alice',
      node: service.app.node,
      heartbeat: { intervalMs: 25_000, timeoutMs: 10_000 },
      resume: { status: 'fresh', pending: 0, parked: 0 },
      unread: 0,
      unseen: 0,
      limits: { maxFrameBytes: 10_240, maxUnacked: 100 }
    })
    t.match(hello.connectionId, /^[\w-]{20}$/)
    t.ok(hello.serverTime >= before && hello.serverTime <= Date.now())
    t.equal(hello.tokenExpiresAt % 1000, 0)
    t.ok(hello.tokenExpiresAt > Date.now() + 3_500_000)
    t.equal(hello.resume.from, hello.resume.to)
    t.equal(offsetOf(hello.resume.from), 0)
    t.same((await client.next('caughtUp')).eventId, hello.resume.to)
    t.equal(client.frames[0]?.type, 'hello')
  })

  await t.test('a new device gets the rows that no device has received; a known device those after its cursor', async (t) => {
    const phone = await ready(t, service, 'bea', { deviceId: 'phone', acks: true })
    await publishMany(service, 'bea', 3)
    await phone.until(() => phone.all('notification')[2])
    await until(async () => (await lagOf(service, 'bea', 'phone')) === 0)
    await phone.close()
    await publish(service, 'bea', 'four')

    const tablet = await connect(t, service, 'bea', { deviceId: 'tablet', acks: true })
    t.match((await tablet.next('hello')).resume, { status: 'fresh', pending: 1 })
    await tablet.next('caughtUp')
    t.same(titles(tablet), ['four'])
    await until(async () => (await lagOf(service, 'bea', 'tablet')) === 0)

    const again = await connect(t, service, 'bea', { deviceId: 'phone' })
    const { resume } = await again.next('hello')
    t.match(resume, { status: 'resumed', pending: 1 })
    t.equal(offsetOf(resume.from), 3)
    t.equal(offsetOf(resume.to), 4)
    await again.next('caughtUp')
    t.same(titles(again), ['four'])
    t.equal(again.all('notification')[0]?.replay, true)
  })

  await t.test('last_event_id: a position, earliest, latest, nothing', async (t) => {
    const ids = await publishMany(service, 'cid', 4)
    const from = async (lastEventId: string, deviceId = 'd') => {
      const client = await connect(t, service, 'cid', { lastEventId, deviceId })
      const { resume } = await client.next('hello')
      await client.next('caughtUp')
      return { status: resume.status, titles: titles(client), gaps: client.all('gap').length }
    }
    t.same(await from(ids[1] as string), { status: 'resumed', titles: ['3', '4'], gaps: 0 })
    t.same(await from(ids[3] as string), { status: 'resumed', titles: [], gaps: 0 })
    t.same(await from('earliest'), { status: 'fresh', titles: ['1', '2', '3', '4'], gaps: 0 })
    t.same(await from('latest'), { status: 'fresh', titles: [], gaps: 0 })
    t.same(await from('', 'new'), { status: 'fresh', titles: ['3', '4'], gaps: 0 }, 'd exists since it came back at 2')
  })

  await t.test('every gap names its reason, replays from the oldest retained row, and writes nothing', async (t) => {
    const ids = await publishMany(service, 'dan', 13)
    const [otherId] = await publishMany(service, 'eve', 1)
    const last = parseEventId(ids[12] as string)
    if (last === undefined) throw new Error('no event id')
    const { body: before } = await call(service, 'GET', '/v1/users/dan/queue')
    const floor = offsetOf(before.first) - 1
    t.ok(floor > 0, 'rows were trimmed')
    const retained = Array.from({ length: 13 - floor }, (_, n) => String(floor + 1 + n))
    const cases: [lastEventId: string, gap: Record<string, unknown>][] = [
      [ids[0] as string, { reason: 'trimmed', from: `${last.epoch}.2`, to: `${last.epoch}.${floor}`, count: floor - 1 }],
      [otherId as string, { reason: 'epoch', from: otherId, count: 0 }],
      [formatEventId({ ...last, offset: 20, id8: 'abcdefgh' }), { reason: 'ahead', from: `${last.epoch}.14`, count: 7 }],
      [formatEventId({ ...last, id8: 'abcdefgh' }), { reason: 'fork', from: formatEventId({ ...last, id8: 'abcdefgh' }) }],
      ['1754000000', { reason: 'unknown_id', from: '', count: 0 }],
      [`${last.epoch}.-1`, { reason: 'unknown_id' }],
      [`${last.epoch}.9007199254740993`, { reason: 'unknown_id' }],
      ['x'.repeat(5000), { reason: 'unknown_id' }]
    ]
    for (const [lastEventId, gap] of cases) {
      const client = await connect(t, service, 'dan', { lastEventId, deviceId: 'd' })
      t.equal((await client.next('hello')).resume.status, 'gap', lastEventId.slice(0, 40))
      t.match(await client.next('gap'), gap)
      await client.next('caughtUp')
      t.same(titles(client), retained)
      await client.close()
    }
    const { body: after } = await call(service, 'GET', '/v1/users/dan/queue')
    t.same(after.head, before.head)
    t.same(after.devices, before.devices)
  })

  await t.test('a replay leaves out recalled notifications, and carries the state of the others', async (t) => {
    const [one, two, three] = [
      await publish(service, 'fay', 'one'),
      await publish(service, 'fay', 'two'),
      await publish(service, 'fay', 'three')
    ]
    await call(service, 'DELETE', `/v1/users/fay/notifications/${two.id}`)
    await call(service, 'POST', '/v1/users/fay/notifications/mark', { ids: [one.id], state: 'read' })
    const client = await connect(t, service, 'fay', { deviceId: 'd', acks: true })
    t.match(await client.next('hello'), { unread: 1, resume: { pending: 5 } })
    const { eventId } = await client.next('caughtUp')
    t.equal(offsetOf(eventId), 5)
    t.same(
      client.all('notification').map(({ notification, state }) => [notification.title, state]),
      [
        ['one', 'read'],
        ['three', undefined]
      ]
    )
    t.same(client.all('retract'), [])
    t.same(client.all('state'), [])
    await client.close()
    const late = await connect(t, service, 'fay', { deviceId: 'e', lastEventId: two.eventId })
    await late.next('caughtUp')
    t.match(late.all('retract')[0], { id: two.id, replay: true, unread: 1 })
    t.match(late.all('state')[0], { ids: [one.id], state: 'read', replay: true })
    t.equal(late.all('notification')[0]?.notification.id, three.id)
  })

  await t.test('a notification that was shown, not acknowledged, and then recalled is retracted when the device returns', async (t) => {
    const one = await publish(service, 'flo', 'one')
    const client = await connect(t, service, 'flo', { deviceId: 'd' })
    await client.next('caughtUp')
    client.send({ type: 'ack', eventId: one.eventId })
    const two = await publish(service, 'flo', 'two')
    await client.until(() => client.all('notification')[1])
    await client.close()
    await call(service, 'DELETE', `/v1/users/flo/notifications/${two.id}`)
    const again = await connect(t, service, 'flo', { deviceId: 'd' })
    await again.next('caughtUp')
    t.same(again.all('notification'), [])
    t.match(again.all('retract'), [{ id: two.id, replay: true, unread: 1 }])
  })
})

t.test('live', async (t) => {
  const service = await startService(t, { ...NO_LIMIT, MAX_UNACKED: '5', MAX_CONNECTIONS_PER_USER: '10' })

  await t.test('after caughtUp the event ids have no hole, for every kind of row', async (t) => {
    const client = await ready(t, service, 'gil', { deviceId: 'd', acks: true })
    const one = await publish(service, 'gil', 'one')
    await publish(service, 'gil', 'two')
    await call(service, 'POST', '/v1/users/gil/notifications/mark', { ids: [one.id], state: 'seen' })
    await call(service, 'DELETE', `/v1/users/gil/notifications/${one.id}`)
    await publish(service, 'gil', 'three')
    await client.until(() => client.all('notification')[2])
    const rows = client.frames.filter(
      (frame): frame is Extract<ServerFrame, { eventId: string }> => 'eventId' in frame && frame.type !== 'caughtUp'
    )
    t.same(
      rows.map(({ type, eventId }) => [type, offsetOf(eventId)]),
      [
        ['notification', 1],
        ['notification', 2],
        ['state', 3],
        ['retract', 4],
        ['notification', 5]
      ]
    )
    t.match(rows[3], { id: one.id, reason: 'recalled', unread: 1 })
  })

  await t.test('at most MAX_UNACKED frames are in flight; an acknowledgement makes room for more', async (t) => {
    const client = await ready(t, service, 'hal', { deviceId: 'd' })
    const ids = await publishMany(service, 'hal', 12)
    await client.until(() => client.all('notification')[4])
    client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
    await client.next('ok')
    t.same(titles(client), ['1', '2', '3', '4', '5'], 'and no more before the answer to what was sent after it')
    client.send({ type: 'ack', eventId: ids[1] })
    await client.until(() => client.all('notification')[6])
    client.send({ type: 'mark', ref: 2, ids: ['x'], state: 'read' })
    await client.next('ok')
    t.equal(titles(client).length, 7)
    client.send({ type: 'ack', eventId: ids[0] })
    client.send({ type: 'ack', eventId: ids[6] })
    await client.until(() => client.all('notification')[11])
    t.same(
      titles(client),
      ids.map((_, n) => String(n + 1))
    )
    client.send({ type: 'ack', eventId: ids[11] })
    t.equal((await client.until(() => client.all('caughtUp')[1])).unread, 12)
    await publish(service, 'hal', 'live')
    await client.until(() => client.all('notification')[12])
    t.equal(client.all('notification').at(-1)?.replay, undefined)
  })

  await t.test('the default device has no window: its cursor moves as frames reach the network', async (t) => {
    const client = await ready(t, service, 'ina')
    t.equal(client.all('hello')[0]?.deviceId, 'default')
    await publishMany(service, 'ina', 12)
    await client.until(() => client.all('notification')[11])
    await until(async () => (await lagOf(service, 'ina', 'default')) === 0)
    await client.close()
    await publish(service, 'ina', 'later')
    const back = await connect(t, service, 'ina')
    t.match((await back.next('hello')).resume, { status: 'resumed', pending: 1 })
    t.equal((await back.next('notification')).notification.title, 'later')
  })

  await t.test(
    'two connections of a device have separate positions; an acknowledgement of either moves the cursor of the device',
    async (t) => {
      const one = await ready(t, service, 'jon', { deviceId: 'd' })
      const two = await ready(t, service, 'jon', { deviceId: 'd' })
      const ids = await publishMany(service, 'jon', 3)
      for (const client of [one, two]) await client.until(() => client.all('notification')[2])
      one.send({ type: 'ack', eventId: ids[2] })
      await until(async () => (await lagOf(service, 'jon', 'd')) === 0)
      await publishMany(service, 'jon', 4)
      await one.until(() => one.all('notification')[6])
      await two.until(() => two.all('notification')[4])
      t.equal(two.all('notification').length, 5, "the other's window is its own")
    }
  )

  await t.test('ten tabs get each notification once and the marks of each other; the eleventh is closed with 4004', async (t) => {
    const tabs = await Promise.all(Array.from({ length: 10 }, (_, n) => ready(t, service, 'kim', { deviceId: `tab${n}`, acks: true })))
    const eleventh = await connect(t, service, 'kim')
    t.same(await eleventh.whenClosed(), { code: 4004, reason: 'connection limit' })
    t.match(eleventh.all('bye')[0], { code: 4004 })
    const { id } = await publish(service, 'kim', 'once')
    for (const tab of tabs) t.equal((await tab.next('notification')).notification.id, id)
    tabs[3]?.send({ type: 'mark', ref: 7, ids: [id], state: 'read' })
    t.same(await tabs[3]?.next('ok'), { type: 'ok', ref: 7, unread: 0, unseen: 0, durability: 'fsync' })
    for (const tab of tabs) t.match(await tab.until(() => tab.all('state')[0]), { ids: [id], state: 'read', unread: 0, unseen: 0 })
    for (const tab of tabs) t.equal(tab.all('notification').length, 1)
    await tabs[0]?.close()
    await until(async () => (await call(service, 'GET', '/v1/users/kim/connections')).body.items.length === 9)
    await ready(t, service, 'kim', { deviceId: 'tab10' })
  })

  await t.test('mark: by ids, by upTo, without a ref; invalid marks', async (t) => {
    const client = await ready(t, service, 'lea', { deviceId: 'd', acks: true })
    const sent = [await publish(service, 'lea', 'one'), await publish(service, 'lea', 'two'), await publish(service, 'lea', 'three')]
    client.send({ type: 'mark', upTo: sent[1]?.eventId, state: 'seen' })
    t.same(await client.next('ok'), { type: 'ok', unread: 3, unseen: 1, durability: 'fsync' }, 'seen is not read')
    t.same(client.all('state')[0]?.ids, [sent[0]?.id, sent[1]?.id])
    client.send({ type: 'mark', ref: 1, ids: [sent[2]?.id, 'unknown'], state: 'archived' })
    t.same(await client.next('ok'), { type: 'ok', ref: 1, unread: 2, unseen: 0, durability: 'fsync' })
    client.send({ type: 'mark', ref: 2, ids: ['unknown'], state: 'read' })
    t.same(await client.next('ok'), { type: 'ok', ref: 2, unread: 2, unseen: 0, durability: 'fsync' })
    client.send({ type: 'mark', ref: 3, ids: [sent[2]?.id], state: 'unread', ageMs: 3600_000 })
    t.same(await client.next('ok'), { type: 'ok', ref: 3, unread: 2, unseen: 0, durability: 'fsync' }, 'archived before')
    for (const frame of [
      { state: 'read' },
      { ids: ['x'] },
      { ids: ['x'], state: 'deleted' },
      { ids: ['x'], state: '__proto__' },
      { ids: [7], state: 'read' },
      { ids: [], state: 'read' },
      { ids: 'x', state: 'read' },
      { ids: ['x'], upTo: sent[0]?.eventId, state: 'read' },
      { ids: ['x'], state: 'read', ageMs: -1 },
      { ids: ['x'], state: 'read', ageMs: 1.5 },
      { ids: ['x'], state: 'read', ageMs: '1' },
      { ids: ['x'], state: 'read', ageMs: null },
      { upTo: 'never', state: 'read' },
      { upTo: 7, state: 'read' }
    ]) {
      client.send({ type: 'mark', ref: 9, ...frame })
      const error = await client.next('error')
      t.match(error, { ref: 9, code: 'BELFRY_ERR_INVALID_REQUEST', temporary: false }, JSON.stringify(frame))
      t.equal(error.retryAfterMs, undefined)
    }
    client.send({ type: 'mark', ref: 'text', ids: ['unknown'], state: 'read' })
    t.same(await client.next('ok'), { type: 'ok', unread: 2, unseen: 0, durability: 'fsync' }, 'a ref is a number')
    t.equal(client.closed, undefined)
  })

  await t.test('acknowledgements of rows that were never sent move nothing; the third closes with 4203', async (t) => {
    const client = await ready(t, service, 'mia', { deviceId: 'd' })
    t.equal(await lagOf(service, 'mia', 'd'), 0, 'the place where the cursor started')
    const { eventId } = await publish(service, 'mia', 'one')
    await client.next('notification')
    const at = parseEventId(eventId)
    if (at === undefined) throw new Error('no event id')
    client.send({ type: 'ack', eventId: formatEventId({ ...at, offset: 2 }) })
    client.send({ type: 'ack', eventId: formatEventId({ ...at, epoch: 'other' }) })
    client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
    await client.next('ok')
    t.equal(await lagOf(service, 'mia', 'd'), 1)
    client.send({ type: 'ack', eventId: `${at.epoch}.9007199254740993` })
    t.same(await client.whenClosed(), { code: 4203, reason: 'out of step: resume' })
    const { body } = await call(service, 'GET', '/metrics')
    t.match(body, /belfry_bad_acks_total 3/)
    t.match(body, /belfry_disconnects_total\{code="4203"\} 1/)
  })

  await t.test('wake-ups that repeat, skip or carry no row cause a read of the log, and no extra frame', async (t) => {
    const client = await ready(t, service, 'nat', { deviceId: 'd', acks: true })
    const { eventId } = await publish(service, 'nat', 'one')
    await client.next('notification')
    const { epoch = '' } = parseEventId(eventId) ?? {}
    service.app.fanout.wake({ user: 'nat', epoch, offset: 1, row: undefined })
    await client.until(() => client.all('caughtUp')[1])
    service.app.fanout.wake({ user: 'nat', epoch, offset: 9, row: undefined })
    service.app.fanout.wake({ user: 'nobody', epoch, offset: 9, row: undefined })
    service.app.fanout.suspect((user) => user === 'nat')
    await publish(service, 'nat', 'two')
    await client.until(() => client.all('notification')[1])
    t.same(titles(client), ['one', 'two'])
  })

  await t.test('a row that is too long for a wake-up is read from the log', async (t) => {
    const client = await ready(t, service, 'oda', { deviceId: 'd', acks: true })
    const ref = `/${'r'.repeat(2047)}`
    const body = { to: 'oda', type: 'a', title: '€'.repeat(1024), ref, data: { text: 'd'.repeat(4000) } }
    t.equal((await call(service, 'POST', '/v1/notifications', body)).status, 202)
    const { notification, replay } = await client.next('notification')
    t.match(notification, { title: body.title, ref, data: body.data })
    t.equal(replay, true)
  })
})
