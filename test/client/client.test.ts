import t, { type Test } from 'tap'
import { Backoff } from '../../packages/client/src/backoff.ts'
import { Client } from '../../packages/client/src/client.ts'
import type { Platform } from '../../packages/client/src/platform.ts'
import type { BelfryEvents, BelfryOptions, ConnectionState, EventName } from '../../packages/client/src/types.ts'
import type { ServerFrame } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { FakeClock, FakePage, FakeStorage, nodePlatform, tokenOf } from './fake-platform.ts'
import { EPOCH, FakeServer, helloFrame, notificationOf, rowOf } from './fake-server.ts'

interface Rig {
  server: FakeServer
  clock: FakeClock
  client: Client
  storage: FakeStorage
  /** Contexts of an event, as they came. */
  heard<E extends EventName>(event: E): BelfryEvents[E][]
}

const EVENTS: EventName[] = [
  'state',
  'notification',
  'toast',
  'retract',
  'digest',
  'marked',
  'unread',
  'gap',
  'caughtUp',
  'error',
  'retry',
  'terminal'
]

async function rig(t: Test, options: Partial<BelfryOptions> = {}, platform: Partial<Platform> = {}, given?: FakeServer): Promise<Rig> {
  const server = given ?? (await FakeServer.start(t))
  const clock = new FakeClock()
  const storage = new FakeStorage()
  const all = { getToken: () => tokenOf('alice'), deviceId: 'd1', storage, ...options }
  const client = new Client(server.url, all, nodePlatform(clock, { random: () => 0.5, ...platform }))
  t.teardown(() => client.disconnect())
  const contexts = new Map<EventName, unknown[]>()
  for (const event of EVENTS) {
    const list: unknown[] = []
    contexts.set(event, list)
    client.on(event, (ctx) => void list.push(ctx))
  }
  return { server, clock, client, storage, heard: <E extends EventName>(event: E) => contexts.get(event) as BelfryEvents[E][] }
}

async function connected(
  t: Test,
  options: Partial<BelfryOptions> = {},
  platform: Partial<Platform> = {},
  given?: FakeServer
): Promise<Rig> {
  const rigged = await rig(t, options, platform, given)
  rigged.client.connect()
  await rigged.client.ready()
  await until(() => rigged.heard('caughtUp').length > 0, 'caughtUp')
  return rigged
}

const titles = (rigged: Rig): string[] => rigged.heard('notification').map(({ notification }) => notification.title)
const states = (rigged: Rig): ConnectionState[] => rigged.heard('state').map(({ state }) => state)

t.test('back-off: full jitter above a floor, up to a cap; a time that the service asked for comes first', async (t) => {
  const high = new Backoff(() => 0.999999)
  const waits = Array.from({ length: 12 }, () => Math.round(high.next()))
  t.same(waits, [750, 1250, 2250, 4250, 8250, 16_250, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000])
  const low = new Backoff(() => 0)
  t.equal(low.next(), 250)
  t.equal(low.next(), 250)
  low.reset()
  t.equal(low.next(1730, true), 1730, 'a slot of its own')
  t.equal(low.next(10, true), 260, 'later it is the least')
  t.equal(low.next(1730, true), 1980)
  low.reset()
  t.equal(low.next(1000), 1250, 'a wait that all clients were told is spread')
})

t.test('back-off: of 200 clients that lost their connection together no 30 return within the same 25 ms', async (t) => {
  let n = 0
  const waits = Array.from({ length: 200 }, () => new Backoff(() => n++ / 200).next()).sort((a, b) => a - b)
  const crowds = waits.map((from) => waits.filter((wait) => wait >= from && wait < from + 25).length)
  t.ok(Math.max(...crowds) < 30, `${Math.max(...crowds)}`)
})

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

t.test('a url of another scheme and a missing WebSocket are refused at once', async (t) => {
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

t.test('states: three, in order, and ready() follows them', async (t) => {
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

t.test('every event has its context', async (t) => {
  const rigged = await connected(t)
  const { server, heard } = rigged
  const off = rigged.client.on('notification', () => t.fail('it was taken off'))
  off()
  server.publish()
  const ids = [notificationOf(1).id]
  server.append({ type: 'state', eventId: '', ids, state: 'read', unread: 0 })
  server.append({ type: 'retract', eventId: '', id: ids[0] as string, reason: 'recalled', unread: 0 })
  server.append({ type: 'digest', eventId: '', count: 2, ids: ['a', 'b'], unread: 2 })
  server.last.send({ type: 'error', code: 'BELFRY_ERR_X', message: 'no', temporary: true, retryAfterMs: 800 })
  await until(() => heard('digest').length > 0 && heard('error').length > 0, 'all events')
  const row = { replay: false, leader: true }
  const notification = { ...row, eventId: server.eventId(1), notification: notificationOf(1), state: 'unread' }
  t.strictSame(heard('notification'), [notification])
  t.strictSame(heard('toast'), [notification])
  t.strictSame(heard('marked'), [{ ...row, eventId: server.eventId(2), ids, state: 'read', unread: 0 }])
  t.strictSame(heard('retract'), [{ ...row, eventId: server.eventId(3), id: ids[0], reason: 'recalled', unread: 0 }])
  t.strictSame(heard('digest'), [{ ...row, eventId: server.eventId(4), count: 2, ids: ['a', 'b'], unread: 2 }])
  t.strictSame(heard('unread'), [{ unread: 1 }, { unread: 0 }, { unread: 2 }])
  t.strictSame(heard('error'), [{ code: 'BELFRY_ERR_X', message: 'no', temporary: true, retryAfterMs: 800 }])
  t.strictSame(heard('caughtUp'), [{ eventId: '', leader: true }])
})

t.test('unread: a connection that fell behind and replays does not count anything twice', async (t) => {
  const rigged = await rig(t)
  const { server, heard, client } = rigged
  client.connect()
  await until(() => heard('caughtUp').length > 0, 'caughtUp')
  server.append({ type: 'notification', eventId: '', notification: notificationOf(1) })
  const state: ServerFrame = { type: 'state', eventId: server.eventId(2), ids: ['x'], state: 'archived', replay: true, unread: 3 }
  server.last.send(state, rowOf(3, { replay: true }), rowOf(4, { replay: true }))
  server.last.send({ type: 'caughtUp', eventId: server.eventId(4), unread: 3 })
  await until(() => heard('caughtUp').length > 1, 'caughtUp')
  t.equal(client.unread, 3, 'the count of the state is that of the end of the replay')
  server.last.send({ type: 'caughtUp', eventId: server.eventId(4), unread: 2 })
  await until(() => client.unread === 2, 'the count is that of caughtUp')
})

t.test('unread: what was shown before counts when it comes under another offset: the store has it as unread', async (t) => {
  const rigged = await rig(t)
  const { server, heard, client } = rigged
  client.connect()
  await until(() => heard('caughtUp').length > 0, 'caughtUp')
  server.append({ type: 'notification', eventId: '', notification: notificationOf(1) })
  await until(() => client.unread === 1, 'it counts')
  server.last.send({ type: 'gap', reason: 'epoch', from: server.eventId(1), to: 'other.0', count: 0 })
  server.last.send({ type: 'caughtUp', eventId: 'other.0', unread: 0 })
  server.last.send({ ...rowOf(1), eventId: 'other.1.00000001' })
  await until(() => heard('unread').length === 3, 'the count')
  t.same([client.unread, titles(rigged)], [1, ['number 1']])
})

t.test('unread: the count of hello includes what is replayed, but not what comes after', async (t) => {
  const rigged = await rig(t)
  const { server, heard, client } = rigged
  server.greet = (connection) => {
    connection.hello({ unread: 5, resume: { status: 'resumed', from: '', to: server.eventId(3), pending: 3, parked: 0 } })
    connection.send(rowOf(1, { replay: true }), rowOf(2, { replay: true, state: 'read' }))
    connection.send({ type: 'state', eventId: server.eventId(3), replay: true, ids: ['x'], state: 'read', unread: 1 })
    connection.send(rowOf(4, { replay: true }), rowOf(5, { replay: true, state: 'archived' }), {
      type: 'caughtUp',
      eventId: server.eventId(5),
      unread: 6
    })
  }
  client.connect()
  await until(() => heard('caughtUp').length > 0, 'caughtUp')
  t.same(heard('unread'), [{ unread: 5 }, { unread: 6 }])
  t.equal(client.unread, 6)
  t.same(
    heard('toast').map(({ eventId }) => eventId),
    [server.eventId(1), server.eventId(4)],
    'what was read elsewhere raises none'
  )
  t.same(
    heard('notification').map(({ state }) => state),
    ['unread', 'read', 'unread', 'archived']
  )
})

t.test('the place in the log moves after the handlers, acks follow in batches', async (t) => {
  const rigged = await rig(t)
  const { server, client, storage, clock } = rigged
  const gates: (() => void)[] = []
  client.on('notification', () => new Promise<void>((resolve) => gates.push(resolve)))
  client.connect()
  await until(() => rigged.heard('caughtUp').length > 0, 'caughtUp')
  server.publish(2)
  await until(() => gates.length === 1, 'the first handler')
  t.equal(storage.ending(':last'), undefined)
  gates[0]?.()
  await until(() => gates.length === 2, 'the second only after the first')
  t.equal(storage.ending(':last'), server.eventId(1))
  t.same(server.last.of('ack'), [])
  gates[1]?.()
  await until(() => storage.ending(':last') === server.eventId(2), 'the second row')
  t.ok(clock.waits.includes(500))
  clock.advance(500)
  await until(() => server.last.of('ack').length > 0, 'an ack')
  t.same(server.last.of('ack'), [{ type: 'ack', eventId: server.eventId(2) }])
  t.equal(storage.ending(':shown'), `${notificationOf(1).id} ${notificationOf(2).id}`)
})

t.test('an ack every 20 rows, and one when the page goes', async (t) => {
  const page = new FakePage()
  const { server, storage } = await connected(t, { leader: false }, { page })
  server.publish(45)
  await until(() => storage.ending(':last') === server.eventId(45), 'all rows')
  await until(() => server.last.of('ack').length === 2, 'two acks')
  t.same(
    server.last.of('ack').map(({ eventId }) => eventId),
    [server.eventId(20), server.eventId(40)]
  )
  page.fire('pagehide')
  await until(() => server.last.of('ack').length === 3, 'the third')
  t.equal(server.last.of('ack')[2]?.eventId, server.eventId(45))
})

t.test('a handler that throws is told of, and stops nothing', async (t) => {
  const rigged = await rig(t)
  const { server, client, heard, storage } = rigged
  client.on('notification', () => {
    throw new Error('now')
  })
  client.on('notification', async () => {
    throw new Error('later')
  })
  client.on('error', () => {
    throw new Error('again')
  })
  client.connect()
  await client.ready()
  server.publish(2)
  await until(() => storage.ending(':last') === server.eventId(2), 'both rows')
  t.same(titles(rigged), ['number 1', 'number 2'])
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_HANDLER', temporary: true }, {}, {}, {}])
  t.match(heard('error')[0]?.message, /handler of 'notification' threw: Error: now/)
})

t.test('resumes after the network broke, and shows each once', async (t) => {
  const rigged = await connected(t)
  const { server, clock, storage } = rigged
  server.publish(3)
  await until(() => storage.ending(':last') === server.eventId(3), 'three rows')
  server.last.terminate()
  await until(() => rigged.client.state === 'connecting', 'the loss')
  server.publish(2)
  t.ok(clock.waits.includes(500), '250 ms and random(0, 500), which is 250 here')
  clock.advance(500)
  const second = await server.connection(2)
  t.equal(second.query.get('last_event_id'), server.eventId(3))
  await until(() => titles(rigged).length === 5, 'five')
  server.publish()
  await until(() => titles(rigged).length === 6, 'six')
  t.same(
    titles(rigged),
    [1, 2, 3, 4, 5, 6].map((n) => `number ${n}`)
  )
  t.same(
    rigged.heard('notification').map(({ replay }) => replay),
    [false, false, false, true, true, false]
  )
})

t.test('a page that comes back resumes from storage and knows what it has shown', async (t) => {
  const first = await connected(t)
  const { server, storage } = first
  server.publish(2)
  await until(() => storage.ending(':last') === server.eventId(2), 'two rows')
  first.client.disconnect()
  const second = await rig(t, { storage }, {}, server)
  server.greet = (connection) => {
    connection.hello({ resume: { status: 'gap', from: '', to: '', pending: 2, parked: 0 } })
    connection.send({ type: 'gap', reason: 'fork', from: server.eventId(1), to: server.eventId(2), count: 1 })
    connection.send(
      rowOf(1, { replay: true, notification: notificationOf(2) }),
      rowOf(2, { replay: true, notification: notificationOf(9), eventId: 'k3f9.2.00000009' })
    )
    connection.send({ type: 'caughtUp', eventId: 'k3f9.2.00000009', unread: 0 })
  }
  second.client.connect()
  await until(() => second.heard('caughtUp').length > 0, 'caughtUp')
  t.equal(server.last.query.get('last_event_id'), server.eventId(2))
  t.strictSame(second.heard('gap'), [{ reason: 'fork', from: server.eventId(1), to: server.eventId(2), count: 1, leader: true }])
  t.same(titles(second), ['number 9'], 'the one shown before came under a new offset')
  t.equal(second.heard('toast').length, 1)
  await until(() => storage.ending(':last') === 'k3f9.2.00000009', 'the place in the log')
  second.clock.advance(500)
  await until(() => server.last.of('ack').length > 0, 'an ack')
  t.same(
    server.last.of('ack').map(({ eventId }) => eventId),
    ['k3f9.2.00000009']
  )
})

t.test('drops what is at or below the last, acks it all the same, and takes up a new epoch after a gap', async (t) => {
  const rigged = await connected(t)
  const { server, clock, heard } = rigged
  server.publish(2)
  await until(() => titles(rigged).length === 2, 'two')
  server.last.send(rowOf(2), rowOf(1))
  server.last.send({ type: 'state', eventId: server.eventId(2), ids: ['x'], state: 'read', unread: 0 })
  server.last.send({ type: 'gap', reason: 'epoch', from: '', to: '', count: 0 })
  await until(() => heard('gap').length === 1, 'the gap')
  clock.advance(500)
  server.last.send({ type: 'ping', time: 1 })
  await until(() => server.last.of('pong').length === 1, 'a pong')
  t.same(server.last.of('ack'), [], 'places from before the gap are not acknowledged')
  server.last.send({ ...rowOf(7), eventId: 'newer.1.00000007' }, { ...rowOf(8), eventId: 'newer.2.00000008' })
  await until(() => titles(rigged).length === 4, 'four')
  t.same(titles(rigged), ['number 1', 'number 2', 'number 7', 'number 8'])
  t.same(heard('marked'), [])
  clock.advance(500)
  await until(() => server.last.of('ack').length > 0, 'an ack')
  t.equal(server.connections.length, 1)
  t.equal(server.last.of('ack').at(-1)?.eventId, 'newer.2.00000008')
})

t.test('a replay may skip offsets; a live hole makes it resume', async (t) => {
  const rigged = await rig(t)
  const { server, client, clock, storage } = rigged
  server.greet = (connection) => {
    connection.hello()
    connection.send(rowOf(1, { replay: true }), rowOf(4, { replay: true }), { type: 'caughtUp', eventId: server.eventId(6), unread: 2 })
  }
  client.connect()
  await until(() => rigged.heard('caughtUp').length > 0, 'caughtUp')
  t.equal(storage.ending(':last'), server.eventId(6))
  server.last.send(rowOf(7), rowOf(9), rowOf(10))
  await until(() => server.connections[0]?.closed !== undefined, 'the hole')
  t.equal(server.connections[0]?.closed, 4203)
  clock.advance(0)
  const second = await server.connection(2)
  t.equal(second.query.get('last_event_id'), server.eventId(7))
  await until(() => rigged.heard('caughtUp').length > 1, 'caughtUp')
  t.same(titles(rigged), ['number 1', 'number 4', 'number 7'])
  second.send({ ...rowOf(8), eventId: 'other.8.00000008' })
  await until(() => second.closed !== undefined, 'another epoch without a gap is a hole too')
})

t.test('what was on its way to a slow handler when the network broke comes again', async (t) => {
  const rigged = await rig(t)
  const { server, client, clock } = rigged
  let free = (): void => {}
  client.on('notification', ({ notification }) => {
    if (notification.title === 'number 1') return new Promise<void>((resolve) => (free = resolve))
    return undefined
  })
  client.connect()
  await client.ready()
  server.publish(3)
  await until(() => titles(rigged).length === 1, 'the first')
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(500)
  await server.connection(2)
  await until(() => client.state === 'connected', 'the next connection')
  free()
  await until(() => titles(rigged).length === 3, 'three')
  t.same(titles(rigged), ['number 1', 'number 2', 'number 3'])
})

t.test('an acknowledgement that was not sent goes with the next connection, unless that starts with a gap', async (t) => {
  for (const status of ['resumed', 'gap'] as const) {
    const { server, client, clock, storage } = await connected(t)
    server.publish()
    await until(() => storage.ending(':last') === server.eventId(1), 'the row')
    server.last.terminate()
    await until(() => client.state === 'connecting', 'the loss')
    server.greet = (connection) => connection.hello({ resume: { ...helloFrame().resume, status } })
    clock.advance(500)
    await client.ready()
    server.last.send({ type: 'ping', time: 1 })
    await until(() => server.last.of('pong').length === 1, 'a pong')
    t.same(
      server.last.of('ack').map(({ eventId }) => eventId),
      status === 'resumed' ? [server.eventId(1)] : [],
      status
    )
  }
})

t.test('after disconnect() nothing goes to the handlers any more', async (t) => {
  const rigged = await rig(t)
  const { server, client } = rigged
  const frees: (() => void)[] = []
  client.on('notification', () => new Promise<void>((resolve) => frees.push(resolve)))
  client.connect()
  await client.ready()
  server.publish(3)
  server.last.send({ type: 'ping', time: 1 })
  await until(() => server.last.of('pong').length === 1, 'all three are there')
  client.disconnect()
  t.equal(rigged.storage.ending(':shown') ?? '', '', 'the handler of the first has not finished')
  frees[0]?.()
  await until(() => rigged.storage.ending(':last') === server.eventId(1), 'the first is done')
  await new Promise(setImmediate)
  t.equal(frees.length, 1)
})

t.test('back-off grows until a connection was stable for 10 s', async (t) => {
  const { server, clock, client } = await connected(t)
  const drop = async (n: number, wait: number): Promise<void> => {
    server.last.close(4100)
    await until(() => client.state === 'connecting', 'the close')
    t.ok(clock.waits.includes(wait), `${wait} in ${clock.waits}`)
    clock.advance(wait)
    await server.connection(n)
    await until(() => client.state === 'connected', 'the next')
  }
  await drop(2, 500)
  await drop(3, 750)
  clock.advance(9_999)
  await drop(4, 1250)
  clock.advance(10_000)
  await drop(5, 500)
})

t.test('a refused upgrade is retried with back-off', async (t) => {
  const clock = new FakeClock()
  const client = new Client('http://127.0.0.1:1', { getToken: () => tokenOf('alice') }, nodePlatform(clock, { random: () => 0.5 }))
  t.teardown(() => client.disconnect())
  client.connect()
  for (const wait of [500, 750, 1250]) {
    await until(() => clock.waits.length === 1 && clock.waits[0] === wait, `a wait of ${wait}`)
    clock.advance(wait)
  }
  t.equal(client.state, 'connecting')
})

t.test('retry: names the wait, the close code and the reason of each attempt that another follows', async (t) => {
  let calls = 0
  const getToken = () => {
    if (++calls === 1) throw new Error('offline')
    return tokenOf('alice')
  }
  const { server, clock, client, heard } = await rig(t, { getToken })
  client.connect()
  await until(() => heard('retry').length === 1, 'the first wait')
  clock.advance(500)
  await client.ready()
  clock.advance(10_000)
  server.last.send({ type: 'bye', code: 4200, reason: 'draining', reconnectInMs: 1730 })
  server.last.close(4200, 'draining')
  await until(() => heard('retry').length === 2, 'the second wait')
  clock.advance(1730)
  await client.ready()
  server.last.terminate()
  await until(() => heard('retry').length === 3, 'the third wait')
  t.strictSame(heard('retry'), [
    { waitMs: 500, code: 1006, reason: 'Error: offline' },
    { waitMs: 1730, code: 4200, reason: 'draining' },
    { waitMs: 750, code: 1006, reason: '' }
  ])
  clock.advance(750)
  await client.ready()
  server.last.close(4003)
  await until(() => client.state === 'disconnected', 'the end')
  t.equal(heard('retry').length, 3, 'terminal has no retry')
})

t.test('close codes: bye says when, 4000-4099 and 1009 end it, 4200-4299 come back at once', async (t) => {
  const rigged = await connected(t)
  const { server, clock, client, heard } = rigged
  server.last.send({ type: 'bye', code: 4200, reason: 'draining', reconnectInMs: 1730 })
  server.last.close(4200, 'draining')
  await until(() => client.state === 'connecting', 'the close')
  t.ok(clock.waits.includes(1730), String(clock.waits))
  clock.advance(1730)
  await server.connection(2)
  await until(() => client.state === 'connected', 'the second')
  clock.advance(10_000)
  server.last.close(4201)
  await until(() => client.state === 'connecting', 'the close')
  t.ok(clock.waits.includes(0), String(clock.waits))
  clock.advance(0)
  await server.connection(3)
  await until(() => client.state === 'connected', 'the third')
  server.last.close(4003, 'disconnected by an operator')
  await until(() => client.state === 'disconnected', 'the end')
  t.strictSame(heard('terminal'), [{ code: 4003, reason: 'disconnected by an operator', verdict: 'stop' }])
  t.same(clock.waits, [])
  client.connect()
  await client.ready()
  server.last.close(1009)
  await until(() => heard('terminal').length === 2, 'the end')
  t.equal(heard('terminal')[1]?.code, 1009)
})

t.test('close codes: 4100-4199 back off, also after a bye that names no wait; so does a loop of 4200-4299', async (t) => {
  const { server, clock, client } = await connected(t)
  const drop = async (code: number, wait: number): Promise<void> => {
    server.last.send({ type: 'bye', code, reason: 'why', reconnectInMs: 0 })
    server.last.close(code)
    await until(() => client.state === 'connecting', 'the close')
    t.ok(clock.waits.includes(wait), `${code}: ${wait} in ${clock.waits}`)
    clock.advance(wait)
    await until(() => client.state === 'connected', 'the next')
  }
  await drop(4104, 500)
  await drop(4104, 750)
  clock.advance(10_000)
  await drop(4202, 0)
  await drop(4202, 750)
})

t.test('4001 asks once for a fresh token; a second in a row is the end and says why', async (t) => {
  const asked: string[] = []
  const rigged = await rig(t, {
    getToken: ({ reason }) => {
      asked.push(reason)
      return tokenOf('alice', { no: asked.length })
    }
  })
  const { server, client, clock, heard } = rigged
  const good = server.greet
  server.greet = (connection) => connection.close(4001, 'token_expired')
  client.connect()
  await server.connection(1)
  await until(() => clock.waits.includes(500), 'the wait')
  server.greet = good
  clock.advance(500)
  await client.ready()
  t.same(asked, ['connect', 'unauthorized'])
  t.not(server.connections[0]?.token, server.connections[1]?.token)
  server.greet = (connection) => connection.close(4001, 'token_revoked')
  server.last.close(4001, 'token_revoked')
  await until(() => clock.waits[0] === 1750, 'the wait, a second longer')
  clock.advance(1750)
  await until(() => client.state === 'disconnected', 'the end')
  t.strictSame(heard('terminal'), [{ code: 4001, reason: 'token_revoked', verdict: 'stop' }])
  t.same(asked, ['connect', 'unauthorized', 'unauthorized'])
  t.equal(server.connections.length, 3)
  server.greet = good
  client.connect()
  await client.ready()
  t.equal(server.connections.length, 4)
})

t.test('a token that waited for an attempt after the one it was fetched for, and was revoked meanwhile, is not the end', async (t) => {
  const asked: string[] = []
  const { server, client, clock, heard } = await rig(t, {
    getToken: ({ reason }) => {
      asked.push(reason)
      return tokenOf('alice', { no: asked.length })
    }
  })
  const good = server.greet
  const ends: [code: number, reason: string][] = [
    [4001, 'token_revoked'],
    [4100, 'server error'],
    [4001, 'token_revoked']
  ]
  server.greet = (connection) => {
    const [code, reason] = ends.shift() as [number, string]
    connection.close(code, reason)
  }
  client.connect()
  for (let number = 1; number <= 3; number++) {
    await server.connection(number)
    await until(() => clock.waits.length === 1 && (clock.waits[0] as number) < 10_000, 'the wait')
    if (number === 3) server.greet = good
    clock.advance(10_000)
  }
  await client.ready()
  t.same(asked, ['connect', 'unauthorized', 'unauthorized'])
  t.same(heard('terminal'), [])
})

t.test('20 clients whose key was rotated make two attempts each, and connect with a good token', async (t) => {
  const server = await FakeServer.start(t)
  const good = server.greet
  let key = 'old'
  server.greet = (connection) =>
    connection.token.includes(tokenOf('alice', { key: 'new' })) ? good(connection) : connection.close(4001, 'token_invalid')
  const rigs = await Promise.all(Array.from({ length: 20 }, () => rig(t, { getToken: () => tokenOf('alice', { key }) }, {}, server)))
  for (const { client } of rigs) client.connect()
  await until(() => server.connections.length === 20 && rigs.every(({ clock }) => clock.waits[0] === 500), '20 refusals')
  for (const { clock } of rigs) clock.advance(500)
  await until(() => rigs.every(({ client }) => client.state === 'disconnected'), '20 ends')
  t.equal(server.connections.length, 40)
  key = 'new'
  for (const { client } of rigs) client.connect()
  await Promise.all(rigs.map(({ client }) => client.ready()))
  t.equal(server.connections.length, 60)
})

t.test('getToken that fails is told of and tried again', async (t) => {
  let calls = 0
  const rigged = await rig(t, {
    getToken: async () => {
      if (++calls === 1) throw new Error('offline')
      return calls === 2 ? '' : tokenOf('alice')
    }
  })
  const { client, clock, heard, server } = rigged
  client.connect()
  for (const wait of [500, 750]) {
    await until(() => clock.waits[0] === wait, `a wait of ${wait}`)
    clock.advance(wait)
  }
  await client.ready()
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN', message: 'Error: offline' }, { message: /gave no token/ }])
  t.equal(server.connections.length, 1)
})

t.test('a getToken that gives no token is told of: an error each time, one warning, and it is asked again', async (t) => {
  const html = '<!doctype html><title>Sign in</title>'
  const kinds: unknown[] = [html, { token: 'x' }, 'Bearer abc.def.ghi', '{"token":"x"}', 'not a token', undefined, 7, '[object Object]']
  const warnings: string[] = []
  let calls = 0
  const getToken = () => (calls < kinds.length ? kinds[calls++] : ` ${tokenOf('alice')}\n`) as string
  const { client, clock, heard, server } = await rig(t, { getToken }, { random: () => 0, warn: (text) => void warnings.push(text) })
  client.connect()
  for (let n = 1; n <= kinds.length; n++) {
    await until(() => heard('error').length === n && clock.waits[0] === 250, `error ${n}`)
    clock.advance(250)
  }
  await client.ready()
  t.ok(heard('error').every(({ code, temporary }) => code === 'BELFRY_CLIENT_TOKEN' && temporary))
  t.match(heard('error')[0]?.message, /getToken gave no token: expected a JWT as a string, got other text/)
  t.match(heard('error')[1]?.message, /got object/)
  t.notMatch(JSON.stringify(heard('error')), /abc\.def/, 'what it gave is not repeated')
  t.equal(warnings.length, 1)
  t.match(warnings[0], /^Belfry: getToken gave no token/)
  t.equal(server.last.token, tokenOf('alice'), 'blanks around a token do not matter')
})

t.test('a getToken that does not settle is given up after 10 s and asked again; what it gives later is ignored', async (t) => {
  let late: (token: string) => void = () => {}
  let calls = 0
  const getToken = () => (++calls === 1 ? new Promise<string>((resolve) => (late = resolve)) : tokenOf('alice', { no: calls }))
  const { client, clock, heard, server } = await rig(t, { getToken })
  client.connect()
  const rest = client.token()
  rest.catch(() => {})
  await until(() => clock.waits[0] === 10_000, 'the deadline')
  clock.advance(10_000)
  await t.rejects(rest, { message: /did not settle in 10 s/ })
  await until(() => clock.waits[0] === 500, 'the wait')
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN', message: 'Error: getToken did not settle in 10 s', temporary: true }])
  late(tokenOf('alice', { no: 1 }))
  clock.advance(500)
  await client.ready()
  t.equal(server.last.token, tokenOf('alice', { no: 2 }))
  t.equal(await client.token(), tokenOf('alice', { no: 2 }))
})

t.test('a refresh whose getToken does not settle keeps the connection, and asks again', async (t) => {
  let calls = 0
  const getToken = () => (++calls === 2 ? new Promise<string>(() => {}) : tokenOf('alice', { no: calls }))
  const rigged = await rig(t, { getToken })
  const { server, client, clock, heard } = rigged
  const heartbeat = { intervalMs: 100_000, timeoutMs: 10_000 }
  server.greet = (connection) => connection.hello({ heartbeat, tokenExpiresAt: helloFrame().serverTime + 600_000 })
  client.connect()
  await client.ready()
  for (let left = 570_000; left > 0; left -= 50_000) {
    server.last.send({ type: 'ping', time: 1 })
    const pongs = server.last.of('pong').length
    await until(() => server.last.of('pong').length > pongs, 'a pong')
    clock.advance(Math.min(left, 50_000))
  }
  await until(() => calls === 2, 'the refresh')
  clock.step(-3600_000)
  clock.advance(10_000)
  await until(() => heard('error').length === 1 && clock.waits.some((wait) => wait > 10_000 && wait <= 20_000), 'another try in time')
  t.equal(client.state, 'connected')
})

t.test('an opaque token: the user comes from hello', async (t) => {
  const rigged = await connected(t, { getToken: () => 'opaque' })
  const { server, storage } = rigged
  server.publish()
  await until(() => storage.ending(':last') !== undefined, 'a row')
  t.match(
    [...storage.values.keys()].find((key) => key.endsWith(':last')),
    /:alice:d1:last$/
  )
})

t.test('users do not mix: each has its own place in the log', async (t) => {
  const first = await connected(t)
  first.server.publish(2)
  await until(() => first.storage.ending(':last') === first.server.eventId(2), 'two rows')
  first.client.disconnect()
  const bob = await connected(t, { storage: first.storage, getToken: () => tokenOf('bob') }, {}, first.server)
  t.notOk(first.server.last.query.has('last_event_id'))
  t.equal(titles(bob).length, 2)
})

t.test('refreshes the token in band', async (t) => {
  const asked: string[] = []
  const getToken: BelfryOptions['getToken'] = ({ reason }) => {
    asked.push(reason)
    return tokenOf('alice', { no: asked.length })
  }
  const rigged = await connected(t, { getToken })
  const { server, clock, client, heard } = rigged
  t.ok(clock.waits.includes(3_570_000), '30 s before the end of an hour')
  const tick = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 20_000) {
      server.last.send({ type: 'ping', time: clock.now })
      const pongs = server.last.of('pong').length
      await until(() => server.last.of('pong').length > pongs, 'a pong')
      clock.advance(Math.min(left, 20_000))
    }
  }
  await tick(3_570_000)
  await until(() => server.last.of('refresh').length === 1, 'the refresh')
  t.equal(server.last.of('refresh')[0]?.token, tokenOf('alice', { no: 2 }))
  t.same(asked, ['connect', 'refresh'])
  t.equal(server.connections.length, 1)
  t.same(heard('error'), [])

  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  server.greet = (connection) => connection.hello({ tokenExpiresAt: helloFrame().serverTime + 60_000 })
  clock.advance(500)
  await client.ready()
  t.equal(server.last.token, tokenOf('alice', { no: 2 }), 'the new token is used from now on')
  t.ok(clock.waits.includes(48_000), '80 % of a minute is later than 30 s before its end')
  server.answer = (connection, frame) => {
    if (frame.type === 'refresh')
      connection.send({ type: 'error', ref: frame.ref ?? 0, code: 'BELFRY_ERR_TOKEN_INVALID', message: 'no', temporary: false })
  }
  await tick(48_000)
  await until(() => client.state === 'connecting', 'a refresh that failed')
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN' }])
  clock.advance(1000)
  await client.ready()
  t.equal(server.last.token, tokenOf('alice', { no: 4 }), 'reconnects with another token')
})

t.test('a refresh that finds no token is tried again while the token in use lasts', async (t) => {
  let calls = 0
  const rigged = await rig(t, {
    getToken: () => {
      if (++calls === 2) throw new Error('offline')
      return tokenOf('alice', { no: calls })
    }
  })
  const { server, client, clock, heard } = rigged
  const heartbeat = { intervalMs: 100_000, timeoutMs: 10_000 }
  server.greet = (connection) => connection.hello({ heartbeat, tokenExpiresAt: helloFrame().serverTime + 60_000 })
  client.connect()
  await client.ready()
  clock.advance(48_000)
  await until(() => clock.waits.includes(9_600), 'another try')
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN', message: 'Error: offline', temporary: true }])
  clock.advance(9_600)
  await until(() => server.last.of('refresh').length === 1, 'the refresh')
  t.equal(server.last.of('refresh')[0]?.token, tokenOf('alice', { no: 3 }))
  t.same([client.state, server.connections.length, heard('error').length], ['connected', 1, 1])
})

t.test('where channels are refused a tab has its own connection', async (t) => {
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

t.test('an expired token is not tried', async (t) => {
  let exp = 1_754_000_100
  const rigged = await connected(t, { getToken: () => tokenOf('alice', { exp }) })
  const { server, clock, client } = rigged
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  exp += 3600
  clock.step(99_000)
  clock.advance(500)
  await until(() => client.state === 'connected', 'the next')
  t.equal(server.last.token, tokenOf('alice', { exp }))
})

t.test('the watchdog: 1.6 heartbeats of silence, and 15 s for a hello', async (t) => {
  const rigged = await connected(t)
  const { server, clock, client } = rigged
  clock.advance(20_000)
  server.last.send({ type: 'ping', time: 7 })
  await until(() => server.last.of('pong').length === 1, 'a pong')
  t.same(server.last.of('pong'), [{ type: 'pong', time: 7 }])
  clock.advance(39_999)
  t.equal(client.state, 'connected')
  server.greet = () => {}
  clock.advance(1)
  t.equal(client.state, 'connecting')
  await until(() => server.connections[0]?.closed === 4201, 'the close')
  clock.advance(250)
  const second = await server.connection(2)
  clock.advance(14_000)
  t.equal(second.closed, undefined)
  clock.advance(1_000)
  await until(() => second.closed !== undefined, 'no hello')
})

t.test('steps of the wall clock: a dead socket is noticed in time', async (t) => {
  for (const step of [-3600_000, 3600_000]) {
    const { server, clock, client } = await connected(t, { getToken: () => tokenOf('alice', { exp: 1_754_100_000 }) })
    clock.advance(1000)
    clock.step(step)
    clock.advance(1000)
    // An hour ahead looks like an hour of sleep: the connection is replaced.
    await server.connection(step > 0 ? 2 : 1)
    await client.ready()
    server.last.send({ type: 'ping', time: 7 })
    await until(() => server.last.of('pong').length === 1, 'a pong')
    clock.advance(39_000)
    t.equal(client.state, 'connected')
    server.greet = () => {}
    clock.advance(1001)
    t.equal(client.state, 'connecting', `noticed after a step of ${step}`)
  }
})

t.test('a network that changed: a connection that was silent for 3 s is replaced at once, a fresh one is kept', async (t) => {
  const changes: [string, (page: FakePage, clock: FakeClock) => void][] = [
    ['online', (page) => page.fire('online')],
    ['visible', (page) => page.show(true)],
    ['a timer gap', (_page, clock) => clock.stall(5100)],
    [
      'a timer gap while the machine slept, which the monotonic clock did not count',
      (_page, clock) => {
        clock.step(60_000)
        clock.advance(2000)
      }
    ]
  ]
  for (const [what, change] of changes) {
    const page = new FakePage()
    const rigged = await connected(t, { leader: false, getToken: () => tokenOf('alice', { exp: 1_754_100_000 }) }, { page })
    const { server, clock, client } = rigged
    if (!what.startsWith('a timer')) {
      clock.advance(2900)
      change(page, clock)
      t.equal(client.state, 'connected', `${what}: it is fresh`)
      clock.advance(200)
    }
    server.publish()
    await until(() => titles(rigged).length === 1, 'a row')
    clock.advance(3001)
    server.greet = () => {}
    change(page, clock)
    t.equal(client.state, 'connecting', what)
    const second = await server.connection(2)
    t.equal(second.query.get('last_event_id'), server.eventId(1))
    change(page, clock)
    server.replay(second)
    if (what.startsWith('a timer')) continue
    await client.ready()
    t.equal(server.connections.length, 2, `${what}: no more than one`)
  }
})

t.test('a hidden page whose timers are slowed down is not taken for one that slept', async (t) => {
  const page = new FakePage()
  const { server, clock, client } = await connected(t, { leader: false, getToken: () => tokenOf('alice') }, { page })
  page.show(false)
  clock.advance(3500)
  clock.stall(30_000)
  t.equal(client.state, 'connected')
  clock.step(10_000)
  clock.advance(2000)
  t.equal(client.state, 'connecting', 'a wall clock that is ahead is sleep')
  await server.connection(2)
})

t.test('offline is told at once, and online connects at once with a WebSocket', async (t) => {
  const page = new FakePage()
  const { server, clock, client, heard } = await connected(t, { leader: false }, { page })
  const { greet } = server
  server.greet = (connection) => connection.terminate()
  page.fire('offline')
  t.equal(client.state, 'connecting')
  t.equal(heard('state').at(-1)?.state, 'connecting')
  for (const wait of [0, 750, 1250]) {
    await until(() => clock.waits[0] === wait, `a wait of ${wait}`)
    if (wait < 1000) clock.advance(wait)
  }
  page.fire('offline')
  server.greet = greet
  page.fire('online')
  await client.ready()
  t.same(
    server.requests.filter(({ url }) => url.startsWith('/v1/sse')),
    [],
    'what failed while there was no network says nothing about WebSockets'
  )
})

t.test('a page that is put away saves, closes and comes back where it was', async (t) => {
  for (const [away, back] of [
    ['pagehide', 'pageshow'],
    ['freeze', 'resume']
  ] as const) {
    const page = new FakePage()
    const rigged = await connected(t, { leader: false }, { page })
    const { server, client } = rigged
    page.fire(back)
    server.publish(2)
    await until(() => titles(rigged).length === 2, 'two')
    page.fire(away)
    page.fire(away)
    t.equal(client.state, 'connecting')
    await until(() => server.open.length === 0, 'the socket closes')
    t.same(
      server.last.of('ack').map(({ eventId }) => eventId),
      [server.eventId(2)]
    )
    server.publish()
    page.fire(back)
    page.fire(back)
    await client.ready()
    await until(() => titles(rigged).length === 3, 'the third')
    t.equal(server.connections.length, 2)
    t.equal(server.last.query.get('last_event_id'), server.eventId(2))
    page.fire(away)
    client.disconnect()
    t.equal(client.state, 'disconnected')
    page.fire(back)
    t.equal(client.state, 'disconnected')
  }
})

t.test('a place in the log that a storage gives goes encoded', async (t) => {
  const storage = new FakeStorage()
  const { getItem } = storage
  storage.getItem = (key) => (key.endsWith(':last') ? 'a b&device_id=other#' : getItem.call(storage, key))
  const { server } = await connected(t, { storage })
  t.equal(server.last.query.get('last_event_id'), 'a b&device_id=other#')
  t.equal(server.last.query.get('device_id'), 'd1')
})

t.test('coming online and becoming visible cut a wait short', async (t) => {
  const page = new FakePage()
  const { server, clock, client } = await connected(t, { leader: false }, { page, random: () => 0.99 })
  const lose = async () => {
    server.last.terminate()
    await until(() => client.state === 'connecting', 'the loss')
  }
  await lose()
  page.fire('online')
  await client.ready()
  await lose()
  page.show(false)
  page.show(true)
  await client.ready()
  page.fire('online')
  t.equal(server.connections.length, 3, 'and nothing more')
  t.notOk(
    clock.waits.some((wait) => wait < 1000),
    'no wait is left behind'
  )
  client.disconnect()
  t.notOk(page.watched)
})

t.test('mark: answered, refused, sent again on the next connection, given up', async (t) => {
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
  const cut = client.mark('z')
  client.disconnect()
  await t.rejects(cut, { code: 'BELFRY_CLIENT_DISCONNECTED' })
})

t.test('storage that throws costs nothing but memory', async (t) => {
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

t.test('frames it does not know, and no frames at all, are passed over', async (t) => {
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
