import t, { type Test } from 'tap'
import type { Connection } from '../../services/connection/connection.ts'
import { clientFrame, closeCodeIn, type RawPeer, rawPeer, rawWebSocket, streamRequest, upgradeRequest } from '../fixtures/raw.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService, type TestService, userToken } from '../helper.ts'

const SETTINGS = { RATE_LIMIT_MAX: '0', LOG_MAX_ENTRIES: '1000', MAX_UNACKED: '10000', MAX_CONNECTIONS_PER_USER: '0' }

/** A notification that takes 12.4 KB as a row: control characters take six bytes each in JSON. */
const LONG = { type: 'a', title: '\u0001'.repeat(1024), ref: `/${'r'.repeat(2047)}`, data: { text: 'd'.repeat(4080) } }
const LONG_ROW_BYTES = 12_800
const MAX_BUFFERED = 65_536

/** More rows than the kernel buffers of a connection can hold. */
const LONG_ROWS = 900

async function publishLong(service: TestService, to: string, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 100) {
    const notifications = Array.from({ length: Math.min(100, left) }, () => ({ to, ...LONG }))
    const { status } = await call(service, 'POST', '/v1/notifications/batch', { notifications })
    if (status !== 202) throw new Error(`the publish was answered ${status}`)
  }
}

async function cursorOf(service: TestService, user: string, deviceId: string): Promise<number> {
  const { body } = await call(service, 'GET', `/v1/users/${user}/queue`)
  const device = body.devices.find((candidate: { deviceId: string }) => candidate.deviceId === deviceId)
  return device === undefined ? 0 : Number(device.eventId.split('.')[1])
}

/** Connects a peer that reads nothing. */
async function deafPeer(t: Test, service: TestService, transport: string, user: string, query = ''): Promise<RawPeer> {
  const peer = await rawPeer(t, service.url)
  peer.socket.pause()
  const path = `/v1/ws?token=${userToken(user)}${query}`
  peer.socket.write(transport === 'WebSocket' ? upgradeRequest(path) : streamRequest(user, query))
  return peer
}

/** Resolves when no byte that these connections hold was taken by the network for 250 ms. */
async function stalled(connections: () => Connection[], count: number): Promise<void> {
  const taken = new Map<Connection, { bytes: number; since: number }>()
  await until(() => {
    const still = connections().filter((connection) => {
      const { bytesTaken: bytes, buffered } = connection.transport
      const before = taken.get(connection)
      if (before?.bytes !== bytes) taken.set(connection, { bytes, since: performance.now() })
      return before?.bytes === bytes && buffered > 0 && performance.now() - before.since > 250
    })
    return still.length === count
  }, 'every connection stalls')
}

for (const transport of ['WebSocket', 'event stream']) {
  t.test(`${transport}: a replaying connection whose peer reads nothing holds 64 KB and one row at most`, async (t) => {
    const service = await startService(t, SETTINGS)
    const count = 20
    await publishLong(service, 'slow', LONG_ROWS)
    for (let n = 0; n < count; n++) await deafPeer(t, service, transport, 'slow', `&device_id=d${n}&last_event_id=earliest`)
    const connections = (): Connection[] => service.app.connections.connections() as Connection[]
    await stalled(connections, count)
    for (const { transport } of connections()) t.ok(transport.buffered <= MAX_BUFFERED + LONG_ROW_BYTES, `${transport.buffered} bytes`)
    // Live rows are not added.
    const before = connections().map(({ transport }) => transport.buffered)
    await publishLong(service, 'slow', 20)
    t.same(
      connections().map(({ transport }) => transport.buffered),
      before
    )
  })

  t.test(`${transport}: a live connection whose peer reads nothing holds 64 KB and one row at most`, async (t) => {
    const service = await startService(t, SETTINGS)
    const peer = await rawPeer(t, service.url)
    const query = '&device_id=d'
    peer.socket.write(
      transport === 'WebSocket' ? upgradeRequest(`/v1/ws?token=${userToken('live')}${query}`) : streamRequest('live', query)
    )
    await until(() => peer.received().includes('caughtUp'))
    peer.socket.pause()
    let most = 0
    const connections = (): Connection[] => service.app.connections.connections() as Connection[]
    for (let n = 0; n < LONG_ROWS; n += 50) {
      await publishLong(service, 'live', 50)
      for (const { transport } of connections()) most = Math.max(most, transport.buffered)
    }
    await stalled(connections, 1)
    t.ok(most > 0)
    t.ok(most <= MAX_BUFFERED + LONG_ROW_BYTES, `${most} bytes`)
  })

  t.test(`${transport}: a reader that resets gets the rows again that the node still held`, async (t) => {
    const service = await startService(t, SETTINGS)
    await publishLong(service, 'reset', LONG_ROWS)
    const peer = await deafPeer(t, service, transport, 'reset')
    const connections = (): Connection[] => service.app.connections.connections() as Connection[]
    await stalled(connections, 1)
    const sent = connections()[0]?.sent.offset ?? 0
    t.ok(sent < LONG_ROWS, 'the reader was too slow for the log')
    const written = await until(async () => {
      const one = await cursorOf(service, 'reset', 'default')
      await new Promise((resolve) => setTimeout(resolve, 200))
      return one > 0 && one === (await cursorOf(service, 'reset', 'default')) && one
    }, 'a cursor that stands still')
    t.ok(written < sent, `the cursor stands at ${written} of ${sent} sent`)
    peer.socket.resetAndDestroy()
    await until(() => service.app.connections.count === 0)
    t.equal(await cursorOf(service, 'reset', 'default'), written, 'the end of the connection moves no cursor')
    const again = await connect(t, service, 'reset')
    t.match(await again.next('hello'), { resume: { status: 'resumed', pending: LONG_ROWS - written } })
    t.match((await again.next('notification')).eventId, new RegExp(`^\\w+\\.${written + 1}\\.`))
  })
}

t.test("a row published after the client's close frame is delivered on the next connection", async (t) => {
  const service = await startService(t, SETTINGS)
  const peer = await rawWebSocket(t, service.url, 'closing', '', { allowHalfOpen: true })
  peer.socket.write(clientFrame(8, Buffer.from([0x03, 0xe8])))
  await until(() => closeCodeIn(peer.received()) === 1000, 'the answer to the close frame')
  t.equal(service.app.connections.count, 1, 'TCP has not ended')
  await call(service, 'POST', '/v1/notifications', { to: 'closing', type: 'a', title: 'Between' })
  peer.socket.end()
  await until(() => service.app.connections.count === 0)
  t.notMatch(peer.received().toString(), 'Between')
  const next = await connect(t, service, 'closing')
  t.match(await next.next('notification'), { notification: { title: 'Between' } })
})

t.test('rows published while an event stream ends are delivered on that stream or the next one', async (t) => {
  const service = await startService(t, SETTINGS)
  for (let round = 0; round < 5; round++) {
    const user = `ending-${round}`
    const peer = await rawPeer(t, service.url, { allowHalfOpen: true })
    peer.socket.write(streamRequest(user))
    await until(() => peer.received().includes('caughtUp'))
    peer.socket.end()
    const titles = Array.from({ length: 10 }, (_, n) => `Row ${round}-${n}.`)
    for (const title of titles) await call(service, 'POST', '/v1/notifications', { to: user, type: 'a', title })
    await until(() => service.app.connections.find(user) === undefined)
    const next = await ready(t, service, user)
    const got = [...next.all('notification').map(({ notification }) => notification.title), peer.received().toString()].join()
    for (const title of titles) t.ok(got.includes(title), title)
  }
})

t.test('a socket that takes no bytes is closed with 4104, and not with 4201 for its unanswered pings', async (t) => {
  const service = await startService(t, { ...SETTINGS, WS_PING_INTERVAL_MS: '100' }, { timeouts: { stallMs: 1500, pongMs: 300 } })
  await publishLong(service, 'stuck', LONG_ROWS)
  await deafPeer(t, service, 'WebSocket', 'stuck', '&device_id=d')
  await deafPeer(t, service, 'event stream', 'stuck', '&device_id=e')
  await until(() => service.app.connections.count === 2)
  await until(() => service.app.connections.count === 0)
  t.same([...service.app.counters.disconnects], [[4104, 2]])
})

t.test('a reader that keeps up gets more than 64 KB from one read of the store', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const notifications = Array.from({ length: 1000 }, (_, n) => ({
    to: 'quick',
    type: 'a',
    title: String(n),
    data: { text: 'd'.repeat(150) }
  }))
  t.equal((await call(service, 'POST', '/v1/notifications/batch', { notifications })).status, 202)
  const { reads } = service.app.counters
  const client = await ready(t, service, 'quick', { lastEventId: 'earliest' })
  t.equal(client.all('notification').length, 1000)
  t.ok(service.app.counters.reads - reads <= 6, `${service.app.counters.reads - reads} reads of 200 rows`)
})
