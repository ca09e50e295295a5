import dns from 'node:dns'
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp } from 'node:net'
import t, { type Test } from 'tap'
import { rawPeer, send, upgradeRequest } from '../fixtures/raw.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, serviceToken, startService, userToken } from '../helper.ts'

const service = await startService(t, { RATE_LIMIT_MAX: '0' })
const { url } = service
const NOTE = { to: 'alice', type: 'a', title: 'b' }
const OFFER = 'connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n'
const LIVE = 'GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n'

type Answered = (error: null, ...addresses: unknown[]) => void

interface Answer {
  status: number
  head: string
  body: string
}

/** Sends bytes and returns the first `count` answers. Their bodies must have a content length. */
async function answersTo(t: Test, bytes: string | Buffer, count: number, to = url): Promise<Answer[]> {
  const { socket, received } = await rawPeer(t, to)
  socket.write(bytes)
  let answers: Answer[] = []
  await until(
    () => {
      answers = parseAnswers(received().toString('latin1'))
      return answers.length >= count
    },
    `${count} answers to ${String(bytes).slice(0, 40)}`
  )
  socket.destroy()
  return answers
}

function parseAnswers(text: string): Answer[] {
  const answers: Answer[] = []
  for (let at = 0; ; ) {
    const end = text.indexOf('\r\n\r\n', at)
    if (end < 0) return answers
    const head = text.slice(at, end)
    const status = Number(head.slice(9, 12))
    const length = status === 101 ? 0 : Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
    if (text.length < end + 4 + length) return answers
    answers.push({ status, head, body: text.slice(end + 4, end + 4 + length) })
    at = end + 4 + length
  }
}

function publishRequest(headers = '', body = JSON.stringify(NOTE)): string {
  const length = headers.includes('chunked') ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`
  const framed = headers.includes('chunked') ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body
  return `POST /v1/notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${serviceToken()}\r\ncontent-type: application/json\r\n${length}${headers}\r\n${framed}`
}

function assertProblem(t: Test, { head, body, status }: Answer, code: string): void {
  t.match(head, /content-type: application\/problem\+json/i, `${status} is a problem`)
  t.match(JSON.parse(body || '{}'), { status, code })
}

/** An upgrade behind a request whose answer never ends. It starts with the file, since its deadline is long; the last test reads the result. */
const behindStream = await rawPeer(t, url)
behindStream.socket.write(
  `GET /v1/sse HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${userToken('endless')}\r\n\r\n${upgradeRequest('/v1/ws')}`
)

t.test('an upgrade other than to WebSocket is ignored, with and without a body', async (t) => {
  for (const [name, request] of Object.entries({
    'a GET': `GET /health/live HTTP/1.1\r\nhost: x\r\n${OFFER}\r\n`,
    'a publish': publishRequest(OFFER),
    'a chunked publish': publishRequest(`${OFFER}transfer-encoding: chunked\r\n`),
    'another protocol': 'GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, upgrade\r\nupgrade: TLS/1.0, foo/2\r\n\r\n'
  })) {
    const [first, second] = (await answersTo(t, request + LIVE, 2)) as [Answer, Answer]
    t.equal(first.status, name.includes('publish') ? 202 : 200, name)
    t.same([second.status, second.body], [200, '{"status":"ok"}'], `${name}: the connection stays open`)
  }
  const inPieces = await rawPeer(t, url)
  const request = publishRequest(OFFER)
  for (const piece of [request.slice(0, 40), request.slice(40, -20), request.slice(-20)]) {
    inPieces.socket.write(piece)
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  await until(() => inPieces.received().includes('202 Accepted'), 'the answer to a publish in pieces')
})

t.test('an upgrade of /v1/ws to h2c is 426; websocket in a list of protocols is a handshake', async (t) => {
  const token = userToken('alice')
  t.equal((await send(t, url, upgradeRequest(`/v1/ws?token=${token}`, { upgrade: 'h2c' }))).status, 426)
  t.equal((await send(t, url, upgradeRequest(`/v1/ws?token=${token}`, { upgrade: 'h2c, WebSocket' }))).status, 101)
})

t.test('an upgrade in HTTP/1.0 is ignored: 426, and nothing connects', async (t) => {
  const request = upgradeRequest(`/v1/ws?token=${userToken('old')}`).replace('HTTP/1.1', 'HTTP/1.0')
  const answer = await send(t, url, request)
  t.equal(answer.status, 426)
  t.match(answer.head, /upgrade: websocket/i)
  assertProblem(t, answer, 'BELFRY_ERR_UPGRADE_REQUIRED')
  t.same((await call(service, 'GET', '/v1/users/old/connections')).body.items, [])
})

t.test('a refused handshake ends its connection, after every check', async (t) => {
  for (const request of [
    upgradeRequest('/v1/ws', { host: undefined }),
    upgradeRequest('/v1/ws', { expect: 'x' }),
    upgradeRequest('/nowhere'),
    upgradeRequest('/v1/%zz')
  ]) {
    const peer = await rawPeer(t, url)
    peer.socket.write(request)
    t.ok((await peer.closed) - peer.openedAt < 5000)
    t.match(peer.received().toString(), /^HTTP\/1.1 4\d\d [\s\S]*"code"/)
  }
})

t.test('a handshake that is not valid gets a problem, and its connection ends', async (t) => {
  const valid = `/v1/ws?token=${userToken('hand')}`
  const keys = [undefined, 'short'].map((value) => ({ 'sec-websocket-key': value }))
  const versions = [undefined, '7', '14', 'x'].map((value) => ({ 'sec-websocket-version': value }))
  const protocols = ['a, a', ',', 'a b'].map((value) => ({ 'sec-websocket-protocol': value }))
  for (const headers of [...keys, ...versions, ...protocols]) {
    const [answer] = (await answersTo(t, upgradeRequest(valid, headers), 1)) as [Answer]
    t.equal(answer.status, 400, JSON.stringify(headers))
    assertProblem(t, answer, 'BELFRY_ERR_INVALID_REQUEST')
    t.match(answer.head, /connection: close/i)
    t.match(answer.head, /sec-websocket-version: 13/i)
  }
  t.same((await call(service, 'GET', '/v1/users/hand/connections')).body.items, [])
})

t.test('an upgrade behind other requests in one packet waits for their answers', async (t) => {
  const inbox = `GET /v1/me/notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${userToken('alice')}\r\n\r\n`
  const answers = await answersTo(t, inbox + LIVE + upgradeRequest(`/v1/ws?token=${userToken('alice')}`), 3)
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 101]
  )
  t.match(answers[0]?.body, /"items"/)
  const refused = await answersTo(t, inbox + upgradeRequest('/nowhere'), 2)
  t.same(
    refused.map(({ status }) => status),
    [200, 404]
  )
  const h2c = await answersTo(t, inbox + publishRequest(OFFER) + LIVE, 3)
  t.same(
    h2c.map(({ status }) => status),
    [200, 202, 200]
  )
  const closing = await answersTo(t, `GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n${upgradeRequest('/v1/ws')}`, 1)
  t.same(
    closing.map(({ status }) => status),
    [200],
    'after a request that ends the connection, an upgrade is ignored'
  )
})

t.test('a HEAD has the head of its GET, ends, and moves no cursor', async (t) => {
  const user = 'head'
  for (let n = 0; n < 3; n++) await call(service, 'POST', '/v1/notifications', { ...NOTE, to: user })
  const headers = { authorization: `Bearer ${userToken(user)}` }
  const answer = await fetch(`${url}/v1/sse?device_id=phone`, { method: 'HEAD', headers })
  t.same([answer.status, answer.headers.get('content-type'), await answer.text()], [200, 'text/event-stream', ''])
  t.equal((await fetch(`${url}/v1/sse?device_id=phone`, { method: 'HEAD' })).status, 401)
  t.same((await call(service, 'GET', `/v1/users/${user}/queue`)).body.devices, [])
  t.same((await call(service, 'GET', `/v1/users/${user}/connections`)).body.items, [])
  const client = await ready(t, service, user, { deviceId: 'phone' })
  t.equal(client.all('notification').length, 3, 'the device still gets every notification')
  await client.close()
  t.equal((await fetch(`${url}/v1/ws`, { method: 'HEAD' })).status, 426)
  for (const path of ['/health/live', '/health/ready', '/metrics', '/v1/me/notifications', '/docs/json', '/docs/asyncapi.json', '/docs']) {
    const [get, head] = await Promise.all(['GET', 'HEAD'].map((method) => fetch(url + path, { method, headers })))
    t.equal(head?.status, get?.status, path)
    t.equal(head?.headers.get('content-type'), get?.headers.get('content-type'), path)
    t.equal(await head?.text(), '')
    await get?.arrayBuffer()
  }
})

t.test('a method without a route gets a problem, and CONNECT ends its connection', async (t) => {
  for (const method of ['OPTIONS', 'TRACE', 'PUT', 'PATCH', 'PROPFIND', 'PURGE', 'SEARCH', 'LINK']) {
    const answer = await send(t, url, `${method} /v1/notifications HTTP/1.1\r\nhost: x\r\n\r\n`)
    t.equal(answer.status, 404, method)
    assertProblem(t, answer, 'BELFRY_ERR_NOT_FOUND')
  }
  const query = await send(t, url, 'QUERY /v1/notifications HTTP/1.1\r\nhost: x\r\n\r\n')
  assertProblem(t, query, 'BELFRY_ERR_UNSUPPORTED_MEDIA_TYPE')
  const bodied = await send(t, url, 'PUT /nowhere HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello')
  t.equal(bodied.status, 404)
  for (const request of ['OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n', 'CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n']) {
    const answer = await send(t, url, request)
    t.equal(answer.status, 404, request.slice(0, 10))
    assertProblem(t, answer, 'BELFRY_ERR_NOT_FOUND')
  }
  const [first, second] = await answersTo(t, `${LIVE}CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n`, 2)
  t.same([first?.status, second?.status], [200, 404], 'in order')
})

t.test('with CORS, OPTIONS without the headers of a preflight gets an answer and no plain-text error', async (t) => {
  const open = await startService(t, { CORS_ORIGIN: 'HTTPS://App.Example' })
  const answer = await fetch(`${open.url}/v1/notifications`, { method: 'OPTIONS' })
  t.equal(answer.status, 204)
  const headers = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
  const preflight = await fetch(`${open.url}/v1/notifications`, { method: 'OPTIONS', headers })
  t.equal(preflight.headers.get('access-control-allow-origin'), 'https://app.example', 'the case of an origin does not matter')
})

t.test('Expect: 100 Continue is sent when a route reads the body; any other expectation is 417', async (t) => {
  const waiting = (authorization: string, length: number): string =>
    `POST /v1/notifications HTTP/1.1\r\nhost: x\r\n${authorization}content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`
  const body = JSON.stringify(NOTE)
  const known = `authorization: Bearer ${serviceToken()}\r\n`
  const { socket, received } = await rawPeer(t, url)
  socket.write(waiting(known, body.length))
  await until(() => received().includes('100 Continue'))
  socket.write(body)
  await until(() => received().includes('202 Accepted'))
  socket.write(LIVE)
  await until(() => received().includes('"ok"'), 'the connection stays open')
  for (const [name, request, status] of [
    ['no token', waiting('', 500), 401],
    ['too large', waiting(known, 1_000_000_000), 413]
  ] as const) {
    const peer = await rawPeer(t, url)
    peer.socket.write(request)
    await peer.closed
    t.match(peer.received().toString(), new RegExp(`^HTTP/1.1 ${status} `), `${name}: the first and only answer`)
  }
  const other = await send(t, url, `GET /health/live HTTP/1.1\r\nhost: x\r\nexpect: 200-ok\r\n\r\n`)
  t.equal(other.status, 417)
  assertProblem(t, other, 'BELFRY_ERR_EXPECTATION_FAILED')
})

t.test('bytes that are not HTTP get a problem, after the answers to earlier requests', async (t) => {
  for (const [name, bytes, status] of [
    ['no Host', 'GET /health/live HTTP/1.1\r\n\r\n', 400],
    ['no Host in an upgrade', upgradeRequest('/v1/ws', { host: undefined }), 400],
    ['an unknown method', 'FOO / HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['no version', 'GET /\r\n\r\n', 400],
    ['version 3', 'GET / HTTP/3.0\r\nhost: x\r\n\r\n', 400],
    ['a preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['TLS', Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 1, 2, 3, 4, 5]), 400],
    ['a chunk without a size', publishRequest('transfer-encoding: chunked\r\n').replace(/\r\n\r\n[0-9a-f]+\r\n/, '\r\n\r\nzz\r\n'), 400],
    ['a long URL', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 431]
  ] as const) {
    const [answer] = await answersTo(t, bytes, 1)
    t.equal(answer?.status, status, name)
    t.match(answer?.head, /content-type: application\/problem\+json/i, name)
  }
  t.equal((await answersTo(t, 'GET /health/live HTTP/1.0\r\n\r\n', 1))[0]?.status, 200, 'HTTP/1.0 needs no Host')
  const [published, broken] = await answersTo(t, `${publishRequest()}nonsense\r\n\r\n`, 2)
  t.same([published?.status, broken?.status], [202, 400], 'a publish does not get the error of the bytes after it')
})

t.test('trailers of a chunked body are ignored', async (t) => {
  const request = publishRequest('transfer-encoding: chunked\r\ntrailer: x-sum\r\n').replace(
    /0\r\n\r\n$/,
    '0\r\nx-sum: 1\r\nhost: evil\r\n\r\n'
  )
  const answers = await answersTo(t, request + LIVE, 2)
  t.same(
    answers.map(({ status }) => status),
    [202, 200]
  )
})

t.test('a range outside a file is a problem and not an internal error', async (t) => {
  const answer = await fetch(`${url}/docs/static/index.css`, { headers: { range: 'bytes=900000-' } })
  t.match(await answer.json(), { status: 400, code: 'BELFRY_ERR_INVALID_REQUEST' })
})

t.test('a peer that reads nothing of an answer loses its connection; one that waits for events does not', async (t) => {
  const stalled = await startService(t, { RATE_LIMIT_MAX: '0', CLOSE_GRACE_SECONDS: '2', WS_PING_INTERVAL_MS: '300000' })
  const notifications = Array.from({ length: 400 }, () => ({ ...NOTE, data: { text: 'x'.repeat(4000) } }))
  t.equal((await call(stalled, 'POST', '/v1/notifications/batch', { notifications })).status, 202)
  stalled.app.server.timeout = 1000
  const stream = await rawPeer(t, stalled.url)
  stream.socket.write(`GET /v1/sse HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${userToken('quiet')}\r\n\r\n`)
  await until(() => stream.received().includes('caughtUp'))
  const accepted = once(stalled.app.server, 'connection')
  const peer = await rawPeer(t, stalled.url)
  const [socket] = await accepted
  peer.socket.pause()
  const inbox = `GET /v1/me/notifications?limit=200 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${userToken('alice')}\r\n\r\n`
  peer.socket.write(inbox.repeat(20))
  await once(socket, 'close')
  t.equal(stalled.app.connections.count, 1, 'the stream is open')
})

t.test('both loopback addresses of localhost have the same server', async (t) => {
  const lookup = dns.lookup
  t.teardown(() => {
    dns.lookup = lookup
  })
  const both = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 }
  ]
  dns.lookup = ((name: string, ...rest: [{ all?: boolean }, Answered] | [Answered]) => {
    const done = rest.at(-1) as Answered
    if (name !== 'localhost') return lookup(name, ...(rest as unknown as [never]))
    process.nextTick(() => (typeof rest[0] === 'object' && rest[0].all === true ? done(null, both) : done(null, '127.0.0.1', 4)))
  }) as typeof dns.lookup
  const local = await startService(t, { HOST: 'localhost', CLOSE_GRACE_SECONDS: '2' })
  const { port } = local.app.server.address() as AddressInfo
  const listens = async (): Promise<boolean> => {
    const socket = connectTcp(port, '::1')
    return await once(socket, 'connect').then(
      () => socket.destroy() !== undefined,
      () => false
    )
  }
  await until(listens, 'the second loopback to listen')
  const onSecond = async (bytes: string): Promise<string> => {
    const socket = connectTcp(port, '::1')
    t.teardown(() => socket.destroy())
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    socket.write(bytes)
    await until(() => text.includes('\r\n\r\n'))
    return text
  }
  t.match(await onSecond(LIVE), /^HTTP\/1.1 200 [\s\S]*"ok"/)
  t.match(await onSecond('nonsense\r\n\r\n'), /^HTTP\/1.1 400 [\s\S]*BELFRY_ERR_INVALID_REQUEST/)
  t.match(await onSecond('GET /health/live HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400 [\s\S]*BELFRY_ERR_INVALID_REQUEST/)
  t.match(await onSecond(`${LIVE.slice(0, -2)}expect: x\r\n\r\n`), /^HTTP\/1.1 417 /)
  t.match(await onSecond(`GET /health/live HTTP/1.1\r\nhost: x\r\n${OFFER}\r\n`), /^HTTP\/1.1 200 /)
  t.match(await onSecond(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1.1 431 [\s\S]*BELFRY_ERR_HEADERS/)
  const second = { socketUrl: `ws://[::1]:${port}` }
  const client = await connect(t, second, 'alice')
  await client.next('caughtUp')
  t.equal(local.app.connections.count, 1)
  const idle = connectTcp(port, '::1')
  await once(idle, 'connect')
  await local.close()
  t.equal((await client.whenClosed()).code, 4200, 'its connections are told to move')
  const refused = connectTcp(port, '::1')
  const [error] = await once(refused, 'error')
  t.equal(error.code, 'ECONNREFUSED')
})

t.test('an upgrade behind an answer that never ends is closed after the deadline', async (t) => {
  const after = (await behindStream.closed) - behindStream.openedAt
  t.ok(after > 12_000 && after < 16_000, `after ${after} ms`)
})
