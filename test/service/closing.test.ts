import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import t from 'tap'
import type { Connection } from '../../services/connection/connection.ts'
import { errors } from '../../services/errors.ts'
import { parseEventId } from '../../services/protocol/index.ts'
import { rawPeer, rawWebSocket, streamRequest, upgradeRequest } from '../fixtures/raw.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService, userToken } from '../helper.ts'

t.test('the heartbeat', async (t) => {
  await t.test('a peer that answers ping frames or ping control frames stays, a silent one is closed with 4201', async (t) => {
    const service = await startService(t, { WS_PING_INTERVAL_MS: '100' }, { timeouts: { pongMs: 400 } })
    const answering = await ready(t, service, 'alice')
    const silent = await connect(t, service, 'alice', { autoPong: false })
    const start = Date.now()
    t.match(await silent.next('hello'), { heartbeat: { intervalMs: 100, timeoutMs: 400 } })
    const talking = await connect(t, service, 'alice', { autoPong: false })
    talking.socket.on('ping', () => talking.send({ type: 'pong', time: Date.now() }))
    let pings = 0
    silent.socket.on('ping', () => {
      pings += 1
    })
    t.same(await silent.whenClosed(), { code: 4201, reason: 'no pong' })
    const after = Date.now() - start
    t.ok(after >= 400 && after < 3000, `${after} ms`)
    t.match(silent.all('bye')[0], { code: 4201, reconnectInMs: 0 })
    t.ok(pings >= 2, 'later pings do not extend the deadline')
    t.ok(silent.all('ping').length >= 2)
    t.ok(Math.abs((silent.all('ping')[0]?.time ?? 0) - Date.now()) < 10_000)
    const count = answering.all('ping').length
    await answering.until(() => answering.all('ping')[count + 5])
    t.equal(answering.closed, undefined)
    t.equal(talking.closed, undefined)
  })
})

t.test('a socket that takes no bytes is closed with 4104, and the log keeps its rows', async (t) => {
  const service = await startService(
    t,
    { RATE_LIMIT_MAX: '0', MAX_UNACKED: '10000', LOG_MAX_ENTRIES: '5000', WS_PING_INTERVAL_MS: '200' },
    { timeouts: { stallMs: 700, pongMs: 60_000 } }
  )
  const { socket } = await rawWebSocket(t, service.url, 'slow', '&device_id=d')
  socket.pause()
  const filler = { type: 'a', data: { text: 'x'.repeat(4000) } }
  const closed = async () => {
    const { body } = await call(service, 'GET', '/metrics')
    return /belfry_disconnects_total\{code="4104"\} 1/.test(body)
  }
  let sent = 0
  let most = 0
  await until(async () => {
    if (sent < 4000) {
      const notifications = Array.from({ length: 500 }, (_, n) => ({ to: 'slow', title: String(sent + n), ...filler }))
      t.equal((await call(service, 'POST', '/v1/notifications/batch', { notifications })).status, 202)
      sent += 500
    }
    for (const { transport } of service.app.connections.connections() as Connection[]) most = Math.max(most, transport.buffered)
    return await closed()
  })
  t.ok(most > 0, 'the node stopped sending')
  t.ok(most < 8_000_000, `${most} bytes were buffered at most`)
  const { body } = await call(service, 'GET', '/v1/users/slow/queue')
  t.equal(parseEventId(body.head)?.offset, sent, 'the log has every row')
})

t.test('a socket that takes bytes slowly stays open', async (t) => {
  const service = await startService(
    t,
    { RATE_LIMIT_MAX: '0', MAX_UNACKED: '10000', LOG_MAX_ENTRIES: '5000', WS_PING_INTERVAL_MS: '200' },
    { timeouts: { stallMs: 2000, pongMs: 60_000 } }
  )
  const count = 3000
  for (let sent = 0; sent < count; sent += 1000) {
    const filler = { to: 'slow', type: 'a', data: { text: 'x'.repeat(4000) } }
    const notifications = Array.from({ length: 1000 }, (_, n) => ({ ...filler, title: String(sent + n) }))
    t.equal((await call(service, 'POST', '/v1/notifications/batch', { notifications })).status, 202)
  }
  for (const [path, query] of [
    ['/v1/ws', `token=${userToken('slow')}&device_id=d&last_event_id=earliest`],
    ['/v1/sse', `token=${userToken('slow')}&device_id=e&last_event_id=earliest`]
  ] as const) {
    const { socket } = await rawPeer(t, service.url)
    socket.removeAllListeners('data')
    socket.pause()
    socket.write(path === '/v1/ws' ? upgradeRequest(`${path}?${query}`) : `GET ${path}?${query} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    let tail = Buffer.alloc(0)
    const start = Date.now()
    const sip = setInterval(() => {
      const chunk = (socket.read(65_536) as Buffer | null) ?? (socket.read() as Buffer | null)
      if (chunk !== null) tail = Buffer.concat([tail, chunk]).subarray(-8192)
    }, 15)
    t.teardown(() => clearInterval(sip))
    await until(() => tail.includes(`"title":"${count - 1}"`), 'the last row')
    t.ok(Date.now() - start > 2000, `${Date.now() - start} ms are longer than the stall timeout`)
    socket.destroy()
  }
  t.notMatch((await call(service, 'GET', '/metrics')).body, /code="4104"/)
})

t.test('a stopping node sends bye with different delays, accepts no client, and does not wait for a silent peer', async (t) => {
  const service = await startService(t, { CLOSE_GRACE_SECONDS: '2' })
  const clients = await Promise.all(Array.from({ length: 12 }, (_, n) => ready(t, service, `user${n}`)))
  const mute = connectTcp(Number(new URL(service.url).port), '127.0.0.1')
  t.teardown(() => mute.destroy())
  await once(mute, 'connect')
  const closing = service.close()
  for (const client of clients) {
    t.same(await client.whenClosed(), { code: 4200, reason: 'draining' })
    const [bye] = client.all('bye')
    t.match(bye, { code: 4200, reason: 'draining' })
    t.ok((bye?.reconnectInMs ?? -1) >= 0 && (bye?.reconnectInMs ?? 0) <= 10_000)
  }
  t.ok(new Set(clients.map((client) => client.all('bye')[0]?.reconnectInMs)).size > 3)
  t.equal(service.app.health.readiness().ready, false)
  await closing
  await t.rejects(connect(t, service, 'alice'))
})

t.test('an operator closes a connection with 4003 and a reason', async (t) => {
  const service = await startService(t)
  const client = await ready(t, service, 'alice', { deviceId: 'd' })
  const { connectionId } = client.all('hello')[0] ?? {}
  await call(service, 'DELETE', `/v1/users/alice/connections/${connectionId}?reason=maintenance`)
  t.same(await client.whenClosed(), { code: 4003, reason: 'maintenance' })
  t.match(client.all('bye')[0], { code: 4003, reason: 'maintenance', reconnectInMs: 0 })
})

t.test("while the store is unavailable the client's frames wait for the attach; after the timeout the close code is 4103", async (t) => {
  const service = await startService(t, { WS_PING_INTERVAL_MS: '100' }, { timeouts: { attachMs: 500 } })
  let attempts = 0
  service.app.store.attach = async () => {
    attempts += 1
    throw new errors.StoreUnavailable()
  }
  const start = Date.now()
  const client = await connect(t, service, 'alice')
  client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
  t.same(await client.whenClosed(), { code: 4103, reason: 'store away too long' })
  t.same(client.all('error'), [])
  t.ok(Date.now() - start >= 500)
  t.ok(attempts > 2, 'the attach was retried')
  t.same(client.all('hello'), [])
})

t.test('an established connection outlives a new one over the limit', async (t) => {
  const service = await startService(t, { MAX_CONNECTIONS_PER_USER: '1', WS_PING_INTERVAL_MS: '100' })
  const client = await ready(t, service, 'alice', { deviceId: 'd' })
  const { store } = service.app
  const attach = store.attach.bind(store)
  const newcomers: (() => void)[] = []
  const answers: string[] = []
  store.attach = async (command) => {
    if (command.deviceId === 'newcomer') await new Promise<void>((resolve) => newcomers.push(resolve))
    const result = await attach(command)
    answers.push(`${command.deviceId} ${result.status}`)
    return result
  }
  const newcomer = await connect(t, service, 'alice', { deviceId: 'newcomer' })
  await until(() => newcomers.length === 1)
  service.app.fanout.suspect(() => true)
  await until(() => answers.includes('d limit'))
  for (const release of newcomers) release()
  t.same(await newcomer.whenClosed(), { code: 4004, reason: 'connection limit' })
  await until(() => answers.includes('d attached'))
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'After it' })
  t.match(await client.next('notification'), { notification: { title: 'After it' } })
  t.equal(client.closed, undefined)
})

t.test('a device that returns displaces its own stale connection', async (t) => {
  const service = await startService(t, { MAX_CONNECTIONS_PER_USER: '2' })
  const laptop = await ready(t, service, 'alice', { deviceId: 'laptop' })
  const stale = await ready(t, service, 'alice', { deviceId: 'phone' })
  const returned = await ready(t, service, 'alice', { deviceId: 'phone' })
  t.same(await stale.whenClosed(), { code: 4004, reason: 'connection limit: a newer connection of the device took this place' })
  t.match(stale.all('bye')[0], { code: 4004 })
  const { body } = await call(service, 'GET', '/v1/users/alice/connections')
  t.same(body.items.map(({ deviceId }: { deviceId: string }) => deviceId).sort(), ['laptop', 'phone'])
  t.same(await (await connect(t, service, 'alice', { deviceId: 'tablet' })).whenClosed(), { code: 4004, reason: 'connection limit' })
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'To both' })
  for (const client of [laptop, returned]) t.match(await client.next('notification'), { notification: { title: 'To both' } })
  const peer = await rawPeer(t, service.url)
  peer.socket.write(streamRequest('alice', '&device_id=phone'))
  t.match(await returned.whenClosed(), { code: 4004 }, 'a stream displaces a WebSocket')
  await until(() => peer.received().includes('caughtUp'))
})

t.test('a dozen connections of one device at once: the limit holds, and the newest stay', async (t) => {
  const service = await startService(t, { MAX_CONNECTIONS_PER_USER: '3' })
  const clients = await Promise.all(Array.from({ length: 12 }, () => connect(t, service, 'bob', { deviceId: 'd' })))
  await until(() => clients.filter(({ closed }) => closed === undefined).length === 3)
  await until(async () => (await call(service, 'GET', '/v1/users/bob/connections')).body.items.length === 3)
  for (const { closed } of clients) if (closed !== undefined) t.equal(closed.code, 4004)
  await call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: 'Once each' })
  for (const client of clients.filter(({ closed }) => closed === undefined)) await client.next('notification')
})

t.test('a connection that cannot attach again for the limit is closed with 4004 after the timeout', async (t) => {
  const service = await startService(t, { WS_PING_INTERVAL_MS: '100' }, { timeouts: { attachMs: 300 } })
  const client = await ready(t, service, 'alice', { deviceId: 'd' })
  service.app.store.attach = async () => ({ status: 'limit' })
  service.app.fanout.suspect(() => true)
  t.same(await client.whenClosed(), { code: 4004, reason: 'connection limit' })
})

t.test('an unexpected error closes its connection with 4100 and is logged', async (t) => {
  const service = await startService(t)
  const faults: unknown[] = []
  service.app.log.error = ({ err }: { err: Error }) => void faults.push(err.message)
  const client = await ready(t, service, 'alice')
  const { store } = service.app
  const { attach, read } = store
  store.read = async (command) => ({ ...(await read.call(store, command)), rows: undefined }) as never
  for (const connection of service.app.connections.connections()) connection.doubt()
  t.same(await client.whenClosed(), { code: 4100, reason: 'server error' })
  store.attach = async () => {
    throw new RangeError('unexpected')
  }
  t.same(await (await connect(t, service, 'alice')).whenClosed(), { code: 4100, reason: 'server error' })
  t.equal(faults.length, 2)
  t.equal(faults[1], 'unexpected')
  store.attach = attach
  store.read = read
  await ready(t, service, 'alice')
})
