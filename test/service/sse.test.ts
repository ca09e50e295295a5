import t from 'tap'
import { stream } from '../fixtures/event-stream.ts'
import { rawPeer, streamRequest } from '../fixtures/raw.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'

t.test('an event stream has the frames, the resume and the cursor of a WebSocket', async (t) => {
  const service = await startService(t, { CORS_ORIGIN: 'https://app.example' })
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Pending' })
  const first = await stream(t, service, 'alice', '?device_id=laptop', { origin: 'https://app.example' })
  t.equal(first.response.headers.get('content-type'), 'text/event-stream')
  t.equal(first.response.headers.get('access-control-allow-origin'), 'https://app.example')
  t.match(first.events[0] ?? (await first.next('hello')), { frame: { type: 'hello', deviceId: 'laptop' } })
  const pending = await first.next('notification')
  t.match(pending, { id: /^\w+\.1\./, frame: { replay: true, notification: { title: 'Pending' } } })

  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Live' })
  const live = await until(() => first.events.find(({ frame }) => frame.type === 'notification' && frame.notification.title === 'Live'))
  t.match(await call(service, 'GET', '/v1/users/alice/connections'), { body: { items: [{ deviceId: 'laptop' }] } })
  await until(
    async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices[0]?.eventId === live.id,
    'the cursor moves without an acknowledgement'
  )

  first.abort.abort()
  await until(async () => (await call(service, 'GET', '/v1/users/alice/connections')).body.items.length === 0)
  const again = await stream(t, service, 'alice', '?device_id=laptop', { 'last-event-id': pending.id })
  t.match(await again.next('hello'), { frame: { resume: { status: 'resumed', pending: 1 } } })
  t.equal((await again.next('notification')).id, live.id)

  await call(service, 'DELETE', '/v1/users/alice/connections')
  t.match(await again.next('bye'), { frame: { code: 4003 } })
  await until(() => again.state.ended, 'the end of the stream')
})

t.test('a stream that is refused gets an HTTP status', async (t) => {
  const service = await startService(t, { ALLOWED_ORIGINS: 'https://app.example' })
  const missing = await call(service, 'GET', '/v1/sse', undefined, { token: '' })
  t.match(missing, { status: 401, body: { code: 'BELFRY_ERR_TOKEN_MISSING' } })
  const forbidden = await call(service, 'GET', '/v1/sse', undefined, {
    token: userToken('alice'),
    headers: { origin: 'https://evil.example' }
  })
  t.match(forbidden, { status: 403, body: { code: 'BELFRY_ERR_ORIGIN_FORBIDDEN' } })
})

const LAST_CHUNK = '\r\n0\r\n\r\n'

/** Returns the blocks of a raw chunked answer, each as a list of lines. */
function blocksIn(received: Buffer): string[][] {
  const body = received.toString().split('\r\n\r\n').slice(1).join('\r\n\r\n')
  const text = body.replace(/(^|\r\n)[0-9a-f]+\r\n/g, '')
  return text.split('\n\n').map((block) => block.trim().split('\n'))
}

t.test('caughtUp has an id, so that an EventSource with latest loses nothing between two streams', async (t) => {
  const service = await startService(t)
  await call(service, 'POST', '/v1/notifications', { to: 'gil', type: 'a', title: 'Old' })
  const first = await stream(t, service, 'gil', '?device_id=page&last_event_id=latest')
  const caughtUp = await first.next('caughtUp')
  t.match(caughtUp, { id: /^\w+\.1\./, frame: { eventId: caughtUp.id } })
  first.abort.abort()
  await until(() => service.app.connections.count === 0)
  await call(service, 'POST', '/v1/notifications', { to: 'gil', type: 'a', title: 'While offline' })
  const again = await stream(t, service, 'gil', '?device_id=page&last_event_id=latest', { 'last-event-id': caughtUp.id })
  t.match(await again.next('notification'), { frame: { notification: { title: 'While offline' } } })
})

t.test('the id of caughtUp on an empty log resumes', async (t) => {
  const service = await startService(t)
  const first = await stream(t, service, 'hal', '?last_event_id=latest')
  const { id } = await first.next('caughtUp')
  t.match(id, /^\w+\.0$/)
  first.abort.abort()
  await call(service, 'POST', '/v1/notifications', { to: 'hal', type: 'a', title: 'First' })
  const again = await stream(t, service, 'hal', '?last_event_id=latest', { 'last-event-id': id })
  t.match(await again.next('notification'), { frame: { notification: { title: 'First' } } })
})

t.test('hello and bye carry retry, each ping carries a comment, and every block has data', async (t) => {
  const service = await startService(t, { WS_PING_INTERVAL_MS: '100' })
  const peer = await rawPeer(t, service.url)
  peer.socket.write(streamRequest('ida'))
  await until(() => peer.received().toString().split('"type":"ping"').length > 3, 'three pings')
  await call(service, 'DELETE', '/v1/users/ida/connections')
  await until(() => peer.received().toString().endsWith(LAST_CHUNK), 'the end of the stream')
  const blocks = blocksIn(peer.received()).filter((lines) => lines.some((line) => line.startsWith('data:') || line.startsWith('retry:')))
  for (const lines of blocks)
    t.ok(
      lines.some((line) => line.startsWith('data: {')),
      lines.join(' | ')
    )
  const retryOf = (type: string): number => {
    const block = blocks.find((lines) => lines.some((line) => line.includes(`"type":"${type}"`))) ?? []
    return Number(/^retry: (\d+)$/.exec(block.find((line) => line.startsWith('retry:')) ?? '')?.[1])
  }
  t.ok(retryOf('hello') >= 2000 && retryOf('hello') <= 4000, `${retryOf('hello')} ms`)
  t.equal(retryOf('bye'), 60_000, '4003 means: do not reconnect')
  for (const lines of blocks) if (lines.some((line) => line.includes('"type":"ping"'))) t.ok(lines.includes(': heartbeat'))
})

t.test('a draining node sends a stream its delay to reconnect', async (t) => {
  const service = await startService(t)
  const peer = await rawPeer(t, service.url)
  peer.socket.write(streamRequest('jon'))
  await until(() => peer.received().includes('caughtUp'))
  void service.close()
  await peer.closed
  const [, reconnectInMs] = /"reconnectInMs":(\d+)/.exec(peer.received().toString()) ?? []
  t.match(peer.received().toString(), new RegExp(`retry: ${Math.max(100, Number(reconnectInMs))}\n`))
})

t.test('a stream ends after its lifetime, since its client cannot show that it is alive, and the client loses nothing', async (t) => {
  const service = await startService(t, { WS_PING_INTERVAL_MS: '100' }, { timeouts: { streamMs: 700, pongMs: 200 } })
  const peer = await rawPeer(t, service.url)
  const openedAt = performance.now()
  peer.socket.write(streamRequest('kim', '&device_id=d'))
  await until(() => peer.received().toString().endsWith(LAST_CHUNK), 'the end of the stream')
  const lastedMs = performance.now() - openedAt
  t.ok(lastedMs >= 500 && lastedMs < 5000, `${lastedMs} ms: unanswered pings do not end a stream`)
  const text = peer.received().toString()
  t.match(text, /retry: 100\ndata: \{"type":"bye","code":4201/)
  t.ok(text.split('"type":"ping"').length > 3)
  await until(() => service.app.connections.count === 0)
  await call(service, 'POST', '/v1/notifications', { to: 'kim', type: 'a', title: 'Between' })
  const again = await stream(t, service, 'kim', '?device_id=d')
  t.match(await again.next('notification'), { frame: { notification: { title: 'Between' } } })
})

t.test('an unsupported version is refused with its own error', async (t) => {
  const service = await startService(t)
  const headers = { 'sec-websocket-protocol': 'belfry.v9' }
  const refused = await call(service, 'GET', '/v1/sse', undefined, { token: userToken('lea'), headers })
  t.match(refused, { status: 400, body: { code: 'BELFRY_ERR_UNSUPPORTED_VERSION', detail: /belfry\.v1/ } })
  const both = await stream(t, service, 'lea', '', { 'sec-websocket-protocol': 'belfry.v9, belfry.v1' })
  t.match(await both.next('hello'), { frame: { user: 'lea' } })
})
