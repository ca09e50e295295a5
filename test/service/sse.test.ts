import t, { type Test } from 'tap'
import type { ServerFrame } from '../../services/protocol/index.ts'
import { call, eventually, startService, type TestService, userToken } from '../helper.ts'

interface Event {
  id: string
  frame: ServerFrame
}

/** An event stream read as a browser would. */
async function stream(t: Test, service: TestService, user: string, query = '', headers: Record<string, string> = {}) {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const response = await fetch(`${service.url}/v1/sse${query}`, {
    headers: { authorization: `Bearer ${userToken(user)}`, ...headers },
    signal: abort.signal
  })
  const events: Event[] = []
  const state = { ended: false }
  const read = async () => {
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString()
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const fields = Object.fromEntries(
          text
            .slice(0, end)
            .split('\n')
            .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
        )
        events.push({ id: fields.id ?? '', frame: JSON.parse(fields.data ?? '') as ServerFrame })
        text = text.slice(end + 2)
      }
    }
    state.ended = true
  }
  read().catch(() => undefined)
  const next = (type: ServerFrame['type']) => eventually(() => events.find(({ frame }) => frame.type === type), `a ${type} event`)
  return { response, events, next, state, abort }
}

t.test('the same connection over server-sent events', async (t) => {
  const service = await startService(t, { CORS_ORIGIN: 'https://app.example' })
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Pending' })
  const first = await stream(t, service, 'alice', '?device_id=laptop', { origin: 'https://app.example' })
  t.equal(first.response.headers.get('content-type'), 'text/event-stream')
  t.equal(first.response.headers.get('access-control-allow-origin'), 'https://app.example')
  t.match(first.events[0] ?? (await first.next('hello')), { frame: { type: 'hello', deviceId: 'laptop' } })
  const pending = await first.next('notification')
  t.match(pending, { id: /^\w+\.1\./, frame: { replay: true, notification: { title: 'Pending' } } })

  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Live' })
  const live = await eventually(() =>
    first.events.find(({ frame }) => frame.type === 'notification' && frame.notification.title === 'Live')
  )
  t.match(await call(service, 'GET', '/v1/users/alice/connections'), { body: { items: [{ deviceId: 'laptop' }] } })
  await eventually(
    async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices[0]?.eventId === live.id,
    'the cursor moving by itself'
  )

  first.abort.abort()
  await eventually(async () => (await call(service, 'GET', '/v1/users/alice/connections')).body.items.length === 0)
  const again = await stream(t, service, 'alice', '?device_id=laptop', { 'last-event-id': pending.id })
  t.match(await again.next('hello'), { frame: { resume: { status: 'resumed', pending: 1 } } })
  t.equal((await again.next('notification')).id, live.id)

  await call(service, 'DELETE', '/v1/users/alice/connections')
  t.match(await again.next('bye'), { frame: { code: 4003 } })
  await eventually(() => again.state.ended, 'the end of the stream')
})

t.test('what cannot be admitted is told by status', async (t) => {
  const service = await startService(t, { ALLOWED_ORIGINS: 'https://app.example' })
  const missing = await call(service, 'GET', '/v1/sse', undefined, { token: '' })
  t.match(missing, { status: 401, body: { code: 'BELFRY_ERR_TOKEN_MISSING' } })
  const forbidden = await call(service, 'GET', '/v1/sse', undefined, {
    token: userToken('alice'),
    headers: { origin: 'https://evil.example' }
  })
  t.match(forbidden, { status: 403, body: { code: 'BELFRY_ERR_ORIGIN_FORBIDDEN' } })
})
