import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Client } from '../../packages/client/src/client.ts'
import { Inbox } from '../../packages/client/src/inbox.ts'
import { standardPlatform } from '../../packages/client/src/platform.ts'
import type { FetchLike } from '../../packages/client/src/types.ts'
import type { ClientFrame, State } from '../../services/protocol/index.ts'
import { TcpProxy } from '../fixtures/tcp-proxy.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'
import { FakeBrowser } from './fake-browser.ts'
import { FakeClock, nodePlatform, tokenOf } from './fake-platform.ts'
import { type FakeConnection, FakeServer, notificationOf } from './fake-server.ts'

interface Rig {
  server: FakeServer
  client: Client
  clock: FakeClock
  inbox: Inbox
  states(): State[]
  /** Answers the nth mark, from 1, with an error. */
  fail(n: number): void
}

/** A client with two unread notifications. The server answers no marks by itself. */
async function rig(t: Test): Promise<Rig> {
  const server = await FakeServer.start(t)
  server.publish(2)
  server.answer = () => {}
  const clock = new FakeClock()
  const client = new Client(server.url, { getToken: () => tokenOf('alice'), deviceId: 'd1' }, nodePlatform(clock, { random: () => 0.5 }))
  t.teardown(() => client.disconnect())
  const inbox = new Inbox(client)
  client.connect()
  await until(() => inbox.list().length === 2, 'two')
  const states = () => inbox.list().map(({ state }) => state)
  const fail = (n: number): void => {
    const ref = server.last.of('mark')[n - 1]?.ref ?? 0
    server.last.send({ type: 'error', ref, code: 'BELFRY_ERR_X', message: 'no', temporary: false })
  }
  return { server, client, clock, inbox, states, fail }
}

const first = notificationOf(1).id
const second = notificationOf(2).id
const failed = { code: 'BELFRY_ERR_X' }

const marksAt = (server: FakeServer, count: number) => until(() => server.last.of('mark').length === count, `${count} marks`)

t.test('two marks of one notification fail, in any order: the state of the service is shown', async (t) => {
  for (const order of [
    [1, 2],
    [2, 1]
  ]) {
    const { server, inbox, states, fail } = await rig(t)
    const marks = [t.rejects(inbox.mark(first, 'read'), failed), t.rejects(inbox.mark(first, 'archived'), failed)]
    t.same([states(), inbox.unread], [['unread', 'archived'], 1])
    await marksAt(server, 2)
    fail(order[0] as number)
    await marks[(order[0] as number) - 1]
    t.same([states(), inbox.unread], [['unread', order[0] === 1 ? 'archived' : 'read'], 1], 'the wish that is left')
    fail(order[1] as number)
    await Promise.all(marks)
    t.same([states(), inbox.unread], [['unread', 'unread'], 2])
  }
})

t.test('one of two marks of one notification fails: the other stays', async (t) => {
  const { server, inbox, states, fail } = await rig(t)
  const read = inbox.mark(first, 'read')
  const archived = t.rejects(inbox.mark([first, second], 'archived'), failed)
  await marksAt(server, 2)
  server.last.send({ type: 'ok', ref: server.last.of('mark')[0]?.ref ?? 0, unread: 1 })
  await read
  t.same([states(), inbox.unread], [['archived', 'archived'], 0])
  fail(2)
  await archived
  t.same([states(), inbox.unread], [['unread', 'read'], 1])
})

t.test('the mark of another device stays when an earlier mark fails or is replaced', async (t) => {
  const { server, inbox, states, fail } = await rig(t)
  const one = t.rejects(inbox.mark(first, 'read'), failed)
  const two = t.rejects(inbox.mark(first, 'archived'), failed)
  await marksAt(server, 2)
  server.append({ type: 'state', eventId: '', ids: [first], state: 'seen', unread: 2 })
  fail(1)
  fail(2)
  await Promise.all([one, two])
  t.same([states(), inbox.unread], [['unread', 'seen'], 2])

  const late = inbox.mark(second, 'archived')
  await marksAt(server, 3)
  server.append({ type: 'state', eventId: '', ids: [second], state: 'read', unread: 1 })
  server.last.send({ type: 'ok', ref: server.last.of('mark')[2]?.ref ?? 0, unread: 1 })
  await late
  t.same([states(), inbox.unread], [['read', 'seen'], 1], 'the service carried it out before the other mark, or never')
})

t.test('a mark has its age when it is sent late or again, and no age when it is sent at once', async (t) => {
  const { server, client, clock } = await rig(t)
  const again = client.mark(first)
  await marksAt(server, 1)
  t.same(server.last.of('mark'), [{ type: 'mark', ref: 1, ids: [first], state: 'read' }])
  clock.advance(3000)
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  const late = client.mark({ upTo: server.eventId(2) }, 'seen')
  server.answer = (connection: FakeConnection, frame: ClientFrame) => server.carryOut(connection, frame)
  clock.advance(500)
  await Promise.all([again, late])
  t.same(server.last.of('mark'), [
    { type: 'mark', ref: 1, ids: [first], state: 'read', ageMs: 3500 },
    { type: 'mark', ref: 2, upTo: server.eventId(2), state: 'seen', ageMs: 500 }
  ])
})

t.test("a follower's mark that the next leader sends again keeps its age", async (t) => {
  const server = await FakeServer.start(t)
  const browser = new FakeBrowser()
  const tabs = [1, 2].map(() => browser.tab(server.url))
  t.teardown(() => {
    for (const tab of tabs) tab.crash()
  })
  for (const { client } of tabs) {
    client.connect()
    await until(() => client.state === 'connected', 'connected')
  }
  server.answer = () => {}
  const at = performance.now()
  const marked = tabs[1]?.client.mark('x')
  await marksAt(server, 1)
  t.notOk('ageMs' in (server.last.of('mark')[0] ?? {}))
  server.answer = (connection, frame) => server.carryOut(connection, frame)
  tabs[0]?.crash()
  await marked
  const [{ ageMs = -1 } = {}] = server.last.of('mark')
  t.ok(ageMs >= 0 && ageMs <= Math.ceil(performance.now() - at) + 1, `${ageMs}`)
})

t.test('a mark whose answer was lost does not undo a later mark of another device', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const proxy = await TcpProxy.start(Number(new URL(service.url).port))
  t.teardown(() => proxy.stop())
  const options = { getToken: () => userToken('alice'), deviceId: 'phone', WebSocket }
  const phone = new Client(`http://127.0.0.1:${proxy.port}`, options, standardPlatform())
  t.teardown(() => phone.disconnect())
  phone.connect()
  await phone.ready()
  for (const heard of [true, false]) {
    const { id } = (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'one' })).body
    const stateOf = async () => (await call(service, 'GET', `/v1/users/alice/notifications/${id}`)).body.state
    // The mark reaches the service and its answer is lost, or the mark is lost as well.
    for (const passage of proxy.passages()) passage.blackHole(...(heard ? (['down'] as const) : (['up', 'down'] as const)))
    const madeAt = Date.now()
    const marked = phone.mark(id, 'read')
    if (heard) await until(async () => (await stateOf()) === 'read', 'the mark')
    // The age of a mark is without the way to the service: the other mark must be later by more than that.
    await until(() => Date.now() > madeAt + 500, 'a later time')
    const path = '/v1/me/notifications/mark'
    await call(service, 'POST', path, { ids: [id], state: 'archived' }, { token: userToken('alice') })
    for (const passage of proxy.passages()) {
      passage.heal()
      passage.cut()
    }
    await marked
    t.equal(await stateOf(), 'archived')
  }
})

t.test('a mark by REST, beside an event stream, has its age as well', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const proxy = await TcpProxy.start(Number(new URL(service.url).port))
  t.teardown(() => proxy.stop())
  class Nowhere extends WebSocket {
    constructor(_url: string, protocols: string[]) {
      super('ws://127.0.0.1:1/', protocols)
    }
  }
  const bodies: { state: State; ageMs?: number }[] = []
  const failOnce: FetchLike = async (url, init) => {
    if (init.method === 'POST') bodies.push(JSON.parse(String(init.body)))
    if (init.method === 'POST' && bodies.length === 1) throw new TypeError('the network is down')
    return fetch(url, init)
  }
  const options = { getToken: () => userToken('alice'), deviceId: 'phone', WebSocket: Nowhere, fetch: failOnce }
  const phone = new Client(`http://127.0.0.1:${proxy.port}`, options, standardPlatform())
  t.teardown(() => phone.disconnect())
  phone.connect()
  await phone.ready()
  const { id } = (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'one' })).body
  const marked = phone.mark(id, 'archived')
  await until(() => bodies.length === 1, 'the first try')
  for (const passage of proxy.passages()) passage.cut()
  await marked
  t.match(bodies, [
    { state: 'archived', ageMs: undefined },
    { state: 'archived', ageMs: Number }
  ])
  t.equal((await call(service, 'GET', `/v1/users/alice/notifications/${id}`)).body.state, 'archived')
})

t.test('a mark in the tick in which all tabs disconnect, or in which the user changes, is made', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const publish = async (): Promise<string> =>
    (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'one' })).body.id
  const stateOf = async (id: string) => (await call(service, 'GET', `/v1/users/alice/notifications/${id}`)).body.state
  const browser = new FakeBrowser()
  let user = 'alice'
  const getToken = () => userToken(user)
  const [leader, follower] = [browser.tab(service.url, { getToken }), browser.tab(service.url, { getToken })]
  t.teardown(() => {
    for (const tab of [leader, follower]) tab.crash()
  })
  for (const { client } of [leader, follower]) {
    client.connect()
    await client.ready()
  }
  const [one, two, three] = [await publish(), await publish(), await publish()]
  t.equal(follower.client.leader, false)
  const marks = [follower.client.mark(one), leader.client.mark(two)]
  for (const { client } of [leader, follower]) client.disconnect()
  await Promise.all(marks)
  t.same([await stateOf(one), await stateOf(two)], ['read', 'read'])

  // Without a connection the mark waits. Another user's token comes first.
  leader.client.connect()
  const waiting = leader.client.mark(three, 'archived')
  await until(() => leader.client.user === 'alice', 'the user')
  user = 'bob'
  await leader.client.token(true)
  await waiting
  t.equal(leader.client.user, 'bob')
  t.equal(await stateOf(three), 'archived')
})

t.test('a mark with only whose answer was lost resolves with what it changed', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const proxy = await TcpProxy.start(Number(new URL(service.url).port))
  t.teardown(() => proxy.stop())
  const options = { getToken: () => userToken('alice'), deviceId: 'phone', WebSocket }
  const phone = new Client(`http://127.0.0.1:${proxy.port}`, options, standardPlatform())
  t.teardown(() => phone.disconnect())
  const notifications = Array.from({ length: 130 }, (_, n) => ({ to: 'alice', type: 'a', title: `${n}` }))
  const { results } = (await call(service, 'POST', '/v1/notifications/batch', { notifications })).body
  const read = results.slice(0, 120).map(({ id }: { id: string }) => id)
  for (const ids of [read.slice(0, 60), read.slice(60)])
    await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids, state: 'read' })
  const inbox = new Inbox(phone)
  phone.connect()
  await until(() => inbox.list().length === 130, 'the rows')
  const upTo = inbox.list()[0]?.eventId ?? ''
  for (const passage of proxy.passages()) passage.blackHole('down')
  const archiving = inbox.mark({ upTo }, 'archived', { only: 'read' })
  const count = async () => (await call(service, 'GET', '/v1/users/alice/notifications?state=archived&count=true')).body.count
  await until(async () => (await count()) === 120, 'the mark')
  for (const passage of proxy.passages()) {
    passage.heal()
    passage.cut()
  }
  t.same((await archiving).toSorted(), read.toSorted())
  inbox.close()
})

t.test('an inbox of some types marks all of these types as read, loaded or not, and no other', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const options = { getToken: () => userToken('alice'), deviceId: 'phone', WebSocket }
  const phone = new Client(service.url, options, standardPlatform())
  t.teardown(() => phone.disconnect())
  const notifications = Array.from({ length: 230 }, (_, n) => ({ to: 'alice', type: n % 10 === 0 ? 'mail' : 'sync.done', title: `${n}` }))
  await call(service, 'POST', '/v1/notifications/batch', { notifications })
  const inbox = new Inbox(phone, { states: ['unread', 'read'], types: ['sync.*'] })
  phone.connect()
  await phone.ready()
  await inbox.load()
  await inbox.markAllRead()
  const unread = async (type: string) =>
    (await call(service, 'GET', `/v1/users/alice/notifications?state=unread,seen&type=${type}&count=true`)).body.count
  t.same([await unread('sync.*'), await unread('mail')], [0, 23])
  t.ok(inbox.list().every(({ state }) => state === 'read'))
  inbox.close()
})
