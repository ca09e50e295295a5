import t, { type Test } from 'tap'
import { Inbox, type InboxItem } from '../../packages/client/src/inbox.ts'
import type { Notification, NotificationFrame } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { FakeBrowser } from './fake-browser.ts'
import { FakeServer, helloFrame, notificationOf } from './fake-server.ts'
import { connected, type Rig, titles } from './rig.ts'

/** The clock of the fake service at the first `hello`. */
const NOW = helloFrame().serverTime

interface InboxRig extends Rig {
  inbox: Inbox
  /** The titles of the inbox after each change of the list. */
  lists: string[][]
}

async function rig(t: Test): Promise<InboxRig> {
  const rigged = await connected(t)
  const inbox = new Inbox(rigged.client)
  const lists: string[][] = [[]]
  inbox.on('change', ({ items }) => {
    const shown = items.map(({ title }) => title)
    if (JSON.stringify(shown) !== JSON.stringify(lists.at(-1))) lists.push(shown)
  })
  return { ...rigged, inbox, lists }
}

/** Appends the notification at the next offset. `counted` is the change of the unread count. */
function publish(server: FakeServer, given: Partial<Notification> = {}, counted = 1, frame: Partial<NotificationFrame> = {}): Notification {
  const notification = { ...notificationOf(server.log.length + 1), ...given }
  server.unread += counted
  server.append({ type: 'notification', eventId: '', notification, ...frame })
  return notification
}

const idsOf = (items: readonly InboxItem[]): string[] => items.map(({ id }) => id)

t.test('a replacement is one change of the list, at the place of the new row, and the unread count is exact', async (t) => {
  const { server, client, inbox, lists, heard } = await rig(t)
  const first = publish(server, { collapseKey: 'k', title: '10 %' })
  publish(server, { title: 'other' })
  await until(() => inbox.list().length === 2, 'two')
  t.equal(client.unread, 2)
  const second = publish(server, { collapseKey: 'k', title: '20 %', replaces: first.id }, 0)
  await until(() => lists.at(-1)?.[0] === '20 %', 'the replacement')
  t.same(lists, [[], ['10 %'], ['other', '10 %'], ['20 %', 'other']])
  t.same([client.unread, inbox.unread], [2, 2], 'an unread one took the place of an unread one')
  t.same(heard('retract'), [])

  await client.mark(second.id)
  await until(() => client.unread === 1, 'the mark')
  publish(server, { collapseKey: 'k', title: '30 %', replaces: second.id })
  await until(() => lists.at(-1)?.[0] === '30 %', 'another')
  t.same([client.unread, inbox.unread], [2, 2], 'the new one is unread, whatever the old one was')
})

t.test('an unread notification that replaces a read one from before this page counts', async (t) => {
  const { server, client } = await rig(t)
  publish(server, { collapseKey: 'k', replaces: 'read before this page' })
  await until(() => client.unread === 1, 'the count')
})

t.test('any shown notification of the key leaves: the one between may have been missed', async (t) => {
  const { server, inbox, lists } = await rig(t)
  publish(server, { collapseKey: 'k', title: 'old' })
  await until(() => inbox.list().length === 1, 'the old one')
  const last = publish(server, { collapseKey: 'k', title: 'new', replaces: 'never seen here' }, 0)
  await until(() => lists.at(-1)?.[0] === 'new', 'the new one')
  t.same(idsOf(inbox.list()), [last.id])
  server.append({ type: 'retract', eventId: '', id: 'never seen here', reason: 'recalled', unread: 0, collapseKey: 'k' })
  await until(() => inbox.list().length === 0, 'the retraction')
  t.equal(inbox.unread, 0)
})

t.test('a page that was requested before a replacement does not bring the old one back', async (t) => {
  const { server, inbox } = await rig(t)
  let reply = (): void => {}
  const old = { ...notificationOf(1), collapseKey: 'k', state: 'unread', eventId: server.eventId(1) }
  server.log.push({ type: 'notification', eventId: server.eventId(1), notification: old })
  server.rest = () => new Promise((resolve) => (reply = () => resolve({ status: 200, body: { items: [old], unread: 1 } })))
  const loading = inbox.load()
  await until(() => server.requests.length === 1, 'the request')
  server.last.send({ type: 'notification', eventId: server.eventId(1), replay: true, notification: old })
  const next = publish(server, { collapseKey: 'k', replaces: old.id }, 0)
  await until(() => inbox.list()[0]?.id === next.id, 'the new one')
  reply()
  await loading
  t.same(idsOf(inbox.list()), [next.id])
})

t.test('an expired notification leaves by the clock of the service, also without a connection', async (t) => {
  const { server, client, clock, inbox, heard } = await rig(t)
  const expiring = publish(server, { expiresAt: NOW + 5000 })
  publish(server)
  await until(() => inbox.list().length === 2, 'two')
  // The wall clock of this machine is off: what counts is the time since `hello`.
  server.greet = () => {}
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(4999)
  t.equal(inbox.list().length, 2)
  clock.advance(1)
  t.same([inbox.list().length, inbox.unread, client.unread], [1, 1, 1])
  t.match(heard('retract'), [{ id: expiring.id, reason: 'expired', unread: 1, eventId: '', replay: false }])

  server.unread = 1
  server.log.push({ type: 'retract', eventId: server.eventId(3), id: expiring.id, reason: 'expired', unread: 1 })
  server.greet = (connection) => server.replay(connection)
  await until(async () => {
    clock.advance(1000)
    return client.state === 'connected'
  }, 'the connection')
  await until(() => client.lastEventId === server.eventId(3), 'the retraction of the service')
  t.equal(heard('retract').length, 1, 'it is told once')
  t.equal(client.unread, 1)
})

t.test('expiries: the nearest first, far ones, answered and read ones', async (t) => {
  const { server, client, clock, inbox, heard } = await rig(t)
  const day = 86_400_000
  const far = publish(server, { expiresAt: NOW + 29 * day })
  const near = publish(server, { expiresAt: NOW + 1000 })
  const answered = publish(server, { expiresAt: NOW + 1000 })
  const read = publish(server, { expiresAt: NOW + 2000 })
  server.append({ type: 'answered', eventId: '', id: answered.id, action: 'a', answeredAt: 1, deviceId: 'x', unread: 3 })
  server.append({ type: 'state', eventId: '', ids: [read.id], state: 'read', unread: 2 })
  await until(() => client.unread === 2 && heard('marked').length === 1, 'all of it')
  clock.advance(1000)
  t.same(idsOf(inbox.list()), [read.id, answered.id, far.id])
  t.equal(client.unread, 1)
  clock.advance(1000)
  t.same(idsOf(inbox.list()), [answered.id, far.id])
  t.equal(client.unread, 1, 'a read one did not count')
  t.same(
    heard('retract').map(({ id }) => id),
    [near.id, read.id]
  )
  server.greet = () => {}
  client.on('retry', () => {})
  for (let n = 0; n < 29 * 24 - 1; n++) clock.advance(day / 24)
  t.equal(inbox.list().length, 2)
  clock.advance(day / 24)
  t.same(idsOf(inbox.list()), [answered.id])
  t.equal(client.unread, 0)
  client.disconnect()
})

t.test('one that was answered in time, and expired here before the answer came, is shown again', async (t) => {
  const { server, client, clock, inbox, heard } = await rig(t)
  const asked = publish(server, { expiresAt: NOW + 1000, title: 'asked', actions: [{ action: 'yes', title: 'Yes' }] })
  const lost = publish(server, { expiresAt: NOW + 1000 })
  await until(() => inbox.list().length === 2, 'two')
  clock.advance(1000)
  t.same([inbox.list(), client.unread, heard('retract').length], [[], 0, 2])
  const answer = { action: 'yes', answeredAt: NOW + 900, deviceId: 'phone' }
  server.append({ type: 'answered', eventId: '', id: asked.id, ...answer, unread: 0, unseen: 0 })
  server.append({ type: 'retract', eventId: '', id: lost.id, reason: 'expired', unread: 0, unseen: 0 })
  server.append({ type: 'answered', eventId: '', id: asked.id, ...answer, unread: 0, unseen: 0 })
  await until(() => heard('answered').length === 2, 'the answer')
  t.match(inbox.list(), [{ id: asked.id, title: 'asked', state: 'read', answer, eventId: server.eventId(1) }])
  t.match(heard('notification').at(-1), { notification: asked, state: 'read', answered: answer })
  t.same([heard('notification').length, heard('toast').length, heard('retract').length, client.unread], [3, 2, 2, 0], 'once')
  clock.advance(60_000)
  t.equal(inbox.list().length, 1, 'it does not expire any more')
})

t.test('the clock is that of the service, and a machine that slept drops at once what expired', async (t) => {
  const { server, client, clock, inbox } = await rig(t)
  clock.step(3_600_000)
  publish(server, { expiresAt: NOW + 60_000 })
  publish(server, { expiresAt: NOW + 7_200_000 })
  server.greet = (connection) => {
    connection.hello({
      serverTime: NOW + 1000,
      unread: 2,
      resume: { status: 'resumed', from: '', to: server.eventId(2), pending: 0, parked: 0 }
    })
    connection.send({ type: 'caughtUp', eventId: server.eventId(2), unread: 2 })
  }
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  await until(async () => {
    clock.advance(100)
    return client.state === 'connected'
  }, 'the connection')
  t.ok(inbox.list().length >= 1)
  clock.step(3_600_000)
  clock.advance(2000)
  t.same(
    inbox.list().map(({ expiresAt }) => expiresAt),
    [NOW + 7_200_000]
  )
})

t.test('a hello that a stalled network delivers late does not turn the clock back', async (t) => {
  const { server, client, clock, heard } = await rig(t)
  server.greet = () => {}
  server.last.terminate()
  await until(async () => {
    clock.advance(100)
    return server.connections.length === 2
  }, 'the next connection')
  const madeAt = clock.now
  clock.advance(6000)
  const row = (n: number, expiresAt: number) =>
    server.log.push({ type: 'notification', eventId: server.eventId(n), replay: true, notification: { ...notificationOf(n), expiresAt } })
  row(1, madeAt + 5000)
  row(2, madeAt + 7000)
  const to = server.eventId(2)
  server.last.hello({ serverTime: madeAt, unread: 2, resume: { status: 'resumed', from: '', to, pending: 2, parked: 0 } })
  server.last.send(...server.log)
  await until(() => client.lastEventId === to, 'the replay')
  t.same(titles({ heard } as Rig), ['number 2'])
  clock.advance(1000)
  t.match(heard('retract'), [{ id: notificationOf(2).id, reason: 'expired' }], 'the other one leaves in time')

  // A clock that is an hour ahead is corrected to the latest time that the frame allows.
  clock.step(3_600_000)
  server.last.terminate()
  await until(async () => {
    clock.advance(100)
    return server.connections.length === 3
  }, 'another connection')
  const later = madeAt + 60_000
  server.last.hello({ serverTime: later, unread: 0, resume: { status: 'resumed', from: to, to, pending: 0, parked: 0 } })
  publish(server, { expiresAt: later + 5000 })
  await until(() => heard('notification').length === 2, 'one that is not expired by the clock of the service')
})

t.test('a notification that expired on its way is not shown, and not counted', async (t) => {
  const { server, client, heard } = await rig(t)
  const late = publish(server, { expiresAt: NOW - 1 })
  server.append({ type: 'retract', eventId: '', id: late.id, reason: 'expired', unread: 0 })
  server.unread = 0
  publish(server)
  await until(() => heard('notification').length === 1, 'the next one')
  t.same(titles({ heard } as Rig), ['number 3'])
  t.equal(heard('toast').length, 1)
  t.equal(client.unread, 1)
})

t.test('loaded items expire as well', async (t) => {
  const { server, clock, inbox } = await rig(t)
  const items = [2, 1].map((n) => ({ ...notificationOf(n), state: 'unread', eventId: server.eventId(n), expiresAt: NOW + n * 1000 }))
  server.rest = () => ({ status: 200, body: { items, unread: 2 } })
  await inbox.load()
  t.equal(inbox.list().length, 2)
  clock.advance(1000)
  t.same(idsOf(inbox.list()), [notificationOf(2).id])
  await inbox.load()
  t.same(idsOf(inbox.list()), [notificationOf(2).id], 'an expired one is not loaded again')
})

t.test('toasts: none for low urgency, and one that changes for a collapse key', async (t) => {
  const { server, heard } = await rig(t)
  for (const urgency of ['very-low', 'low', 'normal', 'high'] as const) publish(server, { urgency })
  publish(server, { collapseKey: 'k' })
  publish(server, { collapseKey: 'k', replaces: notificationOf(5).id }, 0)
  await until(() => heard('toast').length === 4, 'the toasts')
  t.same(
    heard('toast').map(({ tag }) => tag),
    [notificationOf(3).id, notificationOf(4).id, 'k', 'k']
  )
})

t.test('toasts: a replay raises none for what was replaced, retracted or answered in it, or has expired', async (t) => {
  const server = await FakeServer.start(t)
  const row = (n: number, given: Partial<Notification> = {}) =>
    server.log.push({ type: 'notification', eventId: server.eventId(n), notification: { ...notificationOf(n), ...given } })
  row(1, { collapseKey: 'k' })
  row(2, { expiresAt: NOW - 1 })
  row(3)
  row(4)
  server.log.push({
    type: 'answered',
    eventId: server.eventId(5, 'a'),
    id: notificationOf(3).id,
    action: 'a',
    answeredAt: 1,
    deviceId: 'x',
    unread: 1
  })
  server.log.push({ type: 'retract', eventId: server.eventId(6, 'r'), id: notificationOf(4).id, reason: 'recalled', unread: 1 })
  row(7, { collapseKey: 'k' })
  const { heard } = await connected(t, {}, {}, server)
  await until(() => heard('caughtUp').length === 1 && heard('toast').length > 0, 'the end of the replay')
  t.same(
    heard('toast').map(({ notification }) => notification.id),
    [notificationOf(7).id]
  )
})

t.test('a follower has the clock of the leader: notifications expire in every tab', async (t) => {
  const server = await FakeServer.start(t)
  const browser = new FakeBrowser()
  const tabs = [browser.tab(server.url), browser.tab(server.url)]
  t.teardown(() => {
    for (const tab of tabs) tab.crash()
  })
  for (const { client } of tabs) {
    client.connect()
    await until(() => client.state === 'connected', 'connected')
  }
  publish(server, { expiresAt: NOW + 1500 })
  await until(() => tabs.every((tab) => tab.heard('notification').length === 1), 'in each tab')
  await until(() => tabs.every((tab) => tab.heard('retract').length === 1), 'the expiry in each tab')
  for (const { client } of tabs) t.equal(client.unread, 0)
})
