import t, { type Test } from 'tap'
import { Client } from '../../packages/client/src/client.ts'
import { Feed } from '../../packages/client/src/feed.ts'
import { Inbox } from '../../packages/client/src/inbox.ts'
import type { BelfryEvents, BelfryOptions, EventName } from '../../packages/client/src/types.ts'
import { formatEventId, type NotificationFrame } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { FakeBrowser, type Tab } from './fake-browser.ts'
import { FakeClock, FakePage, FakeStorage, nodePlatform, tokenOf } from './fake-platform.ts'
import { type FakeConnection, FakeServer, helloFrame } from './fake-server.ts'

/** A row of the user's own log: `<user>` is the epoch, and part of the title. */
function rowOf(user: string, n: number): NotificationFrame {
  const id = `${user}${String(n).padStart(8, '0')}`
  const notification = { id, type: 'test', title: `${user} ${n}`, timestamp: n }
  return { type: 'notification', eventId: formatEventId({ epoch: user, offset: n, id8: '' }), notification }
}

const userOf = (token: string): string => {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sub
  } catch {
    return token.split('-')[0] ?? ''
  }
}

interface Rig {
  server: FakeServer
  client: Client
  clock: FakeClock
  storage: FakeStorage
  page: FakePage
  /** The reasons of the calls of `getToken`. */
  asked: string[]
  log: { event: string; ctx: unknown }[]
  /** The session of the app: tokens are those of its user. */
  session: { user: string; token(user: string): string | Promise<string> }
  heard<E extends EventName>(event: E): BelfryEvents[E][]
  titles(): string[]
}

/** A service where each user has `count` notifications, and a client whose token is that of `session.user`. */
async function rig(
  t: Test,
  { count = 3, tokenLifeMs = 3600_000, ...options }: Partial<BelfryOptions> & { count?: number; tokenLifeMs?: number } = {}
): Promise<Rig> {
  const server = await FakeServer.start(t)
  const clock = new FakeClock()
  server.greet = (connection: FakeConnection): void => {
    const user = userOf(connection.token)
    const to = rowOf(user, count).eventId
    const resume = { ...helloFrame().resume, to }
    connection.hello({ user, unread: count, unseen: 1, resume, tokenExpiresAt: clock.now + tokenLifeMs })
    const last = connection.query.get('last_event_id') ?? ''
    const from = last.startsWith(`${user}.`) ? Number(last.split('.')[1]) : 0
    for (let n = from + 1; n <= count; n++) connection.send({ ...rowOf(user, n), replay: true })
    connection.send({ type: 'caughtUp', eventId: to, unread: count, unseen: 1 })
  }
  const storage = new FakeStorage()
  const page = new FakePage()
  const asked: string[] = []
  const session: Rig['session'] = { user: 'alice', token: (user) => tokenOf(user) }
  const getToken: BelfryOptions['getToken'] = ({ reason }) => {
    asked.push(reason)
    return session.token(session.user)
  }
  const client = new Client(
    server.url,
    { getToken, deviceId: 'd1', storage, leader: false, ...options },
    nodePlatform(clock, { page, random: () => 0.5 })
  )
  t.teardown(() => client.disconnect())
  const log: Rig['log'] = []
  const names: EventName[] = ['state', 'user', 'unread', 'notification', 'toast', 'caughtUp', 'error', 'terminal']
  for (const event of names) client.on(event, (ctx) => void log.push({ event, ctx }))
  const heard = <E extends EventName>(name: E) => log.filter(({ event }) => event === name).map(({ ctx }) => ctx as BelfryEvents[E])
  const titles = () => heard('notification').map(({ notification }) => notification.title)
  return { server, client, clock, storage, page, asked, log, session, heard, titles }
}

async function connected(t: Test, options: Parameters<typeof rig>[1] = {}): Promise<Rig> {
  const rigged = await rig(t, options)
  rigged.client.connect()
  await until(() => rigged.heard('caughtUp').length === 1, 'caughtUp')
  return rigged
}

const ofUser = (user: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${user} ${n + 1}`)

t.test('disconnect() drops the token: the next user gets only their own notifications', async (t) => {
  const { server, client, asked, session, heard, titles, log, storage } = await connected(t)
  const inbox = new Inbox(client)
  t.equal(client.user, 'alice')
  client.disconnect()
  await until(() => server.open.length === 0, 'the socket closes')
  session.user = 'bob'
  log.length = 0
  client.connect()
  await until(() => heard('caughtUp').length === 1, 'caughtUp')
  t.same(asked, ['connect', 'connect'])
  t.same(heard('user'), [{ user: 'bob', previous: 'alice' }])
  const counts = [
    { unread: 0, unseen: 0 },
    { unread: 3, unseen: 1 }
  ]
  t.same(heard('unread'), counts)
  t.same(titles(), ofUser('bob', 3))
  t.same(
    heard('toast').map(({ notification }) => notification.title),
    ofUser('bob', 3)
  )
  t.same(
    inbox.list().map(({ title }) => title),
    ofUser('bob', 3).reverse()
  )
  t.equal(server.last.token, tokenOf('bob'))
  t.equal(server.last.query.get('last_event_id'), null, 'a place in the log of the other user is of no use')
  t.equal(server.open.length, 1)
  t.equal(client.user, 'bob')

  client.disconnect()
  session.user = 'alice'
  client.connect()
  await until(() => server.last.token === tokenOf('alice') && client.state === 'connected', 'the first again')
  t.equal(server.last.query.get('last_event_id'), 'alice.3', 'from her last position')
  t.ok([...storage.values.keys()].some((key) => key.endsWith(':bob:d1:last')))
})

t.test('a token that arrives after disconnect() is not used', async (t) => {
  const { server, client, session, heard, titles } = await rig(t)
  const gates: (() => void)[] = []
  session.token = (user) => new Promise((resolve) => gates.push(() => resolve(tokenOf(user))))
  client.connect()
  await until(() => gates.length === 1, 'the first')
  client.disconnect()
  session.user = 'bob'
  client.connect()
  const token = client.token()
  await until(() => gates.length === 2, 'the second')
  gates[0]?.()
  await new Promise(setImmediate)
  t.equal(server.connections.length, 0)
  gates[1]?.()
  await until(() => heard('caughtUp').length === 1, 'caughtUp')
  t.equal(await token, tokenOf('bob'))
  t.same(titles(), ofUser('bob', 3))
  t.same(heard('user'), [], 'the first was never known')
  t.equal(server.connections.length, 1)
})

t.test('a refresh that returns the token of another user drops everything of the first in one turn, then reconnects', async (t) => {
  const { server, client, clock, session, heard, titles, log } = await connected(t, { tokenLifeMs: 12_000 })
  const inbox = new Inbox(client)
  const feed = new Feed(client)
  server.answer = () => {}
  server.last.send(rowOf('alice', 4))
  await until(() => inbox.list().length === 1 && feed.snapshot.items.length === 1, 'a row')
  server.rest = () => ({ status: 200, body: { unread: 3, unseen: 1 } })
  const pending = inbox.mark('alice00000004')
  t.equal(inbox.unread, 3)
  await until(() => server.last.of('mark').length === 1, 'the mark')
  const turns: unknown[] = []
  client.on('user', () => {
    turns.push([
      inbox.list(),
      inbox.unread,
      feed.snapshot.items,
      feed.snapshot.unread,
      client.unread,
      client.lastEventId,
      feed.snapshot.hasMore
    ])
  })
  log.length = 0
  session.user = 'bob'
  clock.advance(9600)
  await until(() => heard('caughtUp').length === 1, 'caughtUp')
  t.same(await pending, ['alice00000004'])
  t.same(
    server.requests.map(({ url, authorization = '' }) => [url, userOf(authorization.slice('Bearer '.length))]),
    [['/v1/me/notifications/mark', 'alice']],
    "the first one's mark is made by REST, with their token"
  )
  t.same(turns, [[[], 0, [], 0, 0, '', true]])
  t.same(
    log.slice(0, 5).map(({ event, ctx }) => (event === 'state' ? (ctx as { state: string }).state : ctx)),
    [{ user: 'bob', previous: 'alice' }, { unread: 0, unseen: 0 }, 'connecting', { unread: 3, unseen: 1 }, 'connected']
  )
  t.same(titles(), ofUser('bob', 3))
  t.same(
    inbox.list().map(({ title }) => title),
    ofUser('bob', 3).reverse()
  )
  t.equal(inbox.unread, 3)
  t.equal(server.connections.length, 2)
  t.same(server.connections[0]?.of('refresh'), [], "the other user's token is not given to the first one's connection")
  t.same(server.last.of('mark'), [], "nor is the first one's mark sent as the other")
})

t.test('a token fetched for REST changes the user as well; the page in progress is not shown', async (t) => {
  const { server, client, session, heard, titles } = await connected(t)
  const inbox = new Inbox(client)
  const items = (user: string) =>
    [1, 2, 3].map((n) => ({ ...rowOf(user, n).notification, state: 'unread', eventId: rowOf(user, n).eventId }))
  const replies: (() => void)[] = []
  server.rest = () => {
    const user = userOf(String(server.requests.at(-1)?.authorization).slice('Bearer '.length))
    return new Promise((resolve) => replies.push(() => resolve({ status: 200, body: { items: items(user), nextCursor: null, unread: 3 } })))
  }
  const loading = inbox.load()
  await until(() => replies.length === 1, 'a request as the first')
  session.user = 'bob'
  t.equal(await client.token(true), tokenOf('bob'))
  t.same([client.user, inbox.list(), client.state], ['bob', [], 'connecting'])
  replies[0]?.()
  await until(() => replies.length === 2, 'a request as the other')
  t.same(
    inbox.list().filter(({ title }) => title.startsWith('alice')),
    []
  )
  replies[1]?.()
  await loading
  await until(() => heard('caughtUp').length === 2, 'caughtUp')
  t.same(
    inbox.list().map(({ title }) => title),
    ofUser('bob', 3).reverse()
  )
  t.same(titles(), [...ofUser('alice', 3), ...ofUser('bob', 3)])
})

t.test('a handler of the first user that finishes late does not move the position of the other', async (t) => {
  const { server, client, session, heard, storage, titles } = await rig(t)
  let free = (): void => {}
  client.on('notification', ({ notification }) => {
    if (notification.title === 'alice 1') return new Promise<void>((resolve) => (free = resolve))
    return undefined
  })
  client.connect()
  await until(() => titles().length === 1, 'the first')
  session.user = 'bob'
  await client.token(true)
  await until(() => heard('caughtUp').length === 1, "the other's rows do not wait for it")
  t.same(titles(), ['alice 1', ...ofUser('bob', 3)])
  const kept = () => [...storage.values].filter(([key]) => key.includes(':alice:') || key.includes(':bob:'))
  await until(() => storage.ending(':bob:d1:last') === 'bob.3', 'the place')
  client.disconnect()
  const before = kept()
  free()
  for (let i = 0; i < 5; i++) await new Promise(setImmediate)
  t.same(kept(), before)
  t.same(
    server.last.of('ack').map(({ eventId }) => eventId),
    ['bob.3']
  )
})

t.test('a page that comes back from the back/forward cache, or was frozen, asks who is signed in before it connects', async (t) => {
  for (const [hide, show] of [
    ['pagehide', 'pageshow'],
    ['freeze', 'resume']
  ] as const) {
    const { server, client, page, session, asked, heard, titles } = await connected(t)
    const inbox = new Inbox(client)
    server.last.send(rowOf('alice', 4))
    await until(() => inbox.list().length === 1, 'a row')
    page.fire(hide)
    await until(() => server.open.length === 0, 'the socket closes')
    session.user = 'bob'
    page.fire(show)
    await until(() => heard('caughtUp').length === 2, 'caughtUp')
    t.same(asked, ['connect', 'connect'])
    t.same(heard('user'), [{ user: 'bob', previous: 'alice' }])
    t.same(
      server.connections.map(({ token }) => userOf(token)),
      ['alice', 'bob'],
      'no connection as the first'
    )
    t.same(titles(), [...ofUser('alice', 4), ...ofUser('bob', 3)])
    t.same(
      inbox.list().map(({ title }) => title),
      ofUser('bob', 3).reverse()
    )
  }
})

t.test('the user of a token is read as UTF-8', async (t) => {
  for (const user of ['José', 'Жанна', '用户', '😀', '\u0000%41\u00ff']) {
    const { client, session } = await rig(t)
    session.token = () => tokenOf(user)
    await client.token()
    t.equal(client.user, user)
  }
})

t.test('opaque tokens: the service names another user before any row', async (t) => {
  const { server, client, session, heard, titles } = await rig(t)
  session.token = (user) => `${user}-opaque`
  client.connect()
  await until(() => heard('caughtUp').length === 1, 'caughtUp')
  client.disconnect()
  session.user = 'bob'
  client.connect()
  await until(() => heard('caughtUp').length === 2, 'caughtUp')
  t.same(heard('user'), [{ user: 'bob', previous: 'alice' }])
  t.same(titles(), [...ofUser('alice', 3), ...ofUser('bob', 3)])
  t.equal(server.connections.length, 3)
  t.equal(server.last.query.get('last_event_id'), null)
  t.equal(server.open.length, 1)
})

t.test('forget() empties everything and leaves nothing of the user in the storage', async (t) => {
  for (const removable of [true, false]) {
    const { client, heard, storage, server, session } = await connected(t)
    const inbox = new Inbox(client)
    server.last.send(rowOf('alice', 4))
    await until(() => inbox.list().length === 1, 'a row')
    if (!removable) Object.assign(storage, { removeItem: undefined })
    const keys = () => [...storage.values].filter(([key, value]) => key.includes('alice') && (removable || value !== ''))
    client.disconnect()
    t.not(keys().length, 0)
    client.connect()
    await client.ready()
    client.forget()
    t.same([client.state, client.user, client.unread, client.lastEventId, inbox.list(), inbox.unread], ['disconnected', '', 0, '', [], 0])
    t.same(heard('user'), [{ user: '', previous: 'alice' }])
    t.same(keys(), [])
    await new Promise(setImmediate)
    t.same(keys(), [], 'nor does a handler bring it back')
    session.user = 'bob'
    client.connect()
    await client.ready()
    t.equal(client.user, 'bob')
    t.equal(heard('user').length, 1)
  }
})

t.test('two users whose ids have colons share neither storage nor tabs', async (t) => {
  const server = await FakeServer.start(t)
  const browser = new FakeBrowser()
  const users = ['a:b', 'a']
  const tabs = ['c', 'b:c'].map((deviceId, n) => browser.tab(server.url, { deviceId, getToken: () => tokenOf(users[n] as string) }))
  t.teardown(() => {
    for (const tab of tabs) tab.crash()
  })
  for (const { client } of tabs) client.connect()
  await until(() => tabs.every(({ client }) => client.state === 'connected'), 'both')
  server.publish()
  await until(() => tabs.every((tab) => tab.heard('notification').length === 1), 'a row each')
  t.equal([...browser.storage.values.keys()].filter((key) => key.endsWith(':last')).length, 2)
  t.equal(browser.channels.size, 2)
})

t.test('two tabs of two users: each has its own connection, position, channel and locks, also after one changes users', async (t) => {
  const server = await FakeServer.start(t)
  const browser = new FakeBrowser()
  const session = ['alice', 'bob', 'alice']
  const open = (n: number): Tab => browser.tab(server.url, { getToken: () => tokenOf(session[n] as string) })
  const tabs = session.map((_, n) => open(n))
  const [first, other, follower] = tabs as [Tab, Tab, Tab]
  t.teardown(() => {
    for (const tab of tabs) tab.crash()
  })
  const send = (user: string, n: number): void => {
    for (const connection of server.open) if (userOf(connection.token) === user) connection.send(rowOf(user, n))
  }
  const titles = (tab: Tab): string[] => tab.heard('notification').map(({ notification }) => notification.title)
  server.greet = (connection) => connection.hello({ user: userOf(connection.token) })
  for (const { client } of tabs) {
    client.connect()
    await until(() => client.state === 'connected', 'connected')
  }
  t.same(
    tabs.map(({ client }) => [client.user, client.leader]),
    [
      ['alice', true],
      ['bob', true],
      ['alice', false]
    ]
  )
  t.equal(server.open.length, 2)
  send('alice', 1)
  send('bob', 1)
  await until(() => tabs.every((tab) => titles(tab).length === 1), 'a row each')
  t.same(tabs.map(titles), [['alice 1'], ['bob 1'], ['alice 1']])
  for (const user of ['alice', 'bob']) t.equal(browser.storage.ending(`:${user}:d1:last`), `${user}.1`)

  session[0] = 'bob'
  await first.client.token(true)
  t.equal(first.client.user, 'bob')
  await until(() => first.client.state === 'connected' && follower.client.leader && follower.client.state === 'connected', 'all are')
  t.same(
    tabs.map(({ client }) => [client.user, client.leader]),
    [
      ['bob', false],
      ['bob', true],
      ['alice', true]
    ]
  )
  await until(() => server.open.length === 2, 'still two')
  send('alice', 2)
  send('bob', 2)
  await until(() => titles(first).length === 2 && titles(other).length === 2 && titles(follower).length === 2, 'the second')
  t.same(tabs.map(titles), [
    ['alice 1', 'bob 2'],
    ['bob 1', 'bob 2'],
    ['alice 1', 'alice 2']
  ])
  t.same(first.heard('user'), [{ user: 'bob', previous: 'alice' }])
})
