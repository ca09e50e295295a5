import t from 'tap'
import { clientFrame, closeCodeIn, type RawAnswer, type RawPeer, rawPeer, rawWebSocket, send, upgradeRequest } from '../fixtures/raw.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, serviceToken, startService, userToken } from '../helper.ts'

const service = await startService(t, { RATE_LIMIT_MAX: '0' })
const { url } = service
const token = userToken('alice')
const NOTE = { to: 'alice', type: 'a', title: 'b' }

/** Slow peers. They start with the file, since their deadlines are long; the last test reads the results. */
const slow = await startSlowPeers()

function code({ body }: RawAnswer): string {
  return body.includes('"code"') ? JSON.parse(body).code : ''
}

function post(headers: string, body = JSON.stringify(NOTE), path = '/v1/notifications'): string {
  return `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${serviceToken()}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`
}

t.test('no Host header: 400', async (t) => {
  t.equal((await send(t, url, 'GET /health/live HTTP/1.1\r\n\r\n')).status, 400)
})

t.test('GET /v1/ws without an upgrade: 426', async (t) => {
  const answer = await call(service, 'GET', '/v1/ws')
  t.match(answer, { status: 426, body: { code: 'BELFRY_ERR_UPGRADE_REQUIRED' } })
  t.equal(answer.headers.get('upgrade'), 'websocket')
})

for (const path of ['/health/live', '/health/ready', '/metrics', '/v1/me/notifications', '/v1/users/a/queue', '/v1/sse', '/docs/json']) {
  t.test(`upgrade on ${path}: 404, no 101`, async (t) => {
    const answer = await send(t, url, upgradeRequest(`${path}?token=${token}`, { authorization: `Bearer ${token}` }))
    t.match(JSON.parse(answer.body), { detail: `There is no WebSocket at ${path}` })
    t.same([answer.status, code(answer)], [404, 'BELFRY_ERR_NOT_FOUND'])
  })
}

t.test('upgrade on an unknown path, or with POST: 404', async (t) => {
  t.equal((await send(t, url, upgradeRequest(`/nowhere?token=${token}`))).status, 404)
  t.equal((await send(t, url, upgradeRequest(`/v1/ws?token=${token}`, {}, 'POST'))).status, 404)
  t.equal((await send(t, url, upgradeRequest(`/v1/ws/?token=${token}`))).status, 404)
})

for (const [name, headers] of Object.entries({
  'no key': { 'sec-websocket-key': undefined },
  'a key of another length': { 'sec-websocket-key': 'abc' },
  'version 7': { 'sec-websocket-version': '7' },
  'protocol a,,b': { 'sec-websocket-protocol': 'belfry.v1,,b' },
  'protocol twice': { 'sec-websocket-protocol': 'belfry.v1, belfry.v1' }
})) {
  t.test(`${name}: 400`, async (t) => {
    t.equal((await send(t, url, upgradeRequest(`/v1/ws?token=${token}`, headers))).status, 400)
  })
}

t.test('only an allowed Origin, or none, may open a socket', async (t) => {
  const guarded = await startService(t, { ALLOWED_ORIGINS: 'https://app.example,http://localhost:8080' })
  const status = async (origin: string | undefined): Promise<number> =>
    (await send(t, guarded.url, upgradeRequest(`/v1/ws?token=${token}`, { origin }))).status
  for (const origin of [
    'https://evil.example',
    'null',
    'https://app.example.evil.com',
    'http://app.example',
    'https://app.example:8443',
    'https://evil.example/https://app.example',
    'https://app.example https://evil.example',
    ''
  ]) {
    t.equal(await status(origin), 403, origin)
  }
  t.equal(await status('https://app.example\r\norigin: https://evil.example'), 403, 'two of them')
  for (const origin of ['https://app.example', 'https://APP.example', 'http://localhost:8080', undefined])
    t.equal(await status(origin), 101, String(origin))
  const refused = await send(t, guarded.url, upgradeRequest('/v1/ws', { origin: 'https://evil.example' }))
  t.equal(code(refused), 'BELFRY_ERR_ORIGIN_FORBIDDEN', 'before the token is verified')
})

t.test('headers of 20 KB: 431; 2,100 headers open nothing and break nothing', async (t) => {
  const long = await send(t, url, `GET /health/live HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)
  t.same([long.status, code(long)], [431, 'BELFRY_ERR_HEADERS_TOO_LARGE'])
  t.match(long.head, /application\/problem\+json/)
  const many = Object.fromEntries(Array.from({ length: 2100 }, (_, n) => [`a${n}`, '']))
  const answer = await send(t, url, upgradeRequest('/v1/ws', { ...many, authorization: `Bearer ${token}` }))
  t.ok([400, 426, 431, 101].includes(answer.status), String(answer.status))
  t.equal((await call(service, 'GET', '/health/live')).status, 200)
})

for (const [name, request] of Object.entries({
  'two Host headers': 'GET /health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n',
  'Content-Length and Transfer-Encoding':
    'POST /v1/notifications HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'two Content-Lengths': 'POST /v1/notifications HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello',
  'no HTTP at all': 'hello\r\n\r\n',
  'a line end in a header': 'GET / HTTP/1.1\r\nhost: x\r\nx: a\rb\r\n\r\n',
  'a URL that is not one': 'GET /v1/users/%zz/queue HTTP/1.1\r\nhost: x\r\n\r\n',
  'half a surrogate pair in a URL': 'GET /v1/users/%ED%A0%80/queue HTTP/1.1\r\nhost: x\r\n\r\n'
})) {
  t.test(`${name}: 400`, async (t) => {
    const answer = await send(t, url, request)
    t.equal(answer.status, 400)
    if (answer.body !== '') t.equal(code(answer), 'BELFRY_ERR_INVALID_REQUEST')
  })
}

t.test('an address over the limit of connection attempts: 429 with Retry-After', async (t) => {
  const limited = await startService(t, { CONNECT_RATE_LIMIT_MAX: '3' })
  const statuses: number[] = []
  for (let n = 0; n < 3; n++) statuses.push((await send(t, limited.url, upgradeRequest('/v1/ws?token=bad'))).status)
  t.same(statuses, [101, 101, 101], 'attempts with a bad token count')
  const spoofed = { 'x-forwarded-for': '203.0.113.9' }
  const answer = await send(t, limited.url, upgradeRequest(`/v1/ws?token=${token}`, spoofed))
  t.same([answer.status, code(answer)], [429, 'BELFRY_ERR_TOO_MANY_REQUESTS'])
  const seconds = Number(/retry-after: (\d+)/i.exec(answer.head)?.[1])
  t.ok(seconds > 0 && seconds <= 60)
  t.equal((await call(limited, 'GET', '/v1/sse', undefined, { token })).status, 429)
})

const longText = JSON.stringify({ type: 'pong', pad: 'x'.repeat(10_300) })
const fragments = Array.from({ length: 70 }, (_, n) => clientFrame(n === 0 ? 1 : 0, '', { fin: false }))
for (const [name, bytes, close] of [
  ['a text frame over the limit', clientFrame(1, longText), 1009],
  ['100 MB declared', clientFrame(1, 'x', { declared: 100_000_000 }), 1009],
  ['2^62 bytes declared', clientFrame(1, 'x', { declared: 2 ** 62 }), 1009],
  ['fragments that add up', Buffer.concat([clientFrame(1, 'x'.repeat(6000), { fin: false }), clientFrame(0, 'x'.repeat(6000))]), 1009],
  ['binary', clientFrame(2, '{"type":"pong"}'), 4006],
  ['text that is no UTF-8', clientFrame(1, Buffer.from([0xff, 0xfe])), 1007],
  ['unmasked', clientFrame(1, '{"type":"pong"}', { masked: false }), 1002],
  ['RSV1', clientFrame(1, '{"type":"pong"}', { rsv: 0x40 }), 1002],
  ['opcode 3', clientFrame(3, 'x'), 1002],
  ['a ping of 126 bytes', clientFrame(9, 'x'.repeat(126)), 1002],
  ['close with 1005', clientFrame(8, Buffer.from([0x03, 0xed])), 1002],
  ['a continuation of nothing', clientFrame(0, 'x'), 1002],
  ['70 empty fragments', Buffer.concat(fragments), 1008],
  ['not JSON', clientFrame(1, '{"type":'), 4006],
  ['an empty frame', clientFrame(1, ''), 4006],
  ['__proto__', clientFrame(1, '{"__proto__":{"type":"pong"}}'), 4006],
  ['an unknown type', clientFrame(1, '{"type":"subscribe"}'), 4006],
  ['a type from Object', clientFrame(1, '{"type":"constructor"}'), 4006],
  ['no type', clientFrame(1, '{}'), 4006],
  ['null', clientFrame(1, 'null'), 4006],
  ['a list', clientFrame(1, '[{"type":"pong"}]'), 4006],
  ['nested 5,000 deep', clientFrame(1, `${'['.repeat(5000)}${']'.repeat(5000)}`), 4006],
  ['an ack of no text', clientFrame(1, '{"type":"ack","eventId":7}'), 4006],
  ['110 messages at once', Buffer.concat(Array.from({ length: 110 }, () => clientFrame(1, '{"type":"pong"}'))), 4102],
  ['110 pings at once', Buffer.concat(Array.from({ length: 110 }, () => clientFrame(9, ''))), 4102]
] as const) {
  t.test(`${name}: ${close}`, async (t) => {
    const peer = await rawWebSocket(t, url, 'hostile')
    peer.socket.write(bytes)
    await until(() => closeCodeIn(peer.received()) !== 0, 'a close frame')
    t.equal(closeCodeIn(peer.received()), close)
    peer.socket.destroy()
  })
}

t.test('nesting in a known frame, unknown fields and 50 frames in a second do not close a connection', async (t) => {
  const client = await connect(t, service, 'patient', { deviceId: 'd' })
  await client.next('caughtUp')
  client.send(`{"type":"pong","time":${'['.repeat(1000)}${']'.repeat(1000)},"more":1,"__proto__":{"x":1}}`)
  for (let n = 0; n < 45; n++) client.send({ type: 'pong' })
  client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
  t.match(await client.next('ok'), { ref: 1 })
})

t.test('frames after a frame that closed the connection have no effect', async (t) => {
  const { body } = await call(service, 'POST', '/v1/notifications', { ...NOTE, to: 'late' })
  const peer = await rawWebSocket(t, url, 'late', '&device_id=d')
  const mark = JSON.stringify({ type: 'mark', ids: [body.id], state: 'read' })
  peer.socket.write(Buffer.concat([clientFrame(1, 'nonsense'), clientFrame(1, mark)]))
  await peer.closed
  t.equal(closeCodeIn(peer.received()), 4006)
  t.equal((await call(service, 'GET', '/v1/users/late/notifications')).body.unread, 1)
})

t.test('permessage-deflate is not negotiated', async (t) => {
  const answer = await send(t, url, upgradeRequest(`/v1/ws?token=${token}`, { 'sec-websocket-extensions': 'permessage-deflate' }))
  t.equal(answer.status, 101)
  t.notMatch(answer.head, /extensions/i)
})

t.test('bodies and data over their limit: 413', async (t) => {
  const large = await send(t, url, post('content-type: application/json\r\n', JSON.stringify({ ...NOTE, title: 'x'.repeat(262_144) })))
  t.same([large.status, code(large)], [413, 'BELFRY_ERR_TOO_LARGE'])
  const announced = await send(
    t,
    url,
    `POST /v1/notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${serviceToken()}\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n`
  )
  t.equal(announced.status, 413, 'before the body is sent')
  const publish = (data: unknown) => call(service, 'POST', '/v1/notifications', { ...NOTE, data })
  const frame = JSON.stringify({ t: '' }).length
  t.equal((await publish({ t: 'x'.repeat(4096 - frame) })).status, 202)
  t.match(await publish({ t: 'x'.repeat(4097 - frame) }), { status: 413, body: { code: 'BELFRY_ERR_TOO_LARGE' } })
  t.equal((await publish({ t: '€'.repeat(1400) })).status, 413, 'bytes count, not characters')
  for (const depth of [60_000, 120_000]) {
    const deep = `{"to":"alice","type":"a","title":"b","data":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}}`
    t.match(
      await call(service, 'POST', '/v1/notifications', deep),
      { status: 413, body: { code: 'BELFRY_ERR_TOO_LARGE' } },
      `nested ${depth} deep`
    )
  }
})

for (const [name, headers] of Object.entries({
  'text/plain': 'content-type: text/plain\r\n',
  'text/plain of JSON': 'content-type: text/plain;charset=application/json\r\n',
  'a form': 'content-type: application/x-www-form-urlencoded\r\n',
  nothing: ''
})) {
  t.test(`Content-Type ${name}: 415`, async (t) => {
    const answer = await send(t, url, post(headers))
    t.same([answer.status, code(answer)], [415, 'BELFRY_ERR_UNSUPPORTED_MEDIA_TYPE'])
  })
}

t.test('no spelling of a content type bypasses the schema: 400', async (t) => {
  for (const type of ['application/json\t;x', ' application/json', 'application/json;', 'APPLICATION/JSON; charset=utf-8']) {
    const answer = await send(t, url, post(`content-type: ${type}\r\n`, JSON.stringify({ ...NOTE, unknown: 1 })))
    t.same([answer.status, code(answer)], [400, 'BELFRY_ERR_INVALID_REQUEST'], type)
  }
})

for (const [name, key] of Object.entries({
  'of 256': 'x'.repeat(256),
  'not ASCII': 'clé',
  empty: '',
  'a quote alone': '"',
  'half quoted': '"abc'
})) {
  t.test(`an Idempotency-Key ${name}: 400`, async (t) => {
    const answer = await send(t, url, post(`content-type: application/json\r\nidempotency-key: ${key}\r\n`))
    t.same([answer.status, code(answer)], [400, 'BELFRY_ERR_INVALID_REQUEST'])
  })
}

t.test('an invalid user is 400 in every route; an unusual one works', async (t) => {
  for (const user of ['a\u0000b', 'a\u001fb', '\u200b', '\ud800', 'x'.repeat(129), '']) {
    const answer = await call(service, 'POST', '/v1/notifications', { ...NOTE, to: [user] })
    t.match(answer, { status: 400, body: { code: 'BELFRY_ERR_INVALID_REQUEST' } }, JSON.stringify(user).slice(0, 20))
  }
  for (const path of ['a%00b', 'x'.repeat(129), '%E2%80%8B'])
    t.equal((await call(service, 'GET', `/v1/users/${path}/queue`)).status, 400, path.slice(0, 20))
  for (const user of ['{x}', 'a|b', '../admin', "' OR 1=1", '__proto__', 'constructor', '😀'.repeat(128), 'x'.repeat(128), '%zz']) {
    const { body } = await call(service, 'POST', '/v1/notifications', { ...NOTE, to: user })
    t.equal(body.results[0].user, user)
    const inbox = await call(service, 'GET', `/v1/users/${encodeURIComponent(user)}/notifications`)
    t.same([inbox.status, inbox.body.unread], [200, 1], user.slice(0, 20))
    const client = await connect(t, service, user)
    t.equal((await client.next('notification')).notification.id, body.id)
    await client.close()
  }
})

t.test('lone surrogates and line separators in title and data arrive unchanged', async (t) => {
  const body = { ...NOTE, to: 'odd', title: '\ud800 \u2028 \u0000 "', data: { '\udfff': '\ud83d' } }
  const client = await connect(t, service, 'odd')
  await client.next('caughtUp')
  t.equal((await call(service, 'POST', '/v1/notifications', body)).status, 202)
  t.match(await client.next('notification'), { notification: { title: body.title, data: body.data } })
})

t.test('a body cannot reach a prototype', async (t) => {
  for (const text of [
    '{"to":"alice","type":"a","title":"b","__proto__":{"halfLife":1}}',
    '{"to":"alice","type":"a","title":"b","data":{"__proto__":{"x":1}}}',
    '{"to":"alice","type":"a","title":"b","data":{"constructor":{"prototype":{"x":1}}}}'
  ]) {
    t.equal((await call(service, 'POST', '/v1/notifications', text)).status, 400, text)
  }
  t.equal((await call(service, 'POST', '/v1/notifications', { ...NOTE, constructor: 1 })).status, 400)
  t.equal(({} as { x?: number }).x, undefined)
})

t.test('X-Forwarded-For counts from a trusted proxy only', async (t) => {
  const addressOf = async (from: typeof service): Promise<string> => {
    const client = await connect(t, from, 'fwd', { headers: { 'x-forwarded-for': '198.51.100.1, 203.0.113.9' } })
    await client.next('hello')
    const { body } = await call(from, 'GET', '/v1/users/fwd/connections')
    return body.items[0].address
  }
  t.equal(await addressOf(service), '127.0.0.1')
  t.equal(await addressOf(await startService(t, { TRUST_PROXY: '10.0.0.0/8' })), '127.0.0.1')
  t.equal(
    await addressOf(await startService(t, { TRUST_PROXY: '127.0.0.1/32' })),
    '203.0.113.9',
    'the last address that a trusted proxy saw'
  )
})

t.test('ports and brackets in X-Forwarded-For are not part of the address', async (t) => {
  const behind = await startService(t, { TRUST_PROXY: '127.0.0.1,10.0.0.0/8', CONNECT_RATE_LIMIT_MAX: '2' })
  const statusOf = async (forwarded: string): Promise<number> =>
    (await send(t, behind.url, upgradeRequest('/v1/ws?token=bad', { 'x-forwarded-for': forwarded }))).status
  for (const [first, second, third] of [
    ['203.0.113.9:1', '203.0.113.9:2', '203.0.113.9'],
    ['[2001:db8::1]:1', '[2001:db8::1]:2', '2001:db8::1'],
    ['198.51.100.1, 203.0.113.8:1, 10.0.0.5:99', '198.51.100.2, 203.0.113.8:2, 10.0.0.5:98', '203.0.113.8']
  ] as const) {
    t.same([await statusOf(first), await statusOf(second), await statusOf(third)], [101, 101, 429], third)
  }
  const client = await connect(t, behind, 'fwd', { headers: { 'x-forwarded-for': '[2001:db8::2]:443' } })
  await client.next('hello')
  t.equal((await call(behind, 'GET', '/v1/users/fwd/connections')).body.items[0].address, '2001:db8::2')
})

t.test('1,001 recipients or items: 413', async (t) => {
  const many = Array.from({ length: 1001 }, (_, n) => `u${n}`)
  t.match(await call(service, 'POST', '/v1/notifications', { ...NOTE, to: many }), { status: 413, body: { code: 'BELFRY_ERR_TOO_LARGE' } })
  t.match(await call(service, 'POST', '/v1/notifications/batch', { notifications: many.map(() => NOTE) }), {
    status: 413,
    body: { code: 'BELFRY_ERR_TOO_LARGE' }
  })
})

t.test('an internal error reveals nothing', async (t) => {
  const broken = await startService(t)
  broken.app.store.queue = async () => {
    throw Object.assign(new Error('WRONGTYPE secret of the store'), { command: 'HGETALL' })
  }
  const answer = await call(broken, 'GET', '/v1/users/alice/queue')
  t.equal(answer.status, 500)
  t.match(answer.body, { code: 'BELFRY_ERR_INTERNAL', detail: 'Something went wrong here' })
  t.match(answer.body.instance, /./, 'the id of the request')
  t.notMatch(JSON.stringify(answer.body), /WRONGTYPE|HGETALL|stack|\.ts|\.js/)
  broken.app.store.mark = broken.app.store.queue as never
  const client = await connect(t, broken, 'alice')
  await client.next('hello')
  client.send({ type: 'mark', ref: 1, ids: ['x'], state: 'read' })
  t.same(await client.next('error'), {
    type: 'error',
    ref: 1,
    code: 'BELFRY_ERR_INTERNAL',
    message: 'Something went wrong here',
    temporary: false
  })
})

async function startSlowPeers() {
  const [head, body] = [await rawPeer(t, url), await rawPeer(t, url)]
  head.socket.write('GET /health/live HTTP/1.1\r\nhost: x\r\nx: ')
  body.socket.write(
    `POST /v1/notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${serviceToken()}\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{`
  )
  const drip = setInterval(() => {
    for (const { socket } of [head, body]) if (socket.writable) socket.write('x')
  }, 1000)
  t.teardown(() => clearInterval(drip))
  const idle = await Promise.all(Array.from({ length: 300 }, () => rawPeer(t, url)))
  const after = async ({ openedAt, closed }: RawPeer): Promise<number> => (await closed) - openedAt
  return { head, body, headAfter: after(head), bodyAfter: after(body), idleAfter: Promise.all(idle.map(after)) }
}

t.test('slow heads, slow bodies and idle connections are closed, and the service answers others', async (t) => {
  const idle = Math.max(...(await slow.idleAfter))
  t.ok(idle < 10_800, `300 idle connections: the last after ${idle} ms`)
  const head = await slow.headAfter
  t.ok(head > 7000 && head < 10_800, `a slow head: closed after ${head} ms`)
  t.match(slow.head.received().toString(), /^HTTP\/1.1 408 [\s\S]*BELFRY_ERR_REQUEST_TIMEOUT/)
  const body = await slow.bodyAfter
  t.ok(body > 12_000 && body < 15_800, `a slow body: closed after ${body} ms`)
  t.match(slow.body.received().toString(), /^HTTP\/1.1 408 [\s\S]*BELFRY_ERR_REQUEST_TIMEOUT/)
  t.equal((await call(service, 'POST', '/v1/notifications', NOTE)).status, 202)
})
