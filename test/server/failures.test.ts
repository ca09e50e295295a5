import { once } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { Belfry, BelfryError, type BelfryOptions } from '../../packages/server/src/index.ts'
import { signPayload } from '../fixtures/token.ts'
import { until } from '../fixtures/wait.ts'
import { BatchService, problem, reply } from './batch-service.ts'

const note = (title = 'note') => ({ type: 'test', title })

async function start(t: Test, options: Partial<BelfryOptions> = {}): Promise<{ service: BatchService; belfry: Belfry }> {
  const service = await BatchService.start(t)
  return {
    service,
    belfry: new Belfry(service.url, { ...(options.getToken === undefined && { apiKey: 'a key' }), ...options } as BelfryOptions)
  }
}

t.test('503 and 429 are repeated after Retry-After with the same key, and calls made until then wait', async (t) => {
  let answers = 0
  const counted: typeof fetch = async (...request) => {
    const reply = await fetch(...request)
    const body = await reply.text()
    answers += 1
    return new Response(body || null, reply)
  }
  const { service, belfry } = await start(t, { fetch: counted })
  service.script = ({ number }, response) => {
    if (number === 0) response.writeHead(503, { 'retry-after': '1' }).end()
    else if (number === 1) reply(response, 429, problem(429, 'BELFRY_ERR_TOO_MANY_REQUESTS', 300), { 'retry-after': '1' })
    else if (number === 2) response.writeHead(503, { 'retry-after': new Date(Date.now() + 1500).toUTCString() }).end()
  }
  const call = belfry.notify('alice', note('first'))
  await until(() => answers === 1, 'the first answer')
  const during = belfry.notify('bob', note('during'))
  await Promise.all([call, during])
  const [one, two, three, four] = service.requests.map(({ at }) => at) as [number, number, number, number]
  // Timers and the wall clock may differ by a millisecond.
  t.ok(two - one >= 995, `${two - one} ms`)
  t.ok(three - two >= 295 && three - two < 1000, `${three - two} ms: retryAfterMs is more precise`)
  t.ok(four > three)
  t.same(service.sizes, [1, 2, 2, 2])
  t.equal(new Set(service.requests.map(({ items }) => items[0]?.idempotencyKey)).size, 1)
  t.same(service.published, ['first', 'during'])
})

t.test('a wait longer than the rest of its time fails a call at once, with the error of the service', async (t) => {
  const { service, belfry } = await start(t, { timeoutMs: 2000 })
  service.script = ({ items }, response) => {
    if (items[0]?.title === 'whole') reply(response, 503, problem(503, 'BELFRY_ERR_DRAINING', 5000))
    else reply(response, 202, { results: items.map(() => ({ problem: problem(429, 'BELFRY_ERR_PARKED_FULL', 90_000) })) })
  }
  const from = performance.now()
  await t.rejects(belfry.notify('alice', note()), { status: 429, code: 'BELFRY_ERR_PARKED_FULL', retryAfterMs: 90_000, temporary: true })
  const error = await belfry.notify('alice', note('whole')).catch((reason: unknown) => reason)
  t.ok(error instanceof BelfryError)
  t.match(error, { status: 503, code: 'BELFRY_ERR_DRAINING', message: 'It is BELFRY_ERR_DRAINING', problem: { retryAfterMs: 5000 } })
  t.ok(performance.now() - from < 1500)
  t.equal(service.requests.length, 2)
})

t.test('broken connections and proxies without an upstream are retried; other statuses are not', async (t) => {
  const { service, belfry } = await start(t)
  service.script = ({ number }, response) => {
    if (number === 0) response.destroy()
    else if (number === 1) response.writeHead(202, { 'content-length': '100' }).write('{"results":')
    if (number === 1) response.destroy()
    if (number === 2) response.writeHead(502).end('<html>')
    if (number === 3) response.writeHead(504).end()
  }
  t.match(await belfry.notify('alice', note()), { user: 'alice', status: 'accepted' })
  t.equal(service.requests.length, 5)
  t.equal(service.published.length, 1)
  for (const [status, code] of [
    [403, 'BELFRY_ERR_SCOPE_MISSING'],
    [404, 'BELFRY_SDK_HTTP'],
    [500, 'BELFRY_ERR_INTERNAL'],
    [301, 'BELFRY_SDK_HTTP']
  ] as const) {
    service.requests.length = 0
    service.script = (_, response) => {
      if (code === 'BELFRY_SDK_HTTP') response.writeHead(status, { location: '/elsewhere' }).end('<html>')
      else reply(response, status, problem(status, code))
    }
    await t.rejects(belfry.notify('alice', note()), { status, code, temporary: false }, `${status}`)
    t.equal(service.requests.length, 1)
  }
  for (const body of ['<html>', '{"results":[]}', 'null']) {
    service.script = (_, response) => void response.writeHead(200).end(body)
    await t.rejects(belfry.notify('alice', note()), { code: 'BELFRY_SDK_HTTP' }, body)
  }
})

t.test('a service that cannot be reached fails a call after its time, with the reason', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as { port: number }
  closed.close()
  const belfry = new Belfry(`http://127.0.0.1:${port}`, { apiKey: 'a key', timeoutMs: 500 })
  const from = performance.now()
  const settled = await Promise.allSettled([belfry.notify('alice', note()), belfry.recall('alice', 'x'), belfry.topics.of('alice')])
  for (const { status, ...rest } of settled) {
    t.equal(status, 'rejected')
    t.match(rest, { reason: { status: 0, code: 'BELFRY_SDK_NETWORK', temporary: true, message: /ECONNREFUSED/, problem: undefined } })
  }
  const tookMs = performance.now() - from
  t.ok(tookMs > 200 && tookMs < 1500, `${tookMs} ms`)
})

t.test('a service that does not answer fails a call after its time', async (t) => {
  const { service, belfry } = await start(t, { timeoutMs: 300 })
  service.script = () => new Promise(() => undefined)
  const from = performance.now()
  await t.rejects(belfry.notify('alice', note()), { code: /BELFRY_SDK_(TIMEOUT|NETWORK)/, temporary: true })
  t.ok(performance.now() - from < 1000)
})

t.test('a list is repeated while the store fails for some, and resolves with what became of it', async (t) => {
  const { service, belfry } = await start(t, { timeoutMs: 1500 })
  let failures = 1
  const partial = { user: 'bob', status: 'rejected', code: 'BELFRY_ERR_STORE_UNAVAILABLE', retryAfterMs: 10, nodes: 0 }
  service.script = ({ items }, response) => {
    const whole = items.map((item) => service.carryOut(item) as { results: object[] })
    if (failures-- > 0) reply(response, 202, { results: whole.map((answer) => ({ ...answer, results: [answer.results[0], partial] })) })
  }
  t.match(await belfry.notify(['alice', 'bob'], note()), { results: [{ status: 'accepted' }, { status: 'accepted' }] })
  t.equal(service.requests.length, 2)
  failures = Number.POSITIVE_INFINITY
  t.match(await belfry.notify(['alice', 'bob'], note()), { results: [{ status: 'accepted' }, partial] })
})

t.test('an aborted call that waits is never sent; one that was sent rejects, and is not repeated', async (t) => {
  const { service, belfry } = await start(t)
  const already = AbortSignal.abort(new Error('before'))
  await t.rejects(belfry.notify('alice', note('before'), { signal: already }), { message: 'before' })
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  service.script = () => gate
  const abort = new AbortController()
  const sent = belfry.notify('alice', note('sent'), { signal: abort.signal })
  await until(() => service.requests.length === 1, 'the request')
  const waiting = belfry.notify('alice', note('waiting'), { signal: abort.signal })
  const later = belfry.notify('alice', note('later'))
  abort.abort(new Error('enough'))
  await t.rejects(sent, { message: 'enough' })
  await t.rejects(waiting, { message: 'enough' })
  open()
  await later
  t.same(service.published, ['sent', 'later'], 'the service had carried it out')

  service.requests.length = 0
  service.script = (_, response) => void response.writeHead(503, { 'retry-after': '1' }).end()
  const between = belfry.notify('alice', note('between'), { signal: AbortSignal.timeout(200) })
  await t.rejects(between, { name: 'TimeoutError' })
  await belfry.close()
  t.equal(service.requests.length, 1)
  const idle = new AbortController()
  const read = belfry.presence('alice', { signal: idle.signal })
  idle.abort(new Error('not needed'))
  await t.rejects(read, { message: 'not needed' })
  await t.rejects(belfry.presence('alice', { signal: idle.signal }), { message: 'not needed' })

  service.requests.length = 0
  service.script = () => undefined
  const atOnce = new AbortController()
  const recall = belfry.recall('alice', 'id', { signal: atOnce.signal })
  atOnce.abort(new Error('at once'))
  await t.rejects(recall, { message: 'at once' })
  t.equal(service.requests.length, 0, 'aborted in the same turn, it is not sent')
})

t.test('close() waits for the calls before it, and refuses those after it', async (t) => {
  const { service, belfry } = await start(t)
  service.script = ({ number }, response) => void (number === 0 && response.writeHead(503).end())
  const calls = Array.from({ length: 50 }, (_, n) => belfry.notify('alice', note(`${n}`)))
  const closed = belfry.close()
  await t.rejects(belfry.notify('alice', note('late')), { code: 'BELFRY_SDK_CLOSED' })
  await closed
  t.equal(service.published.length, 50)
  await Promise.all(calls)
  await belfry.close()
})

t.test('a token is fetched once, again shortly before it expires, and once after a 401', async (t) => {
  const lives = [3600, 3600, 1, 3600]
  let fetched = 0
  const getToken = async (): Promise<string> =>
    signPayload('any', { n: fetched, exp: Math.floor(Date.now() / 1000) + (lives[fetched++] ?? 3600) })
  const { service, belfry } = await start(t, { getToken })
  await Promise.all([belfry.notify('alice', note()), belfry.notify('bob', note())])
  await belfry.notify('alice', note())
  t.equal(fetched, 1)
  let refused = 1
  service.script = (_, response) => refused-- > 0 && reply(response, 401, problem(401, 'BELFRY_ERR_TOKEN_REVOKED'))
  await belfry.notify('alice', note())
  t.equal(fetched, 2)
  t.not(service.requests.at(-1)?.headers.authorization, service.requests.at(-2)?.headers.authorization)
  refused = 2
  await t.rejects(belfry.notify('alice', note()), { status: 401, code: 'BELFRY_ERR_TOKEN_REVOKED' }, 'a second 401 fails the call')
  t.equal(fetched, 3)
  await until(async () => {
    await belfry.notify('alice', note())
    return fetched === 4
  }, 'a new token in place of the one that expires')
})

t.test('a call waits for a getToken that hangs no longer than its own time, and its signal ends the wait', async (t) => {
  const tokens: ((token: string) => void)[] = []
  const getToken = (): Promise<string> => new Promise((resolve) => tokens.push(resolve))
  const { service, belfry } = await start(t, { getToken, timeoutMs: 300 })
  const controller = new AbortController()
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal: AbortSignal) => belfry.recall('alice', 'id', { signal }),
    (signal: AbortSignal) => belfry.presence('alice', { signal }),
    (signal: AbortSignal) => belfry.notify('alice', note(), { signal })
  ]
  const aborted = Promise.all(calls.map((call) => t.rejects(call(controller.signal), { message: 'enough' })))
  await until(() => tokens.length === 1, 'one fetch, which the calls share')
  controller.abort(new Error('enough'))
  await aborted
  for (const call of calls) {
    const startedAt = performance.now()
    await t.rejects(call(new AbortController().signal), { code: /BELFRY_SDK_(TOKEN|TIMEOUT)/ })
    t.ok(performance.now() - startedAt < 5000, 'long before getToken itself times out after 10 s')
  }
  t.equal(service.requests.length, 0)
  for (const give of tokens) give('late')
  await belfry.notify('alice', note())
  t.equal(service.requests.at(-1)?.headers.authorization, 'Bearer late', 'the fetch went on for later calls')
})

t.test('getToken that fails fails the call, and an API key is never replaced', async (t) => {
  const { service, belfry } = await start(t, { getToken: () => Promise.reject(new Error('the authority is down')) })
  await t.rejects(belfry.notify('alice', note()), { code: 'BELFRY_SDK_TOKEN', message: /the authority is down/, cause: Error })
  const wrong = new Belfry(service.url, { getToken: () => 7 as unknown as string })
  await t.rejects(wrong.notify('alice', note()), { code: 'BELFRY_SDK_TOKEN', cause: TypeError })
  t.equal(service.requests.length, 0)
  const opaque = new Belfry(service.url, { getToken: () => 'opaque' })
  await opaque.notify('alice', note())
  service.script = (_, response) => reply(response, 401, problem(401, 'BELFRY_ERR_TOKEN_INVALID'))
  await t.rejects(new Belfry(service.url, { apiKey: 'wrong' }).notify('alice', note()), { code: 'BELFRY_ERR_TOKEN_INVALID' })
  t.equal(service.requests.length, 2)
})

t.test('mistakes of the caller are TypeErrors', async (t) => {
  const options = (value: object): BelfryOptions => value as BelfryOptions
  t.throws(() => new Belfry('ftp://localhost', { apiKey: 'k' }), TypeError)
  t.throws(() => new Belfry('nowhere', { apiKey: 'k' }), TypeError)
  t.throws(() => new Belfry('http://localhost', options({})), TypeError)
  t.throws(() => new Belfry('http://localhost', options({ apiKey: 'k', getToken: () => 'x' })), TypeError)
  for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => new Belfry('http://localhost', { apiKey: 'k', timeoutMs }), TypeError)
  }
  const { service, belfry } = await start(t)
  await t.rejects(belfry.notify('alice', { ...note(), data: { big: 1n } }), TypeError)
  await t.rejects(belfry.notify(null as unknown as string, note()), TypeError)
  const data = { n: 1 }
  const call = belfry.notify('alice', { ...note(), data })
  data.n = 2
  await call
  t.match(service.requests[0]?.items, [{ data: { n: 1 } }], 'a notification is read when it is given')
})

t.test('the trace context of the app goes with the request', async (t) => {
  const { service, belfry } = await start(t)
  await belfry.notify('alice', note())
  t.notOk('traceparent' in (service.requests[0]?.headers ?? {}))
  const API = Symbol.for('opentelemetry.js.api.1')
  const registry = globalThis as unknown as Record<symbol, unknown>
  t.teardown(() => delete registry[API])
  let active: string | undefined = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  type Setter = { set(carrier: object, name: string, value: string): void }
  registry[API] = {
    version: '1.9.0',
    context: { active: () => active },
    propagation: {
      inject: (context: string | undefined, carrier: object, setter: Setter) => {
        if (context !== undefined) setter.set(carrier, 'traceparent', context)
      }
    }
  }
  await belfry.notify('alice', note())
  t.equal(service.requests.at(-1)?.headers.traceparent, active)
  active = undefined
  await belfry.notify('alice', note())
  t.notOk('traceparent' in (service.requests.at(-1)?.headers ?? {}))
  registry[API] = { version: '1.9.0' }
  await belfry.notify('alice', note())
  t.equal(service.requests.length, 4)
})
