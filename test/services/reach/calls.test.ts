import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import dns from 'node:dns'
import { once } from 'node:events'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { HttpSender } from '../../../services/reach/http-sender.ts'
import { pushOutcome, retryAfterMs, webhookOutcome } from '../../../services/reach/outcome.ts'
import { signWebhook, webhookBody, webhookHeaders, webhookKey } from '../../../services/reach/standard-webhooks.ts'
import { answering, hanging, Receiver } from '../../fixtures/receiver.ts'
import { until } from '../../fixtures/wait.ts'

const NOW = 1_754_000_000_000
const HOUR = 3_600_000

const newSecret = (bytes = 32): string => `whsec_${randomBytes(bytes).toString('base64')}`
const keyOf = (secret: string): Buffer => webhookKey(secret) ?? Buffer.alloc(0)

t.test('webhooks are verified by the library of Standard Webhooks, with either secret', async (t) => {
  const secrets = [newSecret(), newSecret(24)]
  const body = webhookBody('notification.answered', NOW, { user: 'alice', text: 'ünï 😀' })
  t.same(JSON.parse(body), {
    type: 'notification.answered',
    timestamp: '2025-07-31T22:13:20.000Z',
    data: { user: 'alice', text: 'ünï 😀' }
  })
  const headers = webhookHeaders(secrets.map(keyOf), 'msg_1', body, Date.now())
  for (const secret of secrets) t.same(new Webhook(secret).verify(body, headers), JSON.parse(body))
  t.throws(() => new Webhook(newSecret()).verify(body, headers))
  t.throws(() => new Webhook(secrets[0] as string).verify(`${body} `, headers))
  t.throws(() => new Webhook(secrets[0] as string).verify(body, { ...headers, 'webhook-id': 'msg_2' }))
  t.equal(
    signWebhook([keyOf(secrets[0] as string)], 'msg_1', 1_754_000_000, body),
    new Webhook(secrets[0] as string).sign('msg_1', new Date(NOW), body)
  )
})

t.test('secrets are whsec_ and 24 to 64 bytes', async (t) => {
  t.equal(webhookKey(newSecret(64))?.length, 64)
  t.equal(webhookKey(newSecret(25).replace(/=+$/, ''))?.length, 25)
  for (const bad of ['', 'whsec_', randomBytes(32).toString('base64'), newSecret(23), newSecret(65), `whsec_${'!'.repeat(40)}`])
    t.equal(webhookKey(bad), undefined, bad)
})

t.test('the outcome of a push', async (t) => {
  const times = { attempts: 1, createdAt: NOW, now: NOW }
  const push = (status: number | 'unreachable', more: object = {}, expiresAt = 0, random = 0) =>
    pushOutcome({ status, ...more } as Parameters<typeof pushOutcome>[0], { ...times, ...more }, expiresAt, random)
  for (const status of [200, 201, 202, 204]) t.same(push(status), { result: 'delivered' })
  for (const status of [404, 410]) t.same(push(status), { result: 'gone' })
  for (const status of [301, 302, 307, 400, 401, 403, 413]) t.same(push(status), { result: 'refused' }, String(status))
  for (const status of [429, 500, 502, 503, 'unreachable'] as const)
    t.same(push(status), { result: 'retry', delayMs: 5000 }, String(status))
  t.same(
    [1, 2, 3, 4, 20].map((attempts) => push(500, { attempts })),
    [5000, 10_000, 20_000, 40_000, HOUR].map((delayMs) => ({ result: 'retry', delayMs })),
    'the delay doubles, up to an hour'
  )
  t.same(push(500, {}, 0, 1), { result: 'retry', delayMs: 6000 }, 'with jitter')
  t.same(push(429, { retryAfter: '120' }), { result: 'retry', delayMs: 120_000 })
  t.same(push(503, { retryAfter: '1' }), { result: 'retry', delayMs: 5000 }, 'never sooner than the back-off')
  t.same(push(500, {}, NOW + 4000), { result: 'exhausted' }, 'it would expire before')
  t.same(push(429, { retryAfter: '7200' }, NOW + HOUR), { result: 'exhausted' })
  t.same(push(500, { now: NOW + 24 * HOUR }), { result: 'exhausted' }, 'after a day')
  t.same(push(500, { attempts: 30, now: NOW + 22 * HOUR }), { result: 'retry', delayMs: HOUR })
})

t.test('the outcome of a webhook', async (t) => {
  const webhook = (status: number | 'unreachable', attempts = 1, random = 0, retryAfter?: string) =>
    webhookOutcome({ status, retryAfter } as Parameters<typeof webhookOutcome>[0], { attempts, now: NOW }, random)
  for (const status of [200, 204]) t.same(webhook(status), { result: 'delivered' })
  t.same(webhook(410), { result: 'gone' })
  for (const status of [302, 400, 404, 429, 500, 'unreachable'] as const) t.match(webhook(status), { result: 'retry' }, String(status))
  const schedule = [5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600]
  t.same(
    schedule.map((_, index) => webhook(500, index + 1)),
    schedule.map((seconds) => ({ result: 'retry', delayMs: seconds * 1000 }))
  )
  t.same(webhook(500, 10), { result: 'exhausted' })
  t.same(webhook(500, 1, 0.5), { result: 'retry', delayMs: 5500 })
  t.same(webhook(429, 1, 0, '60'), { result: 'retry', delayMs: 60_000 })
})

t.test('Retry-After is seconds or a date', async (t) => {
  t.equal(retryAfterMs('120', NOW), 120_000)
  t.equal(retryAfterMs(' 0 ', NOW), 0)
  t.equal(retryAfterMs(new Date(NOW + 90_000).toUTCString(), NOW), 90_000)
  t.equal(retryAfterMs(new Date(NOW - 90_000).toUTCString(), NOW), 0)
  t.equal(retryAfterMs('Thursday, 31-Jul-25 22:15:00 GMT', NOW), 100_000, 'the form of RFC 850')
  for (const text of ['999999999', '99999999999999', '9'.repeat(400), 'Fri, 31 Dec 2099 23:59:59 GMT'])
    t.equal(retryAfterMs(text, NOW), 24 * HOUR, 'at most a day')
  const dates = ['busy until 2099', '2099-01-01', '12/31/2099', '31 Dec 2099', 'Fri, 99 Dec 2099 23:59:59 GMT']
  for (const text of [undefined, '', 'soon', '-5', '+5', '1e3', '1.5', 'Infinity', '5, 7', ...dates])
    t.equal(retryAfterMs(text, NOW), 0, String(text))
})

t.test('the sender keeps to its bounds whatever the receiver does', async (t) => {
  const receiver = await Receiver.start(t)
  const sender = new HttpSender({ connectionsPerHost: 4, timeoutMs: 400 })
  t.teardown(() => sender.close())
  const send = () => sender.send({ url: `${receiver.origin}/hook`, headers: { 'content-type': 'text/plain' }, body: 'hello' })

  t.same(await send(), { status: 204, retryAfter: undefined })
  t.match(receiver.received[0], { path: '/hook', headers: { 'content-type': 'text/plain', 'content-length': '5' } })

  await t.test('redirects are not followed', async (t) => {
    receiver.behaviour = answering(307, { location: `${receiver.origin}/elsewhere` })
    t.match(await send(), { status: 307 })
    t.notOk(receiver.received.some(({ path }) => path === '/elsewhere'))
  })

  await t.test('Retry-After is read', async (t) => {
    receiver.behaviour = answering(429, { 'retry-after': '7' })
    t.same(await send(), { status: 429, retryAfter: '7' })
  })

  await t.test('a receiver that never answers costs the time limit', async (t) => {
    receiver.behaviour = hanging
    const before = performance.now()
    t.same(await send(), { status: 'unreachable', reason: 'no answer within 0.4 s' })
    const ms = performance.now() - before
    t.ok(ms >= 390 && ms < 3000, `${ms} ms`)
    await until(() => receiver.open === 0, 'the connection is closed')
  })

  await t.test('an answer that drips counts as its status, and is cut off', async (t) => {
    receiver.behaviour = (response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('x'), 20)
      response.on('close', () => clearInterval(timer))
    }
    t.match(await send(), { status: 200 })
    await until(() => receiver.open === 0, 'the connection is closed')
  })

  await t.test('of a flood, 64 KB are read', async (t) => {
    let written = 0
    receiver.behaviour = (response) => {
      response.writeHead(200)
      const chunk = Buffer.alloc(16_384)
      const flood = (): void => {
        if (response.destroyed || written > 256 * 1024 * 1024) return
        written += chunk.length
        if (response.write(chunk)) setImmediate(flood)
        else response.once('drain', flood)
      }
      flood()
    }
    const before = performance.now()
    t.match(await send(), { status: 200 })
    t.ok(performance.now() - before < 390, 'the limit of bytes came before the limit of time')
    await until(() => receiver.open === 0, 'the connection is closed')
    t.ok(written < 16 * 1024 * 1024, `${written} bytes: what the buffers of the sockets hold`)
  })

  await t.test('a receiver that does not exist, breaks off or speaks no HTTP', async (t) => {
    const nowhere = await sender.send({ url: 'http://127.0.0.1:1/', headers: {}, body: '' })
    t.same(nowhere, { status: 'unreachable', reason: 'ECONNREFUSED' })
    receiver.behaviour = (_response, _received, request) => request.socket.destroy()
    t.match(await send(), { status: 'unreachable' })
    receiver.behaviour = (_response, _received, request) => request.socket.end('nonsense\r\n\r\n')
    t.match(await send(), { status: 'unreachable' })
  })

  await t.test('no more connections to a host than allowed; they are kept', async (t) => {
    receiver.behaviour = (response) => setTimeout(() => response.end(), 30)
    receiver.mostOpen = 0
    await Promise.all(Array.from({ length: 12 }, send))
    t.equal(receiver.mostOpen, 4)
  })

  await t.test('a kept connection that the host closes as it is used again costs no attempt', async (t) => {
    const answered = new Set<unknown>()
    let requests = 0
    receiver.behaviour = (response, _received, request) => {
      requests += 1
      if (answered.has(request.socket)) return void request.socket.destroy()
      answered.add(request.socket)
      response.writeHead(204).end()
    }
    await Promise.all([send(), send(), send()])
    for (let round = 0; round < 4; round++) t.match(await send(), { status: 204 })
    t.ok(requests > 7, 'connections were used again')
    requests = 0
    receiver.behaviour = (_response, _received, request) => {
      requests += 1
      request.socket.destroy()
    }
    const fresh = new HttpSender({ connectionsPerHost: 4, timeoutMs: 400 })
    t.teardown(() => fresh.close())
    t.match(await fresh.send({ url: receiver.origin, headers: {}, body: '' }), { status: 'unreachable' })
    t.equal(requests, 1, 'a new connection that breaks off is an attempt')
  })

  await t.test('close aborts what is in flight', async (t) => {
    receiver.behaviour = hanging
    const sending = send()
    await until(() => receiver.open > 0)
    await sender.close()
    t.match(await sending, { status: 'unreachable' })
  })
})

t.test('a call has 10 s', async (t) => {
  const receiver = await Receiver.start(t)
  const sender = new HttpSender({ connectionsPerHost: 4 })
  const { setTimeout } = globalThis
  t.teardown(async () => {
    globalThis.setTimeout = setTimeout
    await sender.close()
  })
  let ends: (() => void) | undefined
  globalThis.setTimeout = ((run: () => void, ms: number, ...rest: []) => {
    if (ms === 10_000) ends = run
    return setTimeout(run, ms, ...rest)
  }) as typeof setTimeout
  receiver.behaviour = hanging
  const sending = sender.send({ url: receiver.origin, headers: {}, body: '' })
  globalThis.setTimeout = setTimeout
  await until(() => receiver.open === 1)
  t.ok(ends, 'a timer of 10 s')
  ends?.()
  t.match(await sending, { status: 'unreachable', reason: 'no answer within 10 s' })
})

/**
 * Starts name servers that know no host, and never answer for hosts that begin with `hangs`. Looks up the others at 127.0.0.1, as long as one of the
 * two threads that a process has for lookups is free: a lookup that hangs holds its thread. Returns those that hang.
 */
async function nameServers(t: Test): Promise<{ name: string; answer: (...found: unknown[]) => void }[]> {
  const server = createSocket('udp4', (question, { port, address }) => {
    if (question.includes('hangs')) return
    const header = Buffer.from([...question.subarray(0, 2), 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0])
    server.send([header, question.subarray(12)], port, address)
  })
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  const { lookup } = dns
  const before = dns.getServers()
  dns.setServers([`127.0.0.1:${server.address().port}`])
  const held: { name: string; answer: (...found: unknown[]) => void }[] = []
  dns.lookup = ((name: string, options: dns.LookupOptions, answer: (...found: unknown[]) => void) => {
    if (name.startsWith('hangs')) held.push({ name, answer })
    else if (held.length < 2) lookup('127.0.0.1', options, answer)
  }) as typeof dns.lookup
  t.teardown(() => {
    dns.lookup = lookup
    dns.setServers(before)
    server.close()
  })
  return held
}

t.test('hosts whose name servers do not answer delay no other', async (t) => {
  const receiver = await Receiver.start(t)
  const { port } = new URL(receiver.origin)
  const held = await nameServers(t)
  const sender = new HttpSender({ connectionsPerHost: 4, timeoutMs: 400 })
  t.teardown(() => sender.close())
  const send = (host: string) => sender.send({ url: `http://${host}:${port}/`, headers: {}, body: '' })
  const works = async () => t.same(await send('works.test'), { status: 204, retryAfter: undefined })
  for (let round = 0; round < 2; round++) {
    const hosts = [...Array.from({ length: 4 }, () => 'hangs.slow.test'), 'hangs-too.slow.test', 'hangs.slower.test', 'hangs.slowest.test']
    const hanging = hosts.map(send)
    await works()
    for (const attempt of await Promise.all(hanging)) t.match(attempt, { status: 'unreachable' })
    await until(() => held.length > 0, 'a lookup of one of them')
    await works()
    t.equal(held.length, 1, 'one lookup for all')
  }
  const [first] = held
  first?.answer(Object.assign(new Error('no such host'), { code: 'ENOTFOUND' }))
  await until(() => held[1] !== undefined || send('hangs.slowest.test').then(() => false), 'the next host')
  await works()
  held[1]?.answer(null, [{ address: '127.0.0.1', family: 4 }])
})

t.test('the connections to one host share one lookup', async (t) => {
  const receiver = await Receiver.start(t)
  const { port } = new URL(receiver.origin)
  const held = await nameServers(t)
  const sender = new HttpSender({ connectionsPerHost: 4 })
  t.teardown(() => sender.close())
  const sending = Array.from({ length: 4 }, () => sender.send({ url: `http://hangs.test:${port}/`, headers: {}, body: '' }))
  const asked = () => held.filter(({ name }) => name === 'hangs.test')
  await until(() => asked().length > 0, 'the lookup')
  asked()[0]?.answer(null, [{ address: '127.0.0.1', family: 4 }])
  for (const attempt of await Promise.all(sending)) t.match(attempt, { status: 204 }, 'the system knows a host that name servers do not')
  t.equal(asked().length, 1)
})
