import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Client } from '../../packages/client/src/client.ts'
import { Dedupe } from '../../packages/client/src/dedupe.ts'
import { standardPlatform } from '../../packages/client/src/platform.ts'
import { Memory } from '../../packages/client/src/storage.ts'
import type { BelfryEvents, BelfryOptions, EventName } from '../../packages/client/src/types.ts'
import type { NotificationFrame } from '../../services/protocol/index.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'
import { FakeBrowser, type Tab } from './fake-browser.ts'
import { FakeClock, FakePage, FakeStorage, nodePlatform, tokenOf } from './fake-platform.ts'
import { type FakeConnection, FakeServer, helloFrame, notificationOf, rowOf } from './fake-server.ts'

/** Rows of the largest log: LOG_MAX_ENTRIES at its maximum, and a tenth. */
const LARGEST_LOG = 110_000
/** The number of ids that the SDK remembers, by its README. */
const REMEMBERED = 131_072

interface Rig {
  server: FakeServer
  client: Client
  clock: FakeClock
  storage: FakeStorage
  page: FakePage
  heard<E extends EventName>(event: E): BelfryEvents[E][]
  titles(): string[]
}

async function rig(t: Test, given: { server?: FakeServer; storage?: FakeStorage } & Partial<BelfryOptions> = {}): Promise<Rig> {
  const { server = await FakeServer.start(t), storage = new FakeStorage(), ...options } = given
  const clock = new FakeClock()
  const page = new FakePage()
  const all = { getToken: () => tokenOf('alice'), deviceId: 'd1', storage, leader: false, ...options }
  const client = new Client(server.url, all, nodePlatform(clock, { page, random: () => 0.5 }))
  t.teardown(() => client.disconnect())
  const log: { event: EventName; ctx: unknown }[] = []
  for (const event of ['notification', 'toast', 'caughtUp', 'gap'] as const) client.on(event, (ctx) => void log.push({ event, ctx }))
  const heard = <E extends EventName>(name: E) => log.filter(({ event }) => event === name).map(({ ctx }) => ctx as BelfryEvents[E])
  const titles = () => heard('notification').map(({ notification }) => notification.title)
  return { server, client, clock, storage, page, heard, titles }
}

const named = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, n) => `number ${from + n}`)

/** Replays the whole log under a new epoch, as after the loss of its tail. */
function replayAfresh(connection: FakeConnection, rows: number): void {
  connection.hello({ resume: { ...helloFrame().resume, status: 'gap' }, unread: rows })
  connection.send({ type: 'gap', reason: 'epoch', from: '', to: '', count: 0 })
  for (let n = 1; n <= rows; n++) connection.send({ ...rowOf(n, { replay: true }), eventId: `afresh.${n}` })
  connection.send({ type: 'caughtUp', eventId: `afresh.${rows}`, unread: rows })
}

t.test('the largest log is replayed after a loss: every id is known, also after a reload', async (t) => {
  const storage = new FakeStorage()
  const memory = new Memory(storage, 'x:')
  const dedupe = new Dedupe()
  const sizes: number[] = []
  const setItem = storage.setItem.bind(storage)
  storage.setItem = (key, value) => {
    sizes.push(value.length)
    setItem(key, value)
  }
  const id = (n: number): string => notificationOf(n).id
  const pass = (dedupe: Dedupe, epoch: string, keep = false): Record<string, number> => {
    const counts: Record<string, number> = {}
    for (let n = 1; n <= LARGEST_LOG; n++) {
      const check = dedupe.check(`${epoch}.${n}`, id(n), false)
      counts[check] = (counts[check] ?? 0) + 1
      dedupe.settle(id(n))
      if (keep && n % 20 === 0) dedupe.save(memory)
    }
    return counts
  }
  t.same(pass(dedupe, 'e', true), { new: LARGEST_LOG })
  const written = sizes.reduce((sum, size) => sum + size, 0)
  t.ok(written < 300_000_000, `${written} characters written, in ${sizes.length} times`)
  dedupe.gap()
  t.same(pass(dedupe, 'f'), { shown: LARGEST_LOG })
  const next = new Dedupe()
  next.load(memory)
  t.same(pass(next, 'g'), { shown: LARGEST_LOG })
})

t.test(`${REMEMBERED} ids are remembered; of more, those shown longest ago go`, async (t) => {
  const dedupe = new Dedupe()
  const check = (n: number) => dedupe.check(`e.${n}`, `id${n}`, true)
  for (let n = 1; n <= REMEMBERED; n++) {
    check(n)
    dedupe.settle(`id${n}`)
  }
  dedupe.gap()
  t.equal(dedupe.check('f.1', 'id1', false), 'shown')
  dedupe.settle('id1')
  t.equal(dedupe.check('f.2', 'another', false), 'new')
  dedupe.settle('another')
  t.equal(dedupe.check('f.3', 'id1', false), 'shown', 'it came again last')
  t.equal(dedupe.check('f.4', 'id2', false), 'new')
  t.equal(dedupe.check('f.5', 'id3', false), 'shown')
})

t.test('1,100 rows are replayed after a lost tail: none is shown or toasted twice, before or after a reload', async (t) => {
  const rigged = await rig(t)
  const { server, client, clock, storage, heard, titles } = rigged
  client.connect()
  await client.ready()
  server.publish(1100)
  await until(() => titles().length === 1100, 'all')
  server.greet = (connection) => replayAfresh(connection, 1101)
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(750)
  await until(() => heard('caughtUp').length === 2, 'caughtUp')
  t.same(titles(), named(1, 1101))
  t.equal(heard('toast').length, 1101)
  client.disconnect()

  server.greet = (connection) => replayAfresh(connection, 1102)
  storage.values.delete([...storage.values.keys()].find((key) => key.endsWith(':last')) ?? '')
  const next = await rig(t, { server, storage })
  next.client.connect()
  await until(() => next.heard('caughtUp').length === 1, 'caughtUp')
  t.same(next.titles(), ['number 1102'])
  t.equal(next.heard('toast').length, 1)
})

t.test('the id of a notification whose handler has not finished is not stored: the reloaded page gets it again', async (t) => {
  const { server, client, clock, storage, titles } = await rig(t)
  const frees: (() => void)[] = []
  client.on('notification', () => new Promise<void>((resolve) => frees.push(resolve)))
  client.connect()
  await client.ready()
  server.publish(3)
  await until(() => frees.length === 1, 'the first')
  frees[0]?.()
  await until(() => frees.length === 2, 'the second')
  clock.advance(500)
  await until(() => server.last.of('ack').length === 1, 'the acknowledgement, which keeps the ids')
  const kept = (): unknown[] => [storage.ending(':last'), storage.ending(':shown')]
  t.same(kept(), [server.eventId(1), notificationOf(1).id])

  const crashed = new FakeStorage()
  for (const [key, value] of storage.values) crashed.setItem(key, value)
  const next = await rig(t, { server, storage: crashed })
  next.client.connect()
  await until(() => next.titles().length === 2, 'the second and the third')
  t.same(next.titles(), named(2, 3))
  t.equal(server.last.query.get('last_event_id'), server.eventId(1))

  client.disconnect()
  t.same(kept(), [server.eventId(1), notificationOf(1).id], 'nor when it disconnects')
  client.connect()
  await client.ready()
  frees[1]?.()
  await until(() => storage.ending(':last') === server.eventId(2), 'the second has finished')
  await until(() => frees.length === 3, 'the third')
  frees[2]?.()
  await until(() => storage.ending(':last') === server.eventId(3), 'the third has finished')
  t.same(titles(), named(1, 3), 'in this page each is shown once')
  clock.advance(500)
  await until(() => storage.ending(':shown')?.split(' ').length === 3, 'three')
})

/** Sends a replay of the rows, and `caughtUp` unless `whole` is false. */
function missed(connection: FakeConnection, rows: NotificationFrame[], whole = true): void {
  const to = rows.at(-1)?.eventId ?? ''
  connection.hello({ unread: rows.length, resume: { ...helloFrame().resume, to } })
  for (const row of rows) connection.send({ ...row, replay: true })
  if (whole) connection.send({ type: 'caughtUp', eventId: to, unread: rows.length })
}

const rows = (from: number, to: number): NotificationFrame[] => Array.from({ length: to - from + 1 }, (_, n) => rowOf(from + n))
const idsOf = (from: number, to: number): string[] => rows(from, to).map(({ notification }) => notification.id)

t.test('60 missed notifications are one toast with the newest and a count; three are three toasts; live ones one each', async (t) => {
  for (const [count, toasts] of [
    [60, 1],
    [4, 1],
    [3, 3],
    [1, 1]
  ] as const) {
    const { server, client, heard, titles, storage } = await rig(t)
    const order: string[] = []
    client.on('toast', () => void order.push('toast'))
    client.on('notification', () => void order.push('notification'))
    client.on('caughtUp', () => void order.push('caughtUp'))
    server.greet = (connection) => missed(connection, rows(1, count))
    client.connect()
    await until(() => heard('caughtUp').length === 1, 'caughtUp')
    t.equal(titles().length, count)
    t.equal(heard('toast').length, toasts, `${count}`)
    t.same(heard('toast').at(-1)?.notification, notificationOf(count))
    if (count > 3) t.match(heard('toast')[0], { count, ids: idsOf(1, count), replay: true, leader: true, eventId: server.eventId(count) })
    else t.notOk(heard('toast').some((ctx) => 'count' in ctx || 'ids' in ctx))
    t.same(order.slice(count), [...Array(toasts).fill('toast'), 'caughtUp'])
    server.last.send(...rows(count + 1, count + 5))
    await until(() => titles().length === count + 5, 'five more')
    t.same(
      heard('toast')
        .slice(toasts)
        .map((ctx) => [ctx.notification.title, 'count' in ctx]),
      named(count + 1, count + 5).map((title) => [title, false])
    )
    await until(() => storage.ending(':toasted') === server.eventId(count + 5), 'all are raised')
  }
})

t.test('the count of a toast excludes notifications read elsewhere or shown before', async (t) => {
  const { server, client, heard } = await rig(t)
  server.greet = (connection) => {
    const all = rows(1, 10).map((row, n): NotificationFrame => (n % 2 ? { ...row, state: 'read' } : row))
    missed(connection, [...all, rowOf(11, { notification: notificationOf(1) })])
  }
  client.connect()
  await until(() => heard('caughtUp').length === 1, 'caughtUp')
  t.same(
    heard('toast').map(({ count, ids }) => [count, ids]),
    [[5, [1, 3, 5, 7, 9].map((n) => notificationOf(n).id)]]
  )
})

t.test('a replay that the network interrupts is one toast; a page that is hidden for good raises it before', async (t) => {
  const { server, client, clock, heard, titles, page } = await rig(t)
  server.greet = (connection) => missed(connection, rows(1, 30), false)
  client.connect()
  await until(() => titles().length === 30, 'a half')
  server.greet = (connection) => missed(connection, rows(31, 60), false)
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(750)
  await until(() => titles().length === 60, 'the rest')
  t.same(heard('toast'), [])
  page.fire('pagehide')
  t.match(heard('toast'), [{ count: 60, ids: idsOf(1, 60), notification: notificationOf(60) }])
  server.greet = (connection) => missed(connection, rows(31, 60))
  page.fire('pageshow')
  await until(() => heard('caughtUp').length === 1, 'caughtUp')
  t.equal(heard('toast').length, 1)
})

async function tabsOf(t: Test, count: number): Promise<{ server: FakeServer; tabs: Tab[] }> {
  const server = await FakeServer.start(t)
  const browser = new FakeBrowser()
  const tabs: Tab[] = []
  t.teardown(() => {
    for (const tab of tabs) tab.crash()
  })
  for (let n = 0; n < count; n++) {
    const tab = browser.tab(server.url)
    tabs.push(tab)
    tab.client.connect()
    await until(() => tab.client.state === 'connected', 'connected')
  }
  return { server, tabs }
}

const toasts = (tabs: Tab[]): unknown[] => tabs.flatMap((tab, n) => tab.heard('toast').map(({ count, ids }) => [n, count, ids]))

t.test('many missed notifications are one toast for all tabs: in the visible one, or in another if that closes before', async (t) => {
  for (const crash of [false, true]) {
    const { server, tabs } = await tabsOf(t, 3)
    const [leader, , visible] = tabs as [Tab, Tab, Tab]
    visible.page.show(true)
    await until(() => leader.client.leader, 'the first leads')
    await new Promise(setImmediate)
    if (crash) for (const channel of visible.channels) channel.onmessage = () => {}
    for (const row of rows(1, 60)) server.last.send({ ...row, replay: true })
    server.last.send({ type: 'caughtUp', eventId: server.eventId(60), unread: 60 })
    await until(() => leader.heard('caughtUp').length === 2, 'caughtUp')
    if (crash) visible.crash()
    await until(() => toasts(tabs).length === 1, 'the toast')
    await new Promise(setImmediate)
    t.same(toasts(tabs), [[crash ? 0 : 2, 60, idsOf(1, 60)]])
  }
})

t.test('a leader crashes during a replay: the next one raises one toast for all of it', async (t) => {
  const { server, tabs } = await tabsOf(t, 3)
  const [leader, next, other] = tabs as [Tab, Tab, Tab]
  for (const row of rows(1, 30)) server.last.send({ ...row, replay: true })
  await until(() => [next, other].every((tab) => tab.heard('notification').length === 30), 'a half')
  server.greet = (connection) => missed(connection, rows(31, 60))
  leader.crash()
  await until(() => next.client.leader && next.heard('caughtUp').length > 0, 'the takeover')
  await until(() => toasts(tabs).length >= 2, 'toasts')
  await new Promise(setImmediate)
  t.same(
    toasts(tabs).sort((a, b) => String(a).localeCompare(String(b))),
    [
      [1, 30, idsOf(1, 30)],
      [1, 30, idsOf(31, 60)]
    ],
    'what the lost tab was to raise, and what was missed since'
  )
})

t.test('acknowledges at half of the unacknowledged rows that the service allows', async (t) => {
  for (const [maxUnacked, every] of [
    [100, 20],
    [30, 15],
    [10, 5],
    [3, 2],
    [1, 1]
  ] as const) {
    const { server, client, titles } = await rig(t)
    server.greet = (connection) => connection.hello({ limits: { maxFrameBytes: 10_240, maxUnacked } })
    client.connect()
    await client.ready()
    server.publish(every * 3 - 1)
    server.last.send({ type: 'ping', time: 1 })
    await until(() => titles().length === every * 3 - 1 && server.last.of('pong').length === 1, 'all')
    await until(() => server.last.of('ack').length >= 2, 'two')
    t.same(
      server.last.of('ack').map(({ eventId }) => eventId),
      (every === 1 ? [1, 2] : [every, 2 * every]).map((n) => server.eventId(n)),
      `${maxUnacked}`
    )
  }
})

t.test('200 rows through a window of 10 need no timer', async (t) => {
  const { server, client, titles } = await rig(t)
  let sent = 0
  const send = (upTo: number): void => {
    for (; sent < Math.min(upTo, 200); sent++) server.last.send(rowOf(sent + 1))
  }
  server.greet = (connection) => connection.hello({ limits: { maxFrameBytes: 10_240, maxUnacked: 10 } })
  server.answer = (_connection, frame) => {
    if (frame.type === 'ack') send(Number(frame.eventId.split('.')[1]) + 10)
  }
  client.connect()
  await client.ready()
  send(10)
  await until(() => titles().length === 200, 'all, though the clock stands still')
  t.same(titles(), named(1, 200))
})

t.test('Redis loses the tail of a log of 1,100 rows: the log is replayed, and nothing is shown twice', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const service = await startService(t, { RATE_LIMIT_MAX: '0', REDIS_URL: redis.url })
  const publish = async (from: number, to: number): Promise<void> => {
    const notifications = named(from, to).map((title) => ({ to: 'alice', type: 'a', title }))
    for (let n = 0; n < notifications.length; n += 500) {
      await call(service, 'POST', '/v1/notifications/batch', { notifications: notifications.slice(n, n + 500) })
    }
  }
  const client = new Client(service.url, { getToken: () => userToken('alice'), deviceId: 'd1', WebSocket }, standardPlatform())
  t.teardown(() => client.disconnect())
  const titles: string[] = []
  const gaps: string[] = []
  let replayed = 0
  client.on('notification', ({ notification }) => void titles.push(notification.title))
  client.on('gap', ({ reason }) => void gaps.push(reason))
  client.on('caughtUp', () => void replayed++)
  client.connect()
  await client.ready()
  await publish(1, 1090)
  await redis.admin().save()
  await publish(1091, 1100)
  await until(() => titles.length === 1100, '1,100')
  await redis.kill()
  await redis.run()
  await until(async () => (await call(service, 'GET', '/health/ready')).status === 200, 'the service is ready')
  await publish(1101, 1101)
  await until(() => titles.includes('number 1101'), 'one more')
  t.same(titles, named(1, 1101))
  t.ok(gaps.length > 0 && replayed > 1, `it came again: ${gaps}, ${replayed}`)
})

t.test('200 rows from a service with MAX_UNACKED of 10 need no timer either', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0', MAX_UNACKED: '10' })
  const notifications = Array.from({ length: 200 }, (_, n) => ({ to: 'alice', type: 'a', title: `number ${n + 1}` }))
  await call(service, 'POST', '/v1/notifications/batch', { notifications })
  const clock = new FakeClock()
  const options = { getToken: () => userToken('alice'), deviceId: 'd1' }
  const client = new Client(service.url, options, nodePlatform(clock))
  t.teardown(() => client.disconnect())
  const titles: string[] = []
  client.on('notification', ({ notification }) => void titles.push(notification.title))
  client.connect()
  await until(() => titles.length === 200, 'all, though the clock stands still')
  t.same(titles, named(1, 200))
})
