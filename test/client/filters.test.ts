import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Client } from '../../packages/client/src/client.ts'
import type { Tracked } from '../../packages/client/src/expiries.ts'
import { Inbox, type InboxItem, type InboxOptions } from '../../packages/client/src/inbox.ts'
import { KnownItems } from '../../packages/client/src/inbox-items.ts'
import { standardPlatform } from '../../packages/client/src/platform.ts'
import type { BelfryOptions } from '../../packages/client/src/types.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'
import { FakeInbox } from './fake-inbox.ts'
import { FakeClock, nodePlatform, tokenOf } from './fake-platform.ts'
import { FakeServer, helloFrame, notificationOf } from './fake-server.ts'

interface Rig {
  server: FakeServer
  /** The inbox of the service. */
  stored: FakeInbox
  client: Client
  clock: FakeClock
  /** Returns an inbox that has loaded its first page. */
  open(options?: InboxOptions): Promise<Inbox>
}

/** A connected client, after `prepare` filled the inbox of the service. */
async function rig(t: Test, prepare: (stored: FakeInbox) => void = () => {}, options: Partial<BelfryOptions> = {}): Promise<Rig> {
  const server = await FakeServer.start(t)
  const stored = new FakeInbox(server)
  prepare(stored)
  const clock = new FakeClock()
  const storage = { getItem: (key: string) => (key.endsWith(':last') ? (server.log.at(-1)?.eventId ?? null) : null), setItem: () => {} }
  const all = { getToken: () => tokenOf('alice'), deviceId: 'd1', storage, ...options }
  const client = new Client(server.url, all, nodePlatform(clock, { random: () => 0.5 }))
  t.teardown(() => client.disconnect())
  let caughtUp = false
  client.on('caughtUp', () => {
    caughtUp = true
  })
  client.connect()
  await until(() => caughtUp, 'caughtUp')
  const open = async (filter: InboxOptions = {}): Promise<Inbox> => {
    const inbox = new Inbox(client, filter)
    await inbox.load()
    return inbox
  }
  return { server, stored, client, clock, open }
}

const numbers = (inbox: Inbox): number[] => inbox.list().map(({ title }) => Number(title.slice('number '.length)))
const addOld = (stored: FakeInbox, count: number): void => {
  for (let n = 0; n < count; n++) stored.addOld()
}

t.test('the counts of the service: unread, unseen, and that of the filter', async (t) => {
  const { stored, client, open } = await rig(t, (inbox) => {
    for (const state of ['unread', 'seen', 'read', 'archived', 'unread'] as const) inbox.addOld({ state })
  })
  t.same([client.unread, client.unseen], [3, 2])
  const inbox = await open({ states: ['unread'] })
  t.same(numbers(inbox), [5, 2, 1], 'unread includes seen')
  t.same([inbox.unread, inbox.unseen, inbox.count], [3, 2, 3])
  const first = stored.items[0]?.id as string
  stored.mark([first], 'seen')
  await until(() => client.unseen === 1, 'the mark')
  t.same([client.unread, inbox.unread, inbox.unseen, inbox.count], [3, 3, 1, 3])
  const marking = inbox.mark(first, 'read')
  t.same([inbox.unread, inbox.unseen, inbox.count, client.unread], [2, 1, 2, 3], 'a pending mark counts as done')
  t.same(await marking, [first])
  await until(() => client.unread === 2, 'the state')
  t.same([inbox.unread, inbox.unseen, inbox.count], [2, 1, 2])
})

t.test('a live unread notification counts as unseen, and its expiry takes it off both counts', async (t) => {
  const { stored, client, clock } = await rig(t)
  const { serverTime } = helloFrame()
  const other = stored.publish({ expiresAt: serverTime + 1000 })
  stored.publish({ expiresAt: serverTime + 2000, collapseKey: 'k' })
  await until(() => client.unread === 2, 'two')
  t.equal(client.unseen, 2)
  stored.mark([other.id], 'seen')
  await until(() => client.unseen === 1, 'seen')
  const replaces = stored.items[1]?.id as string
  stored.publish({ expiresAt: serverTime + 2000, collapseKey: 'k', replaces })
  await until(() => client.lastEventId === stored.items.at(-1)?.eventId, 'the replacement')
  t.same([client.unread, client.unseen], [2, 1])
  clock.advance(1000)
  t.same([client.unread, client.unseen], [1, 1], 'a seen one expired')
  clock.advance(1000)
  t.same([client.unread, client.unseen], [0, 0])
})

t.test('types: exact ones and prefixes, live and loaded; more() follows the cursor of the filter', async (t) => {
  const { server, stored, open } = await rig(t, (inbox) => {
    for (let n = 1; n <= 120; n++) inbox.addOld({ type: n % 2 ? 'sync.done' : 'mail' })
  })
  const inbox = await open({ types: ['sync.*', 'deploy'] })
  t.match(server.requests[0]?.url, 'type=sync.*%2Cdeploy')
  t.same([inbox.list().length, inbox.count, inbox.hasMore], [50, 60, true])
  for (const type of ['sync.failed', 'deploy', 'deploy.done', 'mail', 'sync']) stored.publish({ type })
  await until(() => inbox.unread === 125, 'five')
  t.same([numbers(inbox).slice(0, 3), inbox.count], [[122, 121, 119], 62])
  await inbox.more()
  t.same([inbox.list().length, inbox.count, inbox.hasMore], [62, 62, false])
  t.ok(inbox.list().every(({ type }) => /^sync\.|^deploy$/.test(type)))
})

t.test('a mark moves a row out of the filter and, when it is undone, back to its place', async (t) => {
  const { stored, open } = await rig(t, (inbox) => addOld(inbox, 4))
  const inbox = await open({ states: ['unread'] })
  const [, , second] = inbox.list()
  const ids = await inbox.mark([second?.id as string, 'unknown'], 'archived')
  t.same([ids, numbers(inbox), inbox.count], [[second?.id], [4, 3, 1], 3])
  const undo = inbox.mark(ids, 'unread')
  t.same([numbers(inbox), inbox.count], [[4, 3, 2, 1], 4], 'shown at once')
  await undo
  t.same(stored.counts.unread, 4)
})

t.test('several inboxes of one client: a row that one archives enters the others by their filters, in order', async (t) => {
  const { server, stored, open } = await rig(t, (inbox) => {
    for (let n = 1; n <= 5; n++) inbox.addOld({ state: n % 2 ? 'unread' : 'archived' })
  })
  const all = await open()
  const unread = await open({ states: ['unread', 'seen'] })
  const archived = await open({ states: ['archived'] })
  t.same([all, unread, archived].map(numbers), [
    [5, 4, 3, 2, 1],
    [5, 3, 1],
    [4, 2]
  ])
  const requests = server.requests.length
  await all.mark(stored.items[2]?.id as string, 'archived')
  await until(() => archived.list().length === 3, 'the row enters')
  t.same([all, unread, archived].map(numbers), [
    [5, 4, 3, 2, 1],
    [5, 1],
    [4, 3, 2]
  ])
  t.same(
    [all, unread, archived].map(({ count }) => count),
    [5, 2, 3]
  )
  t.equal(server.requests.length, requests + 1, 'only the inbox that did not know the row asks')
  stored.publish()
  await until(() => unread.list().length === 3, 'a new one')
  await unread.mark(stored.items.at(-1)?.id as string, 'archived')
  await until(() => archived.list().length === 4, 'it enters')
  t.same(
    numbers(archived),
    [8, 4, 3, 2].map((n) => (n === 8 ? numbers(all)[0] : n))
  )
  t.equal(server.requests.length, requests + 1, 'a row that arrived here is known')
})

t.test('the count stays exact when a row that is not loaded changes, and the loaded pages stay', async (t) => {
  const { server, stored, open } = await rig(t, (inbox) => addOld(inbox, 130))
  const inbox = await open({ states: ['unread'] })
  await inbox.more()
  t.same([inbox.list().length, inbox.count, inbox.hasMore], [100, 130, true])
  stored.mark(
    stored.items.slice(0, 7).map(({ id }) => id),
    'read'
  )
  await until(() => inbox.count === 123, 'the count')
  t.same([inbox.list().length, inbox.hasMore, server.requests.length], [100, true, 3])
  stored.recall(stored.items[10]?.id as string)
  await until(() => inbox.count === 122, 'the recall')
  await inbox.more()
  t.same([inbox.list().length, inbox.count, inbox.hasMore], [122, 122, false])
  const requests = server.requests.length
  stored.mark([stored.items[0]?.id as string], 'archived')
  stored.recall(stored.items[1]?.id as string)
  stored.publish()
  await until(() => inbox.count === 123, 'the new one')
  t.equal(server.requests.length, requests, 'an inbox that has all of the filter asks nothing')
})

t.test('load() takes the number of notifications that are wanted', async (t) => {
  const { stored, open } = await rig(t, (inbox) => addOld(inbox, 130))
  const inbox = await open()
  await inbox.more()
  stored.items.splice(0, 40)
  await inbox.load(inbox.list().length)
  t.same([inbox.list().length, inbox.count, inbox.hasMore], [90, 90, false])
  await inbox.load()
  t.same([inbox.list().length, inbox.count, inbox.hasMore], [50, 90, true])
})

t.test('many changes during one request are one more request', async (t) => {
  const { server, stored, client, open } = await rig(t, (inbox) => addOld(inbox, 60))
  const inbox = await open({ states: ['unread'] })
  const { rest } = server
  let release = (): void => {}
  server.rest = (url) => new Promise((resolve) => (release = () => resolve(rest(url))))
  const requests = server.requests.length
  for (const { id } of stored.items.slice(0, 5)) stored.mark([id], 'read')
  await until(() => client.unread === 55 && server.requests.length === requests + 1, 'the first request')
  server.rest = rest
  release()
  await until(() => inbox.count === 55 && server.requests.length === requests + 2, 'the second')
  t.equal(inbox.list().length, 50)
})

t.test('a reload that fails is tried again with the next connection', async (t) => {
  const { server, stored, client, clock, open } = await rig(t, (inbox) => addOld(inbox, 60))
  const inbox = await open({ states: ['unread'] })
  const { rest } = server
  server.rest = () => ({ status: 503, body: {} })
  stored.mark([stored.items[0]?.id as string], 'read')
  await until(() => server.requests.length === 2, 'a reload that fails')
  t.equal(inbox.count, 60)
  server.rest = rest
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(750)
  await until(() => inbox.count === 59, 'the count')
})

t.test('a reload that fails is tried again over the same connection, but not by a closed inbox', async (t) => {
  const { server, stored, clock, open } = await rig(t, (inbox) => addOld(inbox, 60))
  const [inbox, closed] = [await open({ states: ['unread'] }), await open({ states: ['unread'] })]
  const { rest } = server
  const waits = () => clock.waits.filter((ms) => ms === 10_000).length
  const before = waits()
  server.rest = () => ({ status: 500, body: {} })
  stored.mark([stored.items[0]?.id as string], 'read')
  await until(() => server.requests.length === 4, 'two reloads that fail')
  await until(() => waits() === before + 2, 'the pauses')
  closed.close()
  server.rest = rest
  clock.advance(10_000)
  await until(() => inbox.count === 59, 'the count')
  t.equal(server.requests.length, 5)
})

t.test('archive all read: only what is read changes, and the ids undo it exactly', async (t) => {
  const states = ['read', 'seen', 'read', 'archived', 'read', 'unread'] as const
  const { server, stored, client, open } = await rig(t, (inbox) => {
    for (const state of states) inbox.addOld({ state })
  })
  const inbox = await open()
  const upTo = stored.items[4]?.eventId as string
  const archiving = inbox.mark({ upTo }, 'archived', { only: 'read' })
  const shown = () => inbox.list().map(({ state }) => state)
  t.same(shown(), ['unread', 'archived', 'archived', 'archived', 'seen', 'archived'])
  const ids = await archiving
  t.same(server.last.of('mark')[0], { type: 'mark', ref: 1, state: 'archived', upTo, only: 'read' })
  const read = [0, 2, 4].map((index) => stored.items[index]?.id)
  t.same(ids, read)
  t.same(await inbox.mark(ids, 'read'), [...ids].reverse(), 'those that this inbox knows, in its order')
  t.same(shown(), [...states].reverse())
  t.same([client.unread, client.unseen], [2, 1])

  server.answer = (connection) =>
    connection.send({ type: 'error', ref: server.last.of('mark').at(-1)?.ref ?? 0, code: 'BELFRY_ERR_X', message: 'no', temporary: false })
  const failing = inbox.mark({ upTo }, 'archived', { only: 'read' })
  t.same(shown(), ['unread', 'archived', 'archived', 'archived', 'seen', 'archived'])
  await t.rejects(failing, { code: 'BELFRY_ERR_X' })
  t.same(shown(), [...states].reverse(), 'taken back')
})

t.test('the answer to a mark does not undo counts of rows that came before it', async (t) => {
  const { server, stored, client, open } = await rig(t, (inbox) => addOld(inbox, 3))
  const inbox = await open()
  const { answer } = server
  server.answer = (connection, frame) => {
    if (frame.type !== 'mark') return
    stored.mark(frame.ids ?? [], 'read')
    const { counts } = stored
    stored.publish()
    setTimeout(() => connection.send({ type: 'ok', ref: frame.ref ?? 0, ...counts }), 50)
  }
  await inbox.mark(stored.items[0]?.id as string)
  server.answer = answer
  t.same([inbox.unread, inbox.unseen], [3, 3])
  t.same([client.unread, client.unseen], [3, 3])
})

t.test('a mark that waited for a connection does not undo what another device did since', async (t) => {
  const { server, stored, client, clock, open } = await rig(t, (inbox) => addOld(inbox, 2))
  const [one, two] = stored.items as [Tracked, Tracked]
  const inbox = await open()
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  const marking = inbox.mark([one.id, two.id], 'seen')
  // A replay names the last state of a notification, and `seen` does not change one that is read.
  server.greet = (connection) => {
    connection.hello({ ...stored.counts })
    connection.send({ type: 'notification', eventId: server.eventId(3), replay: true, notification: one, state: 'read' })
  }
  clock.advance(750)
  await marking
  t.same(
    inbox.list().map(({ id, state }) => [id, state]),
    [
      [one.id, 'read'],
      [two.id, 'seen']
    ]
  )
})

t.test('only names the notifications that this inbox does not know, too', async (t) => {
  const { stored, open } = await rig(t, (inbox) => {
    for (let n = 0; n < 80; n++) inbox.addOld({ state: n < 10 ? 'read' : 'unread' })
  })
  const inbox = await open({ states: ['unread'] })
  const ids = await inbox.mark({ upTo: stored.items[79]?.eventId as string }, 'archived', { only: 'read' })
  t.equal(ids.length, 10)
  await inbox.mark(ids, 'read')
  t.same(stored.items.filter(({ state }) => state === 'read').length, 10)
})

t.test('many ids are sent in several frames, none of them too large', async (t) => {
  const { server, client } = await rig(t)
  const ids = Array.from({ length: 250 }, (_, n) => String(n).padStart(64, '0'))
  await client.mark(ids, 'read')
  t.same(
    server.last.of('mark').map((frame) => frame.ids?.length),
    [100, 100, 50]
  )
  t.ok(server.last.of('mark').every((frame) => JSON.stringify(frame).length < helloFrame().limits.maxFrameBytes))
})

t.test('a mark of no ids sends nothing, so that an undo of nothing works', async (t) => {
  const { server, open } = await rig(t, (inbox) => addOld(inbox, 2))
  const inbox = await open()
  const ids = await inbox.mark({ upTo: server.eventId(2) }, 'archived', { only: 'read' })
  t.same(ids, [])
  t.same(await inbox.mark(ids, 'read'), [])
  t.equal(server.last.of('mark').length, 1)
})

t.test('seen() gathers its calls into one mark of what is unread', async (t) => {
  const { server, stored, clock, open } = await rig(t, (inbox) => {
    for (let n = 0; n < 6; n++) inbox.addOld({ state: n < 4 ? 'unread' : 'read' })
  })
  const inbox = await open()
  const ids = stored.items.map(({ id }) => id)
  inbox.seen(ids.slice(0, 2))
  inbox.seen(ids.slice(1, 3))
  inbox.seen(ids.slice(4))
  clock.advance(299)
  t.equal(server.last.of('mark').length, 0)
  clock.advance(1)
  t.equal(inbox.unseen, 1, 'shown at once')
  await until(() => stored.counts.unseen === 1, 'the mark')
  t.match(server.last.of('mark'), [{ ids: [ids[1], ids[0], ids[2]], state: 'seen' }])
  inbox.seen(ids.slice(0, 3))
  clock.advance(300)
  inbox.seen(ids)
  clock.advance(300)
  await until(() => stored.counts.unseen === 0, 'the last')
  t.match(server.last.of('mark')[1], { ids: [ids[3]], state: 'seen' })
  t.equal(server.last.of('mark').length, 2)
})

t.test('a mark after seen() is the last one, also one as unread', async (t) => {
  const { server, clock, open } = await rig(t, (inbox) => addOld(inbox, 2))
  const inbox = await open()
  const [first = '', second = ''] = inbox.list().map(({ id }) => id)
  inbox.seen([first, second])
  await inbox.mark(first, 'read')
  await inbox.mark(first, 'unread')
  clock.advance(300)
  await until(() => server.last.of('mark').length === 3, 'what was seen')
  t.match(server.last.of('mark')[2], { ids: [second], state: 'seen' })
  t.same(
    inbox.list().map(({ state }) => state),
    ['unread', 'seen']
  )
})

t.test('markAllRead empties an inbox of unread ones at once, loaded or not, and puts it back if that fails', async (t) => {
  const { server, open } = await rig(t, (inbox) => addOld(inbox, 60))
  const inbox = await open({ states: ['unread'] })
  server.answer = () => {}
  const marking = inbox.markAllRead()
  t.same([inbox.list().length, inbox.count, inbox.unread, inbox.unseen], [0, 0, 0, 0])
  await until(() => server.last.of('mark').length === 1, 'the mark')
  server.last.send({ type: 'error', ref: server.last.of('mark')[0]?.ref ?? 0, code: 'BELFRY_ERR_X', message: 'no', temporary: true })
  await t.rejects(marking, { code: 'BELFRY_ERR_X' })
  t.same([inbox.list().length, inbox.count, inbox.unread, inbox.unseen], [50, 60, 60, 60])
})

t.test('a replay that reaches below the loaded pages does not count twice', async (t) => {
  const { server, stored, client, open } = await rig(t, (inbox) => addOld(inbox, 60))
  const inbox = await open()
  t.same([inbox.list().length, inbox.count], [50, 60])
  server.last.send({ type: 'gap', reason: 'lost', from: server.eventId(1), to: server.eventId(2), count: 2 })
  await until(() => server.requests.length === 2, 'the reload')
  await until(() => inbox.list().length === 50, 'its page')
  const { id, eventId, title, type, timestamp } = stored.items[3] as (typeof stored.items)[0]
  server.last.send({ type: 'notification', eventId, replay: true, notification: { id, title, type, timestamp } })
  await until(() => inbox.list().length === 51, 'the old one')
  t.equal(inbox.count, 60)
  await inbox.more()
  t.same([inbox.list().length, inbox.count], [60, 60])
  t.equal(client.unread, 60)
})

t.test('another user: the counts and the pages of the filter are theirs', async (t) => {
  let user = 'alice'
  const { server, client, clock, stored, open } = await rig(t, (inbox) => addOld(inbox, 3), { getToken: () => tokenOf(user) })
  const inbox = await open({ states: ['unread'] })
  t.equal(inbox.count, 3)
  inbox.seen(inbox.list().map(({ id }) => id))
  client.disconnect()
  user = 'bob'
  stored.items = stored.items.slice(0, 1)
  client.connect()
  await until(() => client.user === 'bob', 'the user')
  t.same([inbox.list(), inbox.count, inbox.hasMore], [[], undefined, true])
  await inbox.load()
  t.same([numbers(inbox), inbox.count], [[1], 1])
  clock.advance(300)
  await client.mark('other')
  t.match(server.last.of('mark'), [{ ids: ['other'] }], 'what the last user saw is not marked')
})

t.test('with a service, over a WebSocket and over an event stream: filters, counts, marks with only and their undo', async (t) => {
  class Nowhere extends WebSocket {
    constructor(_url: string, protocols: string[]) {
      super('ws://127.0.0.1:1/', protocols)
    }
  }
  for (const Socket of [WebSocket, Nowhere]) {
    const service = await startService(t, { RATE_LIMIT_MAX: '0' })
    const publish = async (type: string): Promise<string> =>
      (await call(service, 'POST', '/v1/notifications', { to: 'alice', type, title: type })).body.id
    const old = [await publish('sync.done'), await publish('mail'), await publish('sync.failed')] as const
    const options = { getToken: () => userToken('alice'), deviceId: 'phone', WebSocket: Socket }
    const client = new Client(service.url, options, standardPlatform())
    t.teardown(() => client.disconnect())
    client.connect()
    await client.ready()
    await until(() => client.unseen === 3, 'the count')
    const syncs = new Inbox(client, { types: ['sync.*'] })
    const unread = new Inbox(client, { states: ['unread', 'seen'] })
    const archived = new Inbox(client, { states: ['archived'] })
    await Promise.all([syncs.load(), unread.load(), archived.load()])
    t.same([syncs.count, unread.count, archived.count], [2, 3, 0])
    syncs.seen([old[0]])
    await until(() => client.unseen === 2, 'seen')
    t.equal(client.unread, 3)
    const last = await publish('sync.done')
    await until(() => syncs.count === 3, 'the new one')
    await unread.mark([old[1], old[2]])
    await until(() => client.unread === 2, 'the mark')
    const ids = await syncs.mark({ upTo: client.lastEventId }, 'archived', { only: 'read' })
    t.same([...ids].sort(), [old[1], old[2]].sort())
    await until(() => archived.count === 2, 'the archive')
    t.same(
      archived.list().map(({ id }) => id),
      [old[2], old[1]]
    )
    t.same(
      syncs.list().map(({ state }) => state),
      ['unread', 'archived', 'seen']
    )
    await archived.mark(ids, 'read')
    await until(() => unread.count === 2 && archived.count === 0, 'the undo')
    t.same(
      syncs.list().map(({ id }) => id),
      [last, old[2], old[0]]
    )
    t.same([client.unread, client.unseen, unread.unseen], [2, 1, 1])
    const page = await call(service, 'GET', '/v1/me/notifications?state=read&count=true', undefined, { token: userToken('alice') })
    t.match(page.body, { unread: 2, unseen: 1, count: 2 })
  }
})

t.test('a replay of 10,000 rows into a list makes few lists, and compares each row with a few others', async (t) => {
  const ROWS = 10_000
  const { server, stored, client, open } = await rig(t)
  stored.publish()
  const inbox = await open({ states: ['unread'] })
  await until(() => inbox.list().length === 1, 'the first row')
  client.disconnect()
  for (let n = 2; n <= ROWS; n++) server.append({ type: 'notification', eventId: '', notification: notificationOf(n) })
  const named = { unread: ROWS, unseen: ROWS }
  Object.defineProperty(stored, 'counts', { value: named })
  let told = 0
  inbox.on('change', () => void told++)
  let isOver = false
  client.on('caughtUp', () => {
    isOver = true
  })
  client.connect()
  await until(() => isOver, 'the end of the replay', 60_000)
  const list = inbox.list()
  t.same([list.length, list[0]?.title, list.at(-1)?.title], [ROWS, `number ${ROWS}`, 'number 1'])
  t.same([inbox.unread, inbox.unseen, inbox.count], [ROWS, ROWS, ROWS])
  t.ok(told < 10, `${told} lists`)

  let reads = 0
  const known = new KnownItems()
  const item = (n: number): InboxItem => ({
    ...notificationOf(n),
    state: 'unread',
    get eventId() {
      reads++
      return server.eventId(n)
    }
  })
  // The newest page first, then a replay of the older rows, then changes and removals.
  for (let n = ROWS; n > ROWS - 50; n--) known.add(item(n), true)
  for (let n = 1; n <= ROWS - 50; n++) known.add(item(n), false)
  t.same(
    known.list().map(({ id }) => id),
    Array.from({ length: ROWS }, (_, n) => notificationOf(ROWS - n).id)
  )
  for (let n = 1; n <= ROWS; n++) known.change([notificationOf(n).id], { state: 'read' })
  for (let n = 1; n < ROWS; n++) known.remove([notificationOf(n).id])
  t.strictSame(
    known.list().map(({ id, state }) => [id, state]),
    [[notificationOf(ROWS).id, 'read']]
  )
  t.ok(reads < ROWS * 60, `${reads / ROWS} reads of an event id a row`)
})
