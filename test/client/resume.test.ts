import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { type FakeClock, FakePage, tokenOf } from './fake-platform.ts'
import { notificationOf, rowOf } from './fake-server.ts'
import { connected, rig, titles } from './rig.ts'

t.test('resumes after the network broke, and shows each notification once', async (t) => {
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

t.test('a device that has received no row yet resumes from the start of its first connection', async (t) => {
  const rigged = await rig(t)
  const { server, clock, client } = rigged
  server.publish(2)
  server.greet = (connection) => {
    const resume = { from: server.eventId(1), to: server.eventId(2), pending: 1, parked: 0 }
    connection.hello({ resume: { status: server.connections.length === 2 ? 'gap' : 'fresh', ...resume } })
  }
  client.connect()
  for (const [number, lastEventId] of [null, server.eventId(1), null].entries()) {
    const connection = await server.connection(number + 1)
    t.equal(connection.query.get('last_event_id'), lastEventId, 'not after a gap')
    await until(() => client.state === 'connected', 'hello')
    connection.terminate()
    await until(() => client.state === 'connecting', 'the loss')
    clock.advance(30_000)
  }
})

t.test('a reloaded page resumes from storage and knows the shown notifications', async (t) => {
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

t.test('users do not mix: each has its own position', async (t) => {
  const first = await connected(t)
  first.server.publish(2)
  await until(() => first.storage.ending(':last') === first.server.eventId(2), 'two rows')
  first.client.disconnect()
  const bob = await connected(t, { storage: first.storage, getToken: () => tokenOf('bob') }, {}, first.server)
  t.notOk(first.server.last.query.has('last_event_id'))
  t.equal(titles(bob).length, 2)
})

t.test('the watchdog: closes after 1.6 heartbeats of silence, or 15 s without a hello', async (t) => {
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

t.test('steps of the wall clock: a dead connection is still noticed in time', async (t) => {
  for (const step of [-3600_000, 3600_000]) {
    const { server, clock, client } = await connected(t, { getToken: () => tokenOf('alice', { exp: 1_754_100_000 }) })
    clock.advance(1000)
    clock.step(step)
    clock.advance(1000)
    // A step of an hour ahead looks like an hour of sleep: the connection is replaced.
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

t.test('after a change of the network a connection that was silent for 3 s is replaced at once, a fresh one is kept', async (t) => {
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

t.test('a hidden page whose timers are throttled does not count as one that slept', async (t) => {
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

t.test('offline changes the state at once, and online connects at once with a WebSocket', async (t) => {
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

t.test('a page that is frozen or cached saves, closes, and resumes where it was', async (t) => {
  for (const [hide, show] of [
    ['pagehide', 'pageshow'],
    ['freeze', 'resume']
  ] as const) {
    const page = new FakePage()
    const rigged = await connected(t, { leader: false }, { page })
    const { server, client } = rigged
    page.fire(show)
    server.publish(2)
    await until(() => titles(rigged).length === 2, 'two')
    page.fire(hide)
    page.fire(hide)
    t.equal(client.state, 'connecting')
    await until(() => server.open.length === 0, 'the socket closes')
    t.same(
      server.last.of('ack').map(({ eventId }) => eventId),
      [server.eventId(2)]
    )
    server.publish()
    page.fire(show)
    page.fire(show)
    await client.ready()
    await until(() => titles(rigged).length === 3, 'the third')
    t.equal(server.connections.length, 2)
    t.equal(server.last.query.get('last_event_id'), server.eventId(2))
    page.fire(hide)
    client.disconnect()
    t.equal(client.state, 'disconnected')
    page.fire(show)
    t.equal(client.state, 'disconnected')
  }
})

t.test('coming online and becoming visible end a wait', async (t) => {
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
