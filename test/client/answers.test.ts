import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Inbox } from '../../packages/client/src/inbox.ts'
import type { FetchLike } from '../../packages/client/src/types.ts'
import type { AnswerFrame, ClientFrame, Notification } from '../../services/protocol/index.ts'
import { until } from '../fixtures/wait.ts'
import { FakeBrowser } from './fake-browser.ts'
import { type FakeConnection, FakeServer, notificationOf } from './fake-server.ts'
import { connected, type Rig } from './rig.ts'

const actions = [
  { action: 'approve', title: 'Approve' },
  { action: 'reject', title: 'Reject' }
]
const asked: Notification = { ...notificationOf(1), actions }
const already = { type: 'error', code: 'BELFRY_ERR_ALREADY_ANSWERED', message: 'answered', temporary: false } as const

/** Publishes a notification with two actions. */
const ask = (server: FakeServer): void => {
  server.unread++
  server.append({ type: 'notification', eventId: '', notification: asked })
}

/** Takes an answer as the service does: the row reaches every connection, and the answer this one. */
function accept(server: FakeServer, connection: FakeConnection, { ref, id, action }: AnswerFrame, deviceId = 'd1'): void {
  const answer = { action, answeredAt: 5, deviceId }
  server.unread--
  server.append({ type: 'answered', eventId: '', id, ...answer, unread: server.unread })
  connection.send({ type: 'ok', ...(ref && { ref }), id, ...answer, durability: 'fsync' })
}

const answering = (server: FakeServer) => (connection: FakeConnection, frame: ClientFrame) => {
  if (frame.type === 'answer') accept(server, connection, frame)
}

/** A client that is asked to answer one notification. */
async function rig(t: Test, options: Parameters<typeof connected>[1] = {}): Promise<Rig & { inbox: Inbox }> {
  const rigged = await connected(t, options)
  const inbox = new Inbox(rigged.client)
  ask(rigged.server)
  await until(() => inbox.list().length === 1, 'the notification')
  return { ...rigged, inbox }
}

t.test('an answer from the context of a notification and of its toast', async (t) => {
  const { server, client, heard, inbox } = await rig(t)
  server.answer = answering(server)
  t.same(heard('toast')[0]?.notification.actions, actions)
  t.same(await heard('notification')[0]?.answer('approve'), { action: 'approve', answeredAt: 5, deviceId: 'd1' })
  t.match(server.last.of('answer'), [{ type: 'answer', ref: 1, id: asked.id, action: 'approve' }])
  await until(() => heard('answered').length === 1, 'the row')
  t.match(heard('answered')[0], { id: asked.id, action: 'approve', answeredAt: 5, deviceId: 'd1', unread: 0, replay: false })
  t.match(inbox.list(), [{ id: asked.id, state: 'read', answer: { action: 'approve', answeredAt: 5, deviceId: 'd1' } }])
  t.same([client.unread, inbox.unread], [0, 0])
  server.answer = (connection, { type, ...frame }) => {
    if (type === 'answer') connection.send({ ...already, ...frame, answer: { action: 'approve', answeredAt: 5, deviceId: 'd1' } } as never)
  }
  await t.rejects(async () => heard('toast')[0]?.answer('reject'), { code: already.code, answer: { action: 'approve', deviceId: 'd1' } })
})

t.test('the inbox has the action under way, then the answer: its own, or that of the device that was first', async (t) => {
  const { server, inbox } = await rig(t)
  server.answer = () => {}
  const late = inbox.answer(asked.id, 'approve')
  t.match(inbox.list(), [{ state: 'unread', answering: 'approve' }])
  await until(() => server.last.of('answer').length === 1, 'the answer')
  const first = { action: 'reject', answeredAt: 3, deviceId: 'phone' }
  server.last.send({ ...already, ref: server.last.of('answer')[0]?.ref ?? 0, answer: first })
  await t.rejects(late, { name: 'BelfryError', code: already.code, answer: first, temporary: false })
  t.match(inbox.list(), [{ state: 'read', answer: first, answering: undefined }])

  server.append({ type: 'notification', eventId: '', notification: { ...notificationOf(2), actions } })
  await until(() => inbox.list().length === 2, 'another')
  const failing = inbox.answer(notificationOf(2).id, 'approve')
  await until(() => server.last.of('answer').length === 2, 'the answer')
  server.last.send({ type: 'error', ref: 2, code: 'BELFRY_ERR_X', message: 'no', temporary: true })
  await t.rejects(failing, { code: 'BELFRY_ERR_X', answer: undefined })
  t.match(inbox.list()[0], { state: 'unread', answering: undefined, answer: undefined }, 'the buttons are back')
})

t.test('an answer waits for a connection like a mark, and is sent once', async (t) => {
  const { server, client, clock } = await rig(t)
  server.answer = answering(server)
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  const answered = client.answer(asked.id, 'approve')
  clock.advance(500)
  t.match(await answered, { action: 'approve' })
  t.equal(server.connections.flatMap((connection) => connection.of('answer')).length, 1)

  server.answer = () => {}
  const lost = client.answer(asked.id, 'approve')
  const timeout = t.rejects(lost, { code: 'BELFRY_CLIENT_TIMEOUT' })
  clock.advance(10_000)
  await timeout
  client.disconnect()
  await t.rejects(client.answer(asked.id, 'approve'), { code: 'BELFRY_CLIENT_DISCONNECTED' })
})

t.test('a replay has the answer', async (t) => {
  const server = await FakeServer.start(t)
  const answer = { action: 'approve', answeredAt: 5, deviceId: 'phone' }
  server.log.push({ type: 'notification', eventId: server.eventId(1), state: 'read', answer, notification: asked })
  const { client, heard } = await connected(t, {}, {}, server)
  t.match(heard('notification'), [{ state: 'read', answered: answer, replay: true }])
  t.same(heard('toast'), [])
  t.equal(client.unread, 0)
})

t.test('a follower answers over the leader: sent once, also if the connection was away, and the error has the first answer', async (t) => {
  const server = await FakeServer.start(t)
  const browser = new FakeBrowser()
  const [leader, follower] = [browser.tab(server.url), browser.tab(server.url)]
  t.teardown(() => {
    for (const tab of [leader, follower]) tab.crash()
  })
  for (const { client } of [leader, follower]) {
    client.connect()
    await until(() => client.state === 'connected', 'connected')
  }
  ask(server)
  await until(() => follower.heard('notification').length === 1, 'the notification')
  server.answer = answering(server)
  server.last.terminate()
  await until(() => follower.client.state === 'connecting', 'the loss')
  t.match(await follower.heard('notification')[0]?.answer('approve'), { action: 'approve', deviceId: 'd1' })
  await until(() => [leader, follower].every((tab) => tab.heard('answered').length === 1), 'the row in both tabs')
  await new Promise(setImmediate)
  t.equal(server.connections.flatMap((connection) => connection.of('answer')).length, 1)

  server.answer = (connection, frame) => {
    if (frame.type !== 'answer') return
    connection.send({ ...already, ref: frame.ref ?? 0, answer: { action: 'approve', answeredAt: 5, deviceId: 'd1' } })
  }
  await t.rejects(follower.client.answer(asked.id, 'reject'), { code: already.code, answer: { action: 'approve', answeredAt: 5 } })
})

t.test('beside an event stream an answer goes by REST, with the name of the device', async (t) => {
  class Nowhere extends WebSocket {
    constructor(_url: string, protocols: string[]) {
      super('ws://127.0.0.1:1/', protocols)
    }
  }
  const requests: { url: string; body: unknown }[] = []
  const replies = [
    { status: 200, body: { id: asked.id, action: 'approve', answeredAt: 5, deviceId: 'd1' } },
    { status: 409, body: { code: already.code, detail: 'answered', answer: { action: 'approve', answeredAt: 5, deviceId: 'd1' } } }
  ]
  const hello = { type: 'hello', user: 'alice', resume: { to: '' }, heartbeat: { intervalMs: 25_000 }, limits: { maxUnacked: 100 } }
  const fake: FetchLike = async (url, init) => {
    if (init.method === 'POST') {
      const { status, body } = replies.shift() as (typeof replies)[number]
      requests.push({ url, body: JSON.parse(String(init.body)) })
      return new Response(JSON.stringify(body), { status }) as never
    }
    const frames = [
      { ...hello, serverTime: Date.now(), unread: 0 },
      { type: 'caughtUp', eventId: '', unread: 0 }
    ]
    const text = frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join('')
    return new Response(new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode(text)) })) as never
  }
  const { client, clock, server } = await (async () => {
    const { rig } = await import('./rig.ts')
    return rig(t, { WebSocket: Nowhere, fetch: fake })
  })()
  client.connect()
  for (let n = 0; client.state !== 'connected' && n < 400; n++) {
    clock.advance(1000)
    await new Promise(setImmediate)
  }
  t.same(await client.answer(asked.id, 'approve'), { action: 'approve', answeredAt: 5, deviceId: 'd1' })
  t.same(requests, [{ url: `${server.url}/v1/me/notifications/${asked.id}/actions/approve`, body: { deviceId: 'd1' } }])
  await t.rejects(client.answer(asked.id, 'reject'), { code: already.code, answer: { action: 'approve' } })
})

t.test('an archived notification that is answered stays in the archive', async (t) => {
  const { server, inbox } = await rig(t)
  const archive = () => server.append({ type: 'state', eventId: '', ids: [asked.id], state: 'archived', unread: 0 })
  archive()
  await until(() => inbox.list()[0]?.state === 'archived', 'the archive')
  server.answer = answering(server)
  await inbox.answer(asked.id, 'approve')
  await until(() => inbox.list()[0]?.answer?.action === 'approve', 'the answer')
  t.equal(inbox.list()[0]?.state, 'archived')
})

t.test('a row that comes after that of the answer, and before the answer to the call, decides the state', async (t) => {
  for (const refused of [false, true]) {
    const { server, inbox } = await rig(t)
    const answer = { action: 'approve', answeredAt: 5, deviceId: refused ? 'd2' : 'd1' }
    server.answer = (connection, { type, ...frame }) => {
      if (type !== 'answer') return
      server.append({ type: 'answered', eventId: '', id: asked.id, ...answer, unread: 0 })
      server.append({ type: 'state', eventId: '', ids: [asked.id], state: 'archived', unread: 0 })
      setTimeout(() => connection.send({ ...(refused ? already : { type: 'ok' }), ...frame, ...answer, answer } as never), 50)
    }
    await inbox.answer(asked.id, 'approve').catch(() => {})
    t.match(inbox.list(), [{ state: 'archived', answer, answering: undefined }])
  }
})

t.test('an answer during the first load leaves a notification of the page in the archive', async (t) => {
  const { server, client } = await rig(t)
  const archived = new Inbox(client, { states: ['archived'] })
  const old = { ...asked, id: 'old', eventId: server.eventId(0), state: 'archived' }
  let isRequested = false
  server.rest = async () => {
    isRequested = true
    await until(() => client.lastEventId === server.log.at(-1)?.eventId && server.log.length > 1, 'the row')
    return { status: 200, body: { items: [old], nextCursor: null, unread: 1, unseen: 1, count: 1 } }
  }
  const loading = archived.load()
  await until(() => isRequested, 'the request')
  server.append({ type: 'answered', eventId: '', id: 'old', action: 'approve', answeredAt: 5, deviceId: 'd2', unread: 1 })
  await loading
  t.match(archived.list(), [{ id: 'old', state: 'archived', answer: { action: 'approve' } }])
  t.equal(archived.count, 1)
})
