import t, { type Test } from 'tap'
import { Client } from '../../packages/client/src/client.ts'
import { Inbox, type InboxItem } from '../../packages/client/src/inbox.ts'
import type { BelfryOptions, FetchLike } from '../../packages/client/src/types.ts'
import type { State } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { FakeClock, nodePlatform, tokenOf } from './fake-platform.ts'
import { FakeServer, notificationOf, rowOf } from './fake-server.ts'

interface Rig {
  server: FakeServer
  client: Client
  clock: FakeClock
  inbox: Inbox
  changes: { items: readonly InboxItem[]; unread: number }[]
}

/** A service with `count` notifications in its inbox, pages of `limit`, and a client that is not connected. */
async function rig(t: Test, count: number, limit = 3, options: Partial<BelfryOptions> = {}): Promise<Rig> {
  const server = await FakeServer.start(t)
  server.publish(count)
  server.rest = (url) => {
    const before = Number(url.searchParams.get('cursor') ?? server.log.length + 1)
    const items = server.log.slice(Math.max(0, before - 1 - limit), before - 1).reverse()
    const nextCursor = before - 1 > limit ? String(before - limit) : null
    return {
      status: 200,
      body: { items: items.map((row) => itemOf(Number(row.eventId.split('.')[1]))), nextCursor, unread: server.unread }
    }
  }
  const clock = new FakeClock()
  const client = new Client(server.url, { getToken: () => tokenOf('alice'), deviceId: 'd1', ...options }, nodePlatform(clock))
  t.teardown(() => client.disconnect())
  const inbox = new Inbox(client)
  const changes: Rig['changes'] = []
  inbox.on('change', (ctx) => void changes.push(ctx))
  return { server, client, clock, inbox, changes }
}

async function connected(t: Test, count: number, limit?: number): Promise<Rig> {
  const rigged = await rig(t, count, limit)
  let caughtUp = false
  rigged.client.on('caughtUp', () => {
    caughtUp = true
  })
  rigged.client.connect()
  await until(() => caughtUp, 'caughtUp')
  return rigged
}

function itemOf(n: number, state: State = 'unread'): InboxItem {
  return { ...notificationOf(n), state, eventId: rowOf(n).eventId }
}

const numbers = (inbox: Inbox): number[] => inbox.list().map(({ title }) => Number(title.slice('number '.length)))
const statesOf = (inbox: Inbox): State[] => inbox.list().map(({ state }) => state)

t.test('loads pages by REST, with the token and a cursor', async (t) => {
  const { server, inbox, changes } = await rig(t, 7)
  t.ok(inbox.hasMore)
  t.same(inbox.list(), [])
  await inbox.load()
  t.strictSame(inbox.list(), [itemOf(7), itemOf(6), itemOf(5)])
  t.equal(inbox.unread, 7)
  t.same(changes.at(-1), { items: inbox.list(), unread: 7 })
  await Promise.all([inbox.more(), inbox.more()])
  t.same(numbers(inbox), [7, 6, 5, 4, 3, 2])
  await inbox.more()
  t.notOk(inbox.hasMore)
  await inbox.more()
  t.same(numbers(inbox), [7, 6, 5, 4, 3, 2, 1])
  t.same(
    server.requests.map(({ url }) => url),
    ['/v1/me/notifications?limit=50&count=true', '/v1/me/notifications?limit=50&cursor=5', '/v1/me/notifications?limit=50&cursor=2']
  )
  t.equal(server.requests[0]?.authorization, `Bearer ${tokenOf('alice')}`)
})

t.test('a token that REST refuses is replaced once; problem answers become errors', async (t) => {
  let asked = 0
  const { server, inbox, client } = await rig(t, 1, 3, { getToken: () => tokenOf('alice', { no: ++asked }) })
  const rest = server.rest
  let refusals = 1
  const unauthorized = { status: 401, body: { code: 'BELFRY_ERR_TOKEN_EXPIRED', detail: 'The token has expired' } }
  server.rest = (url) => (refusals-- > 0 ? unauthorized : rest(url))
  await inbox.load()
  t.equal(asked, 2)
  refusals = 2
  await t.rejects(inbox.load(), {
    name: 'BelfryError',
    code: 'BELFRY_ERR_TOKEN_EXPIRED',
    message: 'The token has expired',
    temporary: false
  })
  server.rest = () => ({ status: 503, body: 'no problem details' })
  await t.rejects(inbox.load(), { code: 'BELFRY_CLIENT_HTTP', message: 'the service answered 503', temporary: true })
  t.same(numbers(inbox), [1], 'what was loaded stays')
  const bare = new Client(client.url, { getToken: () => 'x' }, nodePlatform(new FakeClock(), { fetch: undefined }))
  await t.rejects(new Inbox(bare).load(), { code: 'BELFRY_CLIENT_HTTP', temporary: false })
})

t.test('live: notifications, states, retractions and digests', async (t) => {
  const { server, inbox, changes } = await connected(t, 3)
  t.same(numbers(inbox), [3, 2, 1], 'what was replayed is there without a load')
  await inbox.load()
  t.same(numbers(inbox), [3, 2, 1])
  server.publish(2)
  await until(() => inbox.list().length === 5, 'five')
  t.same(numbers(inbox), [5, 4, 3, 2, 1])
  t.equal(inbox.unread, 5)
  const before = inbox.list()
  server.append({ type: 'state', eventId: '', ids: [notificationOf(4).id], state: 'archived', unread: 4 })
  server.append({ type: 'retract', eventId: '', id: notificationOf(2).id, reason: 'recalled', unread: 3 })
  server.append({ type: 'digest', eventId: '', count: 1, ids: [notificationOf(1).id], unread: 2 })
  await until(() => inbox.list().length === 3, 'three')
  t.same(numbers(inbox), [5, 4, 3])
  t.same(statesOf(inbox), ['unread', 'archived', 'unread'])
  t.equal(inbox.unread, 2)
  t.same(changes.at(-1), { items: inbox.list(), unread: 2 })
  t.equal(before.length, 5, 'a list once handed out does not change')
  inbox.close()
  const seen = changes.length
  server.publish()
  await until(() => server.last.closed === undefined && server.log.length === 9, 'another')
  t.equal(changes.length, seen)
})

t.test('changes during a load win over the loaded page', async (t) => {
  const { server, inbox } = await connected(t, 0)
  const stale = [itemOf(3), itemOf(2), itemOf(1)]
  let reply = (): void => {}
  server.rest = () => new Promise((resolve) => (reply = () => resolve({ status: 200, body: { items: stale, unread: 9 } })))
  const loading = inbox.load()
  await until(() => server.requests.length === 1, 'the request')
  server.publish(3)
  server.append({ type: 'state', eventId: '', ids: [notificationOf(2).id], state: 'read', unread: 2 })
  server.append({ type: 'retract', eventId: '', id: notificationOf(1).id, reason: 'recalled', unread: 1 })
  server.publish(1)
  await until(() => inbox.list()[0]?.title === 'number 6', 'all of it')
  reply()
  await loading
  t.same(numbers(inbox), [6, 3, 2])
  t.same(statesOf(inbox), ['unread', 'unread', 'read'])
  t.equal(inbox.unread, 2, 'the count of the connection is fresher')
  t.notOk(inbox.hasMore)
})

t.test('a gap reloads the first page; rows of another epoch go to the top', async (t) => {
  const { server, inbox } = await connected(t, 3)
  await inbox.load()
  t.equal(server.requests.length, 1)
  server.log.length = 2
  server.last.send({ type: 'gap', reason: 'lost', from: server.eventId(3), to: server.eventId(3), count: 1 })
  await until(() => inbox.list().length === 2, 'the third is removed')
  t.equal(server.requests.length, 2)
  server.last.send({ ...rowOf(9), eventId: 'newer.1.00000009' })
  await until(() => inbox.list().length === 3, 'the newer')
  t.same(numbers(inbox), [9, 2, 1])
})

t.test('a gap during a load reloads after it; a reload that fails is tried again with the next connection', async (t) => {
  const { server, inbox, client, clock } = await connected(t, 7)
  await inbox.load()
  const { rest } = server
  const replies: (() => void)[] = []
  server.rest = (url) => new Promise((resolve) => replies.push(() => resolve(rest(url))))
  const asked = (n: number): string | undefined =>
    server.requests[n - 1]?.url.replace('/v1/me/notifications?limit=50', '').replace('&count=true', '')
  const more = inbox.more()
  await until(() => replies.length === 1, 'the page')
  server.last.send({ type: 'gap', reason: 'lost', from: server.eventId(1), to: server.eventId(2), count: 2 }, { type: 'ping', time: 1 })
  await until(() => server.last.of('pong').length === 1, 'the gap')
  t.equal(asked(2), '&cursor=5')
  t.equal(server.requests.length, 2)
  replies[0]?.()
  await more
  await until(() => replies.length === 2, 'the load')
  t.equal(asked(3), '')

  server.rest = () => ({ status: 503, body: {} })
  replies[1]?.()
  await until(() => numbers(inbox).length === 3, 'the first page')
  server.last.send({ type: 'gap', reason: 'lost', from: server.eventId(3), to: server.eventId(3), count: 1 })
  await until(() => server.requests.length === 4, 'a load that fails')
  server.rest = rest
  server.log.length = 2
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(750)
  await until(() => numbers(inbox).length === 2, 'what is there')
  t.equal(server.requests.length, 5)
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  clock.advance(1250)
  await until(() => client.state === 'connected', 'the next')
  t.equal(server.requests.length, 5, 'what is up to date is not loaded again')
})

t.test('a request that the network lost, or whose body does not end, fails after 30 s, and the next one works', async (t) => {
  const never = new Promise<never>(() => {})
  const lost = async () => ({ ok: true, status: 200, json: () => never }) as unknown as Response
  for (const stuck of [() => never, lost]) {
    let isStuck = true
    const fetch = ((...args: Parameters<typeof globalThis.fetch>) => (isStuck ? stuck() : globalThis.fetch(...args))) as FetchLike
    const { inbox, clock } = await rig(t, 3, 3, { fetch })
    const loading = inbox.load()
    const next = inbox.load()
    const failed = t.rejects(loading, { message: 'request did not settle in 30 s' })
    await until(() => clock.waits.includes(30_000), 'the deadline')
    isStuck = false
    clock.advance(30_000)
    await failed
    await next
    t.same(numbers(inbox), [3, 2, 1])
    t.same(clock.waits, [], 'no timer is left')
  }
})

t.test('a mark is shown at once and stays', async (t) => {
  const { server, inbox, client } = await connected(t, 4, 10)
  await inbox.load()
  const marking = inbox.mark(notificationOf(3).id)
  t.same(statesOf(inbox), ['unread', 'read', 'unread', 'unread'])
  t.equal(inbox.unread, 3)
  t.equal(client.unread, 4, 'the service does not know yet')
  await marking
  await until(() => client.unread === 3, 'the state')
  t.same([statesOf(inbox), inbox.unread], [['unread', 'read', 'unread', 'unread'], 3])
  await inbox.mark([notificationOf(1).id, notificationOf(3).id], 'archived')
  t.same(statesOf(inbox), ['unread', 'archived', 'unread', 'archived'])
  server.answer = () => {}
  inbox.mark([notificationOf(1).id, notificationOf(2).id, 'unknown'], 'seen').catch(() => {})
  t.same(statesOf(inbox), ['unread', 'archived', 'seen', 'archived'], 'seen is less than archived')
  inbox.mark({ upTo: server.eventId(2) }, 'read').catch(() => {})
  t.same(statesOf(inbox), ['unread', 'archived', 'read', 'archived'])
  inbox.mark({ upTo: server.eventId(4) }, 'unread').catch(() => {})
  t.same(statesOf(inbox), ['unread', 'archived', 'unread', 'archived'], 'archived ones stay')
})

t.test('a mark that fails is taken back', async (t) => {
  const { server, inbox, changes } = await connected(t, 3)
  await inbox.load()
  await inbox.mark(notificationOf(1).id, 'seen')
  await until(() => statesOf(inbox).includes('seen'), 'seen')
  const unread = inbox.unread
  const before = statesOf(inbox)
  server.answer = (connection, frame) => {
    if (frame.type !== 'mark') return
    connection.send({ type: 'error', ref: frame.ref ?? 0, code: 'BELFRY_ERR_STORE_UNAVAILABLE', message: 'away', temporary: true })
  }
  const marking = inbox.markAllRead()
  t.same(statesOf(inbox), ['read', 'read', 'read'])
  t.equal(inbox.unread, 0)
  await t.rejects(marking, { code: 'BELFRY_ERR_STORE_UNAVAILABLE' })
  t.same(statesOf(inbox), before)
  t.equal(inbox.unread, unread)
  t.same(changes.at(-1), { items: inbox.list(), unread })

  server.answer = () => {}
  const half = inbox.mark([notificationOf(2).id, notificationOf(3).id])
  const rejected = t.rejects(half, { code: 'BELFRY_ERR_X' })
  await until(() => server.last.of('mark').length === 3, 'the mark')
  server.append({ type: 'state', eventId: '', ids: [notificationOf(2).id], state: 'read', unread: 2 })
  server.last.send({ type: 'error', ref: server.last.of('mark')[2]?.ref ?? 0, code: 'BELFRY_ERR_X', message: 'no', temporary: false })
  await rejected
  await until(() => inbox.unread === 2, 'the state')
  t.same(statesOf(inbox), ['unread', 'read', 'seen'], 'what another device did is not')
})

t.test('markAllRead marks every notification, loaded or not', async (t) => {
  const { server, inbox, client } = await connected(t, 0)
  await inbox.markAllRead()
  t.equal(server.last.of('mark').length, 0, 'there is nothing')
  server.publish(2)
  await until(() => inbox.list().length === 2, 'two')
  await inbox.markAllRead()
  await until(() => client.unread === 0, 'none unread')
  t.match(server.last.of('mark'), [{ upTo: server.eventId(2), state: 'read' }])
  t.same(statesOf(inbox), ['read', 'read'])
  server.append({ type: 'digest', eventId: '', count: 7, ids: [], unread: 7 })
  await until(() => inbox.unread === 7, 'seven that are not loaded')
  server.answer = () => {}
  inbox.markAllRead().catch(() => {})
  t.equal(inbox.unread, 0)
  server.append({ type: 'state', eventId: '', ids: [], state: 'read', unread: 2 })
  await until(() => client.unread === 2, 'the state')
  t.equal(inbox.unread, 2, 'the word of the service')
})

t.test('without a load the newest thousand are kept', async (t) => {
  const { inbox } = await connected(t, 1010)
  t.equal(inbox.list().length, 1000)
  t.equal(numbers(inbox)[0], 1010)
  t.equal(inbox.unread, 1010)
})
