import t from 'tap'
import { formatEventId, parseEventId } from '../../services/protocol/index.ts'
import { clientFrame, closeCodeIn, rawPeer, rawWebSocket, upgradeRequest } from '../fixtures/raw.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService, type TestClient, type TestService, userToken } from '../helper.ts'

const NO_LIMIT = { RATE_LIMIT_MAX: '0' }

async function publishMany(service: TestService, to: string, count: number): Promise<{ id: string; eventId: string }[]> {
  const notifications = Array.from({ length: count }, (_, n) => ({ to, type: 'a', title: String(n + 1) }))
  const { body } = await call(service, 'POST', '/v1/notifications/batch', { notifications })
  return body.results.map((result: { id: string; results: { eventId: string }[] }) => ({
    id: result.id,
    eventId: result.results[0]?.eventId
  }))
}

async function cursorOf(service: TestService, user: string, deviceId: string): Promise<number | undefined> {
  const { body } = await call(service, 'GET', `/v1/users/${user}/queue`)
  const device = body.devices.find((candidate: { deviceId: string }) => candidate.deviceId === deviceId)
  return device === undefined ? undefined : parseEventId(device.eventId)?.offset
}

/** Acknowledges every `step`th row frame, including the frames that have arrived. */
function acknowledgeEvery(client: TestClient, step: number): void {
  let looked = 0
  let rows = 0
  const look = (): void => {
    for (; looked < client.frames.length; looked++) {
      const frame = client.frames[looked]
      if (frame === undefined || !('eventId' in frame) || frame.type === 'caughtUp') continue
      rows += 1
      if (rows % step === 0) client.send({ type: 'ack', eventId: frame.eventId })
    }
  }
  client.socket.on('message', look)
  look()
}

t.test('the window counts frames: rows without a frame take no room in it', async (t) => {
  const service = await startService(t, { ...NO_LIMIT, MAX_UNACKED: '15' })
  const rows = await publishMany(service, 'ann', 40)
  const recalled = rows.filter((_, index) => index % 4 !== 0)
  for (const { id } of recalled) await call(service, 'DELETE', `/v1/users/ann/notifications/${id}`)
  const client = await connect(t, service, 'ann', { deviceId: 'd' })
  acknowledgeEvery(client, 10)
  await client.next('caughtUp')
  t.equal(client.all('notification').length, 10, 'the four frames of the first fifteen rows do not fill the window')

  await publishMany(service, 'bob', 51)
  const patient = await connect(t, service, 'bob', { deviceId: 'd' })
  acknowledgeEvery(patient, 10)
  await patient.next('caughtUp')
  t.equal(patient.all('notification').length, 51)
})

t.test('an attach with a full window sends nothing more', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  for (const environment of [{}, { REDIS_URL: redis.url }]) {
    const service = await startService(t, { ...NO_LIMIT, MAX_UNACKED: '2', ...environment })
    await publishMany(service, 'ann', 6)
    const client = await connect(t, service, 'ann', { deviceId: 'd' })
    await until(() => client.all('notification').length === 2)
    for (let round = 0; round < 4; round++) {
      const { reads } = service.app.counters
      service.app.fanout.suspect(() => true)
      await until(() => service.app.counters.reads > reads)
    }
    await call(service, 'GET', '/v1/users/ann/queue')
    t.equal(client.all('notification').length, 2)
    acknowledgeEvery(client, 1)
    await client.next('caughtUp')
    t.equal(client.all('notification').length, 6)
  }
})

t.test('an acknowledgement moves the stored cursor before, at and after the start of the window', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const rows = await publishMany(service, 'cat', 6)
  const at = (offset: number): string => rows[offset - 1]?.eventId as string

  await t.test('at the start of the window', async (t) => {
    const client = await ready(t, service, 'cat', { deviceId: 'a', lastEventId: at(4) })
    client.send({ type: 'ack', eventId: at(4) })
    await until(async () => (await cursorOf(service, 'cat', 'a')) === 4)
    await client.close()
    t.match((await (await connect(t, service, 'cat', { deviceId: 'a' })).next('hello')).resume, { pending: 2 })
  })

  await t.test('before the start of the window', async (t) => {
    await (await ready(t, service, 'cat', { deviceId: 'b', lastEventId: 'earliest' })).close()
    const client = await ready(t, service, 'cat', { deviceId: 'b', lastEventId: at(6) })
    client.send({ type: 'ack', eventId: at(2) })
    await until(async () => (await cursorOf(service, 'cat', 'b')) === 2)
    t.equal(client.closed, undefined)
  })

  await t.test('of caughtUp, without a row after the cursor', async (t) => {
    const client = await connect(t, service, 'cat', { deviceId: 'c', lastEventId: 'latest' })
    const { eventId } = await client.next('caughtUp')
    client.send({ type: 'ack', eventId })
    await until(async () => (await cursorOf(service, 'cat', 'c')) === 6)
    t.match(await call(service, 'GET', '/metrics'), { body: /belfry_bad_acks_total 0/ })
  })
})

for (const [kind, deviceId, acks] of [
  ['a device that acknowledges caughtUp', 'd', true],
  ['the default device', 'default', false]
] as const) {
  t.test(`a log whose rows all expired sends ${kind} one gap`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, RETENTION_SECONDS: '1' })
    const [first] = await publishMany(service, 'dot', 1)
    const client = await connect(t, service, 'dot', { deviceId })
    await client.next('notification')
    if (acks) client.send({ type: 'ack', eventId: first?.eventId })
    await until(async () => (await cursorOf(service, 'dot', deviceId)) === 1)
    await client.close()
    await publishMany(service, 'dot', 3)
    const retained = async (): Promise<number> => (await call(service, 'GET', '/v1/users/dot/notifications')).body.items.length
    await until(async () => (await retained()) === 0, 'every row expires')
    const told = await connect(t, service, 'dot', { deviceId })
    t.match(await told.next('gap'), { reason: 'trimmed' })
    const { eventId } = await told.next('caughtUp')
    if (acks) told.send({ type: 'ack', eventId })
    await until(async () => (await cursorOf(service, 'dot', deviceId)) === 4)
    await told.close()
    const again = await connect(t, service, 'dot', { deviceId })
    t.match((await again.next('hello')).resume, { status: 'resumed', pending: 0 })
    await again.next('caughtUp')
    t.same(again.all('gap'), [])
  })
}

t.test('acknowledgements of rows of an earlier log do not count as bad', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const service = await startService(t, { ...NO_LIMIT, REDIS_URL: redis.url })
  const client = await ready(t, service, 'eve', { deviceId: 'd' })
  const rows = await publishMany(service, 'eve', 80)
  await client.until(() => client.all('notification')[79])
  const admin = redis.client()
  t.teardown(() => admin.disconnect())
  for (const key of await admin.keys('*:eve')) await admin.del(key)
  for (const connection of service.app.connections.connections()) connection.reattach()
  t.match(await client.next('gap'), { reason: 'epoch' })
  for (const { eventId } of rows) client.send({ type: 'ack', eventId })
  client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
  await client.next('ok')
  t.equal(client.closed, undefined)
  t.equal(service.app.counters.badAcks, 0)
})

t.test('a device that breaks after the gap of a lost log gets the gap again, from what it acknowledged', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const service = await startService(t, { ...NO_LIMIT, REDIS_URL: redis.url })
  const phone = await ready(t, service, 'gil', { deviceId: 'phone' })
  const [first] = await publishMany(service, 'gil', 3)
  await phone.until(() => phone.all('notification')[2])
  phone.send({ type: 'ack', eventId: first?.eventId })
  await until(async () => (await cursorOf(service, 'gil', 'phone')) === 1)
  const admin = redis.client()
  t.teardown(() => admin.disconnect())
  for (const key of await admin.keys('*:gil')) await admin.del(key)
  for (const connection of service.app.connections.connections()) connection.reattach()
  await phone.next('gap')
  await phone.close()

  await publishMany(service, 'gil', 2)
  await ready(t, service, 'gil', { deviceId: 'laptop', acks: true })
  await until(async () => (await cursorOf(service, 'gil', 'laptop')) === 2)
  const again = await connect(t, service, 'gil', { deviceId: 'phone' })
  t.match((await again.next('hello')).resume, { status: 'gap', pending: 2 })
  t.match(await again.next('gap'), { reason: 'epoch', from: first?.eventId })
  await again.next('caughtUp')
  t.equal(again.all('notification').length, 2)
})

t.test('the first late acknowledgement of each row before a gap is free, moves nothing and closes nothing', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const { store } = service.app
  const client = await ready(t, service, 'fay', { deviceId: 'd' })
  const rows = await publishMany(service, 'fay', 80)
  await client.until(() => client.all('notification')[79])
  const read = store.read.bind(store)
  store.read = async () => ({
    epoch: 'fresh1',
    top: 0,
    topId8: '',
    start: { epoch: 'fresh1', offset: 0, id8: '' },
    resumed: true,
    gap: { reason: 'epoch', from: rows[79]?.eventId as string, to: 'fresh1.0', count: 0 },
    rows: [],
    states: new Map(),
    answers: new Map(),
    unread: 0,
    unseen: 0,
    parked: 0,
    expiresInMs: 0
  })
  for (const connection of service.app.connections.connections()) connection.doubt()
  t.match(await client.next('gap'), { reason: 'epoch' })
  store.read = read
  for (const { eventId } of rows) client.send({ type: 'ack', eventId })
  client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
  await client.next('ok')
  t.equal(client.closed, undefined)
  t.equal(service.app.counters.badAcks, 0)
  const last = parseEventId(rows[79]?.eventId as string)
  if (last === undefined) throw new Error('no event id')
  for (let n = 0; n < 3; n++) client.send({ type: 'ack', eventId: formatEventId({ ...last, offset: 81 + n }) })
  t.match(await client.whenClosed(), { code: 4203 }, 'acknowledgements of rows that were never sent are still bad')
})

t.test('the limit on frames and acknowledgements', async (t) => {
  const service = await startService(t, { ...NO_LIMIT, WS_PING_INTERVAL_MS: '100' })

  await t.test('a client that acknowledges each frame of a long backlog stays connected', async (t) => {
    await publishMany(service, 'gus', 400)
    const client = await connect(t, service, 'gus', { deviceId: 'd' })
    acknowledgeEvery(client, 1)
    await client.next('caughtUp')
    await until(async () => (await cursorOf(service, 'gus', 'd')) === 400)
    t.equal(client.all('notification').length, 400)
    t.equal(client.closed, undefined)
  })

  await t.test('a repeated acknowledgement counts', async (t) => {
    const [row] = await publishMany(service, 'hal', 1)
    const client = await ready(t, service, 'hal', { deviceId: 'd' })
    for (let n = 0; n < 52; n++) client.send({ type: 'ack', eventId: row?.eventId })
    t.match(await client.whenClosed(), { code: 4102 })
  })

  await t.test('an acknowledgement before the start of the window counts', async (t) => {
    const rows = await publishMany(service, 'hub', 60)
    const client = await ready(t, service, 'hub', { deviceId: 'd', lastEventId: 'latest' })
    for (const { eventId } of rows.slice(0, 55)) client.send({ type: 'ack', eventId })
    t.match(await client.whenClosed(), { code: 4102 })
  })

  await t.test('pongs that answer a ping do not count, others do', async (t) => {
    const client = await connect(t, service, 'ida', { deviceId: 'd' })
    let pings = 0
    client.socket.on('message', (data) => {
      const frame = JSON.parse(String(data))
      if (frame.type !== 'ping') return
      pings += 1
      client.send({ type: 'pong', time: frame.time })
      for (let n = 0; n < 4; n++) client.send({ type: 'pong' })
    })
    await client.until(() => (pings > 12 ? true : undefined))
    t.equal(client.closed, undefined, 'about forty frames a second count, twenty do not')
    for (let n = 0; n < 60; n++) client.send({ type: 'pong' })
    t.match(await client.whenClosed(), { code: 4102 })
  })

  for (const [name, opcode] of [
    ['pong', 10],
    ['ping', 9]
  ] as const) {
    await t.test(`unsolicited ${name} control frames count together with text frames`, async (t) => {
      const peer = await rawWebSocket(t, service.url, `jim-${name}`)
      const marks = Array.from({ length: 26 }, () => clientFrame(1, '{"type":"mark","ids":["x"],"state":"read"}'))
      peer.socket.write(Buffer.concat([...marks, ...Array.from({ length: 40 }, () => clientFrame(opcode, 'x'))]))
      await until(() => closeCodeIn(peer.received()) !== 0, 'a close frame')
      t.equal(closeCodeIn(peer.received()), 4102)
    })
  }
})

t.test('a frame that arrives with the handshake waits for hello and then takes effect', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const [row] = await publishMany(service, 'kim', 1)
  const { store } = service.app
  const attach = store.attach.bind(store)
  let admit = (): void => undefined
  const admission = new Promise<void>((resolve) => {
    admit = resolve
  })
  store.attach = async (command) => {
    await admission
    return await attach(command)
  }
  const peer = await rawPeer(t, service.url)
  const mark = clientFrame(1, JSON.stringify({ type: 'mark', ref: 1, ids: [row?.id], state: 'read' }))
  const ack = clientFrame(1, JSON.stringify({ type: 'ack', eventId: row?.eventId }))
  peer.socket.write(Buffer.concat([Buffer.from(upgradeRequest(`/v1/ws?token=${userToken('kim')}&device_id=d`)), mark, ack]))
  await until(() => service.app.connections.count === 1)
  peer.socket.write(clientFrame(1, JSON.stringify({ type: 'mark', ref: 2, ids: ['x'], state: 'read' })))
  const { body } = await call(service, 'GET', '/v1/users/kim/notifications')
  t.equal(body.unread, 1)
  t.notMatch(peer.received().toString(), '"type"')
  admit()
  await until(() => peer.received().includes('"ref":2'), 'the answer to the second mark')
  const text = peer.received().toString()
  t.ok(text.indexOf('"type":"hello"') < text.indexOf('"type":"ok"'))
  t.ok(text.indexOf('"ref":1') < text.indexOf('"ref":2'))
  t.equal((await call(service, 'GET', '/v1/users/kim/notifications')).body.unread, 0)
  await until(async () => (await cursorOf(service, 'kim', 'd')) === 1)
  t.equal(service.app.counters.badAcks, 0)
})

t.test('a log whose reads make no progress closes the connection with 4100', async (t) => {
  const service = await startService(t, NO_LIMIT)
  const faults: string[] = []
  service.app.log.error = ({ err }: { err: Error }) => void faults.push(err.message)
  const client = await ready(t, service, 'lea', { deviceId: 'd' })
  const { store } = service.app
  const read = store.read.bind(store)
  let reads = 0
  store.read = async (command) => {
    reads += 1
    const backlog = await read(command)
    return { ...backlog, top: backlog.top + 1, rows: [] }
  }
  for (const connection of service.app.connections.connections()) connection.doubt()
  t.match(await client.whenClosed(), { code: 4100 })
  t.ok(reads < 10, `${reads} reads`)
  t.match(faults, [/reads of the log after \S+ made no progress/])
})
