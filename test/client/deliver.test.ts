import t from 'tap'
import type { ServerFrame } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { FakePage } from './fake-platform.ts'
import { helloFrame, notificationOf, rowOf } from './fake-server.ts'
import { connected, rig, titles } from './rig.ts'

t.test('every event has its context', async (t) => {
  const rigged = await connected(t)
  const { server, heard } = rigged
  const off = rigged.client.on('notification', () => t.fail('it was taken off'))
  off()
  server.publish()
  const ids = [notificationOf(1).id]
  server.append({ type: 'state', eventId: '', ids, state: 'read', unread: 0, unseen: 0 })
  server.append({ type: 'retract', eventId: '', id: ids[0] as string, reason: 'recalled', unread: 0, unseen: 0 })
  server.append({ type: 'digest', eventId: '', count: 2, ids: ['a', 'b'], unread: 2, unseen: 1 })
  server.last.send({ type: 'error', code: 'BELFRY_ERR_X', message: 'no', temporary: true, retryAfterMs: 800 })
  await until(() => heard('digest').length > 0 && heard('error').length > 0, 'all events')
  const row = { replay: false, leader: true }
  const notification = { ...row, eventId: server.eventId(1), notification: notificationOf(1), state: 'unread' }
  t.strictSame(heard('notification'), [notification])
  t.strictSame(heard('toast'), [{ ...notification, tag: notificationOf(1).id }])
  t.strictSame(structuredClone(heard('notification')), [notification], 'a context can be posted')
  t.strictSame(heard('marked'), [{ ...row, eventId: server.eventId(2), ids, state: 'read', unread: 0, unseen: 0 }])
  t.strictSame(heard('retract'), [{ ...row, eventId: server.eventId(3), id: ids[0], reason: 'recalled', unread: 0, unseen: 0 }])
  t.strictSame(heard('digest'), [{ ...row, eventId: server.eventId(4), count: 2, ids: ['a', 'b'], unread: 2, unseen: 1 }])
  const counts = [
    { unread: 1, unseen: 1 },
    { unread: 0, unseen: 0 },
    { unread: 2, unseen: 1 }
  ]
  t.strictSame(heard('unread'), counts)
  t.strictSame(heard('error'), [{ code: 'BELFRY_ERR_X', message: 'no', temporary: true, retryAfterMs: 800 }])
  t.strictSame(heard('caughtUp'), [{ eventId: '', leader: true }])
})

t.test('unread: a connection that fell behind and replays counts nothing twice', async (t) => {
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

t.test('unread: a notification that was shown before counts again at another offset, since the store has it as unread', async (t) => {
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

t.test('unread: the count of hello includes replayed rows, but not the rows after them', async (t) => {
  const rigged = await rig(t)
  const { server, heard, client } = rigged
  server.greet = (connection) => {
    connection.hello({ unread: 5, unseen: 4, resume: { status: 'resumed', from: '', to: server.eventId(3), pending: 3, parked: 0 } })
    connection.send(rowOf(1, { replay: true }), rowOf(2, { replay: true, state: 'read' }))
    connection.send({ type: 'state', eventId: server.eventId(3), replay: true, ids: ['x'], state: 'read', unread: 1 })
    connection.send(rowOf(4, { replay: true }), rowOf(5, { replay: true, state: 'archived' }), {
      type: 'caughtUp',
      eventId: server.eventId(5),
      unread: 6,
      unseen: 4
    })
  }
  client.connect()
  await until(() => heard('caughtUp').length > 0, 'caughtUp')
  const counts = [
    { unread: 5, unseen: 4 },
    { unread: 6, unseen: 4 }
  ]
  t.same(heard('unread'), counts)
  t.same([client.unread, client.unseen], [6, 4])
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

t.test('the position moves after the handlers, acknowledgements follow in batches', async (t) => {
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

t.test('one acknowledgement every 20 rows, and one when the page is hidden for good', async (t) => {
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

t.test('a handler that throws fires error, and the other handlers run', async (t) => {
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

t.test('rows at or before the position are dropped but acknowledged; after a gap a new epoch starts', async (t) => {
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

t.test('a replay may skip offsets; a hole in live rows makes the client resume', async (t) => {
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

t.test('rows that waited for a slow handler when the network broke come again', async (t) => {
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

t.test('an unsent acknowledgement is sent over the next connection, unless that starts with a gap', async (t) => {
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

t.test('after disconnect() the handlers get nothing', async (t) => {
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
