import t from 'tap'
import { Client } from '../../packages/client/src/client.ts'
import { until } from '../fixtures/wait.ts'
import { FakeClock, FakePage, FakeStorage, nodePlatform, tokenOf } from './fake-platform.ts'
import { EPOCH, FakeServer, notificationOf } from './fake-server.ts'
import { connected, rig, states, titles } from './rig.ts'

t.test('connects with the token in the subprotocol, never in the url', async (t) => {
  const { server, client, storage } = await connected(t)
  const { url, protocols, query } = server.last
  t.same(protocols, ['belfry.v1', `bearer.${tokenOf('alice')}`])
  t.match(url, /^\/v1\/ws\?/)
  t.notMatch(url, tokenOf('alice'))
  t.equal(query.get('device_id'), 'd1')
  t.notOk(query.has('last_event_id'))
  t.equal(client.state, 'connected')
  t.equal(client.deviceId, 'd1')
  t.equal(storage.ending(':last'), undefined)
})

t.test('a url of another scheme and a missing WebSocket throw at once', async (t) => {
  const platform = nodePlatform(new FakeClock(), { WebSocket: undefined })
  t.throws(() => new Client('ftp://x', { getToken: () => 'x' }, platform), { name: 'TypeError' })
  t.throws(() => new Client('wss://x', { getToken: () => 'x' }, platform), { message: /no WebSocket/ })
})

t.test('makes a device id once and keeps it', async (t) => {
  const server = await FakeServer.start(t)
  const storage = new FakeStorage()
  const clock = new FakeClock()
  const make = () => new Client(`${server.url.replace('http', 'ws')}/`, { getToken: () => tokenOf('alice'), storage }, nodePlatform(clock))
  const first = make()
  t.match(first.deviceId, /^[0-9a-z]{16,}$/)
  t.equal(make().deviceId, first.deviceId)
  t.equal(first.url, server.url)
})

t.test('states: connecting, connected, disconnected; ready() follows them', async (t) => {
  const rigged = await rig(t)
  const { client, server } = rigged
  await t.rejects(client.ready(), { code: 'BELFRY_CLIENT_DISCONNECTED' })
  client.connect()
  client.connect()
  t.equal(client.state, 'connecting')
  await client.ready()
  await client.ready()
  client.disconnect()
  t.same(states(rigged), ['connecting', 'connected', 'disconnected'])
  await until(() => server.open.length === 0, 'the socket closes')
  t.equal(server.connections.length, 1)
  client.connect()
  const ready = client.ready()
  client.disconnect()
  await t.rejects(ready, { code: 'BELFRY_CLIENT_DISCONNECTED' })
})

t.test('a tab whose browser refuses channels has its own connection', async (t) => {
  class Refused {
    constructor() {
      throw new Error('SecurityError')
    }
  }
  const refused = () => Promise.reject(new Error('SecurityError'))
  const locks = { request: refused, query: refused }
  const { client, heard, server } = await connected(t, {}, { page: new FakePage(), locks, BroadcastChannel: Refused as never })
  t.ok(client.leader)
  t.same(heard('error'), [])
  t.equal(server.connections.length, 1)
})

t.test('a position from the storage is encoded in the url', async (t) => {
  const storage = new FakeStorage()
  const { getItem } = storage
  storage.getItem = (key) => (key.endsWith(':last') ? 'a b&device_id=other#' : getItem.call(storage, key))
  const { server } = await connected(t, { storage })
  t.equal(server.last.query.get('last_event_id'), 'a b&device_id=other#')
  t.equal(server.last.query.get('device_id'), 'd1')
})

t.test('a storage that throws costs no notification', async (t) => {
  const storage = {
    getItem: () => {
      throw new Error('forbidden')
    },
    setItem: () => {
      throw new Error('full')
    }
  }
  const rigged = await connected(t, { storage })
  rigged.server.publish(3)
  await until(() => titles(rigged).length === 3, 'three')
  t.same(rigged.heard('error'), [])
})

t.test('unknown frames and text that is not JSON are ignored', async (t) => {
  const rigged = await connected(t)
  const { server } = rigged
  server.last.sendText('{')
  server.last.sendText('{"type":"weather","sun":true}')
  server.last.send({ type: 'ok', ref: 99 })
  server.publish()
  await until(() => titles(rigged).length === 1, 'the row after them')
  t.equal(server.connections.length, 1)
  t.same(rigged.heard('error'), [])
  t.match(server.log[0]?.eventId, new RegExp(`^${EPOCH}\\.1\\.`))
})

t.test('mark: is answered, is refused, is sent again over the next connection, times out', async (t) => {
  const rigged = await connected(t)
  const { server, client, clock, heard } = rigged
  await t.rejects(new Client(server.url, { getToken: () => 'x' }, nodePlatform(clock)).mark('x'), { code: 'BELFRY_CLIENT_DISCONNECTED' })
  await client.markAllRead()
  t.same(server.last.frames, [], 'there is nothing to mark')
  server.publish(3)
  await until(() => heard('notification').length === 3, 'three')
  t.equal(await client.mark(notificationOf(1).id), 2)
  await client.mark([notificationOf(2).id], 'archived')
  await client.markAllRead()
  t.match(server.last.of('mark'), [
    { ids: [notificationOf(1).id], state: 'read' },
    { ids: [notificationOf(2).id], state: 'archived' },
    { upTo: /^k3f9\.5\./, state: 'read' }
  ])
  await until(() => heard('marked').length === 3, 'three states')

  const carryOut = server.answer
  server.answer = (connection, frame) => {
    if (frame.type === 'mark')
      connection.send({ type: 'error', ref: frame.ref ?? 0, code: 'BELFRY_ERR_STORE_UNAVAILABLE', message: 'away', temporary: true })
  }
  await t.rejects(client.mark('x'), { name: 'BelfryError', code: 'BELFRY_ERR_STORE_UNAVAILABLE', message: 'away', temporary: true })
  server.answer = () => {}
  const again = client.mark('y')
  await until(() => server.last.of('mark').some(({ ids }) => ids?.[0] === 'y'), 'the mark')
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  server.answer = carryOut
  clock.advance(500)
  t.type(await again, 'number')
  t.same(
    server.last.of('mark').map(({ ids }) => ids),
    [['y']],
    'what has its answer is not sent again'
  )
  server.answer = () => {}
  const lost = client.mark('z')
  clock.advance(10_000)
  await t.rejects(lost, { code: 'BELFRY_CLIENT_TIMEOUT', temporary: true })
  const body = { code: 'BELFRY_ERR_STORE_UNAVAILABLE', detail: 'away' }
  server.rest = () => ({ status: 503, body })
  const cut = client.mark('z')
  client.disconnect()
  await t.rejects(cut, { code: body.code, message: 'away', temporary: true }, 'the answer by REST')
  t.match(server.requests, [{ url: '/v1/me/notifications/mark', authorization: /^Bearer ey/ }])
  client.connect()
  await client.ready()
  server.rest = () => new Promise(() => {})
  const hanging = client.mark('z')
  client.disconnect()
  await until(() => server.requests.length === 2, 'the request that hangs')
  clock.advance(10_000)
  await t.rejects(hanging, { code: 'BELFRY_CLIENT_TIMEOUT' }, 'its time limit goes on')
  client.connect()
  await client.ready()
  const unreachable = client.mark('z')
  client.disconnect()
  await until(() => server.requests.length === 3, 'the request')
  server.stop()
  await t.rejects(unreachable, { code: 'BELFRY_CLIENT_DISCONNECTED' })
})
