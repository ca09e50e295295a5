import fc from 'fast-check'
import t, { type Test } from 'tap'
import { send } from '../fixtures/raw.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { call, connect, ready, serviceToken, startService, type TestService, userToken } from '../helper.ts'

const redis = await RedisServer.start()
t.teardown(() => redis.stop())
const stores: Record<string, TestService> = {
  embedded: await startService(t, { RATE_LIMIT_MAX: '0' }),
  redis: await startService(t, { RATE_LIMIT_MAX: '0', REDIS_URL: redis.url })
}

function publish(service: TestService, body: string) {
  return call(service, 'POST', '/v1/notifications', body)
}

/** Returns the notifications of an event stream, once `count` of them arrived. */
async function streamed(service: TestService, user: string, count: number): Promise<unknown[]> {
  const response = await fetch(`${service.url}/v1/sse?device_id=stream&last_event_id=earliest`, {
    headers: { authorization: `Bearer ${userToken(user)}` }
  })
  let text = ''
  const frames: { type: string; notification: unknown }[] = []
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString('latin1')
    frames.length = 0
    for (const event of text.split('\n\n').slice(0, -1)) {
      const data = /^data: (.*)$/m.exec(event)?.[1]
      if (data !== undefined) frames.push(JSON.parse(Buffer.from(data, 'latin1').toString()))
    }
    const notifications = frames.filter(({ type }) => type === 'notification')
    if (notifications.length >= count) return notifications.map(({ notification }) => notification)
  }
  throw new Error('the stream ended')
}

/** Asserts that the inbox, a live and a replaying WebSocket and an event stream return each content as it was published. */
async function assertUnchanged(t: Test, service: TestService, user: string, contents: Record<string, unknown>[]): Promise<void> {
  const live = await ready(t, service, user, { deviceId: 'live', acks: true })
  for (const content of contents) {
    const { status, body } = await publish(service, JSON.stringify({ to: user, ...content }))
    t.equal(status, 202, JSON.stringify(body))
  }
  const shown = (notification: unknown): unknown => {
    const { type, title, ref, timestamp, data } = notification as Record<string, unknown>
    return JSON.stringify({ type, title, ref, timestamp, data })
  }
  const expected = contents.map(shown)
  await live.until(() => (live.all('notification').length >= contents.length ? true : undefined), 'every notification')
  t.same(
    live.all('notification').map(({ notification }) => shown(notification)),
    expected,
    'live'
  )
  await live.close()
  const replayed = await connect(t, service, user, { deviceId: 'late', lastEventId: 'earliest', acks: true })
  await replayed.next('caughtUp')
  t.same(
    replayed.all('notification').map(({ notification }) => shown(notification)),
    expected,
    'replayed'
  )
  await replayed.close()
  t.same((await streamed(service, user, contents.length)).map(shown), expected, 'streamed')
  const inbox = await call(service, 'GET', `/v1/users/${user}/notifications?limit=200`)
  t.same(inbox.body.items.map(shown).reverse(), expected, 'in the inbox')
  const one = await call(service, 'GET', `/v1/users/${user}/notifications/${inbox.body.items[0].id}`)
  t.equal(shown(one.body), expected.at(-1), 'by its id')
}

const NUMBERS = [0, 0.1, -1.5e300, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.1 + 0.2]

const content = (more: Record<string, unknown>): Record<string, unknown> => ({
  type: 't',
  title: 'x',
  timestamp: 1_754_000_000_000,
  ...more
})

const CONTENTS = [
  content({ title: '\ud800 \u2028 \u0000 " \\ \udfff', type: '\u0000', ref: '\ud83d' }),
  content({ title: '\u{1f600} ünï\ufeff', ref: '' }),
  content({ timestamp: 0 }),
  content({ timestamp: 8.64e15 }),
  content({ data: {} }),
  content({ data: { numbers: NUMBERS, text: ['\u0000', '\ud800', '\udc00\ud800', '\n', ''], none: null, yes: true } }),
  content({
    data: { '': 1, '\ud800': 2, '\u0000': 3, constructor: 'Ford', hasOwnProperty: 1, toJSON: 1, length: 0, toString: null, 7: 'seven' }
  }),
  content({ data: JSON.parse(`{"deep":${'['.repeat(2000)}${']'.repeat(2000)}}`) }),
  content({ data: JSON.parse(`${`{"a":`.repeat(600)}1${'}'.repeat(600)}`) })
]

for (const [name, service] of Object.entries(stores)) {
  t.test(`${name}: accepted content is returned unchanged`, (t) => assertUnchanged(t, service, 'fixed', CONTENTS))

  t.test(`${name}: random JSON is returned unchanged`, async (t) => {
    const text = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)), maxLength: 12 })
    const key = text.filter((name) => name !== '__proto__')
    const number = fc.oneof(fc.double({ noDefaultInfinity: true, noNaN: true }), fc.maxSafeInteger()).map((n) => (Object.is(n, -0) ? 0 : n))
    const exact = number.filter((n) => !Number.isInteger(n) || Number.isSafeInteger(n) || String(n).includes('e'))
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        exact,
        text,
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        tie('object')
      ),
      object: fc.dictionary(key, tie('value'), { maxKeys: 4 })
    }))
    const data = fc.dictionary(key, value, { maxKeys: 4 }).filter((object) => Buffer.byteLength(JSON.stringify(object)) <= 4096)
    const samples = fc.sample(fc.record({ data, title: text.filter((title) => title !== '') }), { numRuns: 60, seed: 20 })
    await assertUnchanged(
      t,
      service,
      'any',
      samples.map(({ data, title }) => content({ title, data: JSON.parse(JSON.stringify(data)) }))
    )
  })

  t.test(`${name}: JSON that would not be returned unchanged is 400 with its place, and nothing is stored`, async (t) => {
    const refused: [string, string][] = [
      ['"data":{"orderId":738529527931269425}', '/data/orderId'],
      ['"data":{"a":[{"b":9007199254740993}]}', '/data/a/0/b'],
      ['"data":{"a":-9007199254740992}', '/data/a'],
      ['"data":{"a":9007199254740993.0}', '/data/a'],
      ['"data":{"a":7.38529527931269425e17}', '/data/a'],
      ['"data":{"a":0.12345678901234567890}', '/data/a'],
      ['"data":{"a":1e400}', '/data/a'],
      ['"data":{"a":-1E+400}', '/data/a'],
      ['"data":{"a":1e-400}', '/data/a'],
      ['"data":{"a":-0}', '/data/a'],
      ['"data":{"a":[0,-0.0e5]}', '/data/a/1'],
      ['"data":{"a":1,"b":{"x":1,"x":1}}', '/data/b/x'],
      ['"data":{"a":1,"\\u0061":1}', '/data/a'],
      ['"data":{"a/b~":1e999}', '/data/a~1b~0'],
      ['"data":{"__proto__":{"x":1}}', '/data/__proto__'],
      ['"data":{"a":[{"\\u005f_proto__":1}]}', '/data/a/0/__proto__'],
      ['"data":{"constructor":{"prototype":{"x":1}}}', '/data/constructor/prototype'],
      ['"title":"y"', '/title'],
      ['"halfLife":1e999', '/halfLife'],
      ['"timestamp":1e400', '/timestamp'],
      ['"timestamp":8640000000000001', '/timestamp'],
      ['"timestamp":1754000000', '/timestamp'],
      ['"timestamp":-1', '/timestamp'],
      ['"timestamp":1754000000.5', '/timestamp']
    ]
    for (const [json, pointer] of refused) {
      const answer = await publish(service, `{"to":"refused","type":"t","title":"x",${json}}`)
      t.match(answer, { status: 400, body: { code: 'BELFRY_ERR_INVALID_REQUEST' } }, json)
      t.equal(answer.body.errors[0].pointer, pointer, json)
    }
    t.match((await call(service, 'GET', '/v1/users/refused/notifications')).body, { items: [], unread: 0 })
  })

  t.test(`${name}: a bad item of a batch does not fail the others`, async (t) => {
    const item = (data: string): string => `{"to":"batch","type":"t","title":"x","data":${data}}`
    const items = ['{"n":1}', '{"__proto__":1}', '{"n":738529527931269425}', '{"n":{"m":-0}}', '{"n":1,"n":2}', '{"n":2}']
    const answer = await call(service, 'POST', '/v1/notifications/batch', `{"notifications":[${items.map(item).join(',')}]}`)
    t.equal(answer.status, 202)
    t.same(
      answer.body.results.map(({ problem }: { problem?: { errors: { pointer: string }[] } }) => problem?.errors[0]?.pointer),
      [undefined, '/data/__proto__', '/data/n', '/data/n/m', '/data/n', undefined]
    )
    const inbox = await call(service, 'GET', '/v1/users/batch/notifications')
    t.same(
      inbox.body.items.map(({ data }: { data: { n: number } }) => data.n),
      [2, 1]
    )
    const whole = await call(
      service,
      'POST',
      '/v1/notifications/batch',
      `{"notifications":[${item('{}')}],"notifications":[${item('{}')}]}`
    )
    t.match(whole, { status: 400, body: { errors: [{ pointer: '/notifications' }] } })
  })
}

t.test('numbers that other languages write for doubles are accepted', async (t) => {
  const { embedded } = stores as { embedded: TestService }
  const literals = [
    '1e20',
    '1E+2',
    '0.10000000000000001',
    '0.1000000000000000055511151231257827',
    '1.50',
    '-0.5e-7',
    '9007199254740991',
    '12.0',
    '2.5e-310'
  ]
  const { body } = await publish(embedded, `{"to":"literals","type":"t","title":"x","data":{"n":[${literals.join(', ')}]}}`)
  t.match(body, { id: String })
  const inbox = await call(embedded, 'GET', '/v1/users/literals/notifications')
  t.same(inbox.body.items[0].data.n, literals.map(Number))
})

const { embedded } = stores as { embedded: TestService }

t.test('a ref that cannot be returned unchanged is refused, and its frame has no effect', async (t) => {
  const service = stores.embedded as TestService
  const { id } = (await publish(service, '{"to":"refs","type":"a","title":"b"}')).body
  const connection = await ready(t, service, 'refs', { deviceId: 'd' })
  const fields = { mark: `"ids":["${id}"],"state":"read"`, answer: `"id":"${id}","action":"a"`, refresh: `"token":"${userToken('refs')}"` }
  for (const [type, rest] of Object.entries(fields)) {
    for (const ref of ['1e400', '-1e400', '9007199254740993']) {
      connection.send(`{"type":"${type}","ref":${ref},${rest}}`)
      t.match(await connection.next('error'), { code: 'BELFRY_ERR_INVALID_REQUEST', ref: undefined, temporary: false }, `${type} ${ref}`)
    }
  }
  t.equal((await call(service, 'GET', `/v1/users/refs/notifications/${id}`)).body.state, 'unread')
  for (const ref of [0, -1, 1.5, Number.MAX_SAFE_INTEGER]) {
    connection.send(`{"type":"mark","ref":${ref},${fields.mark}}`)
    t.equal((await connection.next('ok')).ref, ref)
  }
})

t.test('a body with more problems than an answer lists is refused as a whole: 400', async (t) => {
  const many = await publish(embedded, `{"to":"a","type":"t","title":"x","data":{"n":[${Array(5000).fill('-0').join(',')}]}}`)
  t.match(many, { status: 400, body: { errors: [{ pointer: '' }] } })
  const some = await publish(embedded, `{"to":"a","type":"t","title":"x","data":{"n":[${Array(50).fill('-0').join(',')}]}}`)
  t.equal(some.body.errors.length, 20)
})

/** Sends a body as bytes, with a length or in chunks. */
async function post(body: Buffer, headers: Record<string, string>, isChunked: boolean) {
  const answer = await fetch(`${embedded.url}/v1/notifications`, {
    method: 'POST',
    headers: { authorization: `Bearer ${serviceToken()}`, 'content-type': 'application/json', ...headers },
    ...(isChunked ? { duplex: 'half', body: new Blob([body]).stream() } : { body })
  } as RequestInit)
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as { code: string; detail: string } }
}

t.test('a body that is not UTF-8 is 400; another charset or a coding is 415, also when chunked', async (t) => {
  const text = JSON.stringify({ to: 'bytes', type: 't', title: 'Café' })
  const utf8 = Buffer.from(text)
  const latin1 = Buffer.from(text, 'latin1')
  const surrogate = Buffer.concat([utf8.subarray(0, -3), Buffer.from([0xed, 0xa0, 0x80]), utf8.subarray(-2)])
  const overlong = Buffer.concat([utf8.subarray(0, -3), Buffer.from([0xc0, 0x80]), utf8.subarray(-2)])
  for (const isChunked of [false, true]) {
    for (const [name, body] of Object.entries({
      latin1,
      surrogate,
      overlong,
      cut: utf8.subarray(0, -3),
      utf16: Buffer.from(text, 'utf16le')
    })) {
      const answer = await post(body, {}, isChunked)
      t.match(answer, { status: 400, body: { code: 'BELFRY_ERR_INVALID_REQUEST' } }, name)
    }
    for (const headers of [
      { 'content-type': 'application/json; charset=iso-8859-1' },
      { 'content-type': 'application/json; charset="utf-16"' },
      { 'content-encoding': 'gzip' },
      { 'content-encoding': 'br, identity' },
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/x-www-form-urlencoded' }
    ]) {
      const answer = await post(utf8, headers as Record<string, string>, isChunked)
      t.match(answer, { status: 415, body: { code: 'BELFRY_ERR_UNSUPPORTED_MEDIA_TYPE' } }, JSON.stringify(headers))
      t.same([answer.headers.get('accept'), answer.headers.get('accept-encoding')], ['application/json', 'identity'])
    }
    for (const headers of [
      { 'content-type': 'application/json; charset=UTF-8' },
      { 'content-type': 'application/json;charset="utf8"' },
      { 'content-encoding': 'identity' }
    ])
      t.equal((await post(utf8, headers as Record<string, string>, isChunked)).status, 202, JSON.stringify(headers))
    t.equal((await post(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), utf8]), {}, isChunked)).status, 202, 'a byte order mark is removed')
  }
  const transfer = `POST /v1/notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${serviceToken()}\r\ncontent-type: application/json\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`
  t.equal((await send(t, embedded.url, transfer)).status, 415, 'a transfer coding other than chunked')
  const { body } = await call(embedded, 'GET', '/v1/users/bytes/notifications')
  t.ok(body.items.every(({ title }: { title: string }) => title === 'Café'))
})

t.test('an empty body counts as no body, with any content type', async (t) => {
  const { body } = await publish(embedded, JSON.stringify({ to: 'empty', type: 't', title: 'x' }))
  for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'nonsense']) {
    const answer = await call(embedded, 'DELETE', `/v1/users/empty/notifications/${body.id}`, '', { headers: { 'content-type': type } })
    t.ok([204, 404].includes(answer.status), `${type}: ${answer.status}`)
    t.match(await call(embedded, 'POST', '/v1/notifications', '', { headers: { 'content-type': type } }), { status: 400 })
  }
})

t.test('the users . and .. are refused in every place that names a user', async (t) => {
  for (const user of ['.', '..']) {
    t.equal((await publish(embedded, JSON.stringify({ to: user, type: 't', title: 'x' }))).status, 400)
    t.equal((await publish(embedded, JSON.stringify({ to: ['a', user], type: 't', title: 'x' }))).status, 400)
    const batch = await call(embedded, 'POST', '/v1/notifications/batch', { notifications: [{ to: user, type: 't', title: 'x' }] })
    t.equal(batch.body.results[0].problem.status, 400)
    t.equal(
      (await call(embedded, 'GET', `/v1/users/${user.replaceAll('.', '%252e')}/queue`)).status,
      200,
      'similar names are ordinary users'
    )
    for (const path of [user, encodeURIComponent(user).replaceAll('.', '%2E')]) {
      const request = `GET /v1/users/${path}/queue HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${serviceToken()}\r\n\r\n`
      t.equal((await send(t, embedded.url, request)).status, 400, path)
    }
    t.match(await call(embedded, 'GET', '/v1/me/notifications', undefined, { token: userToken(user) }), { status: 401 })
    const client = await connect(t, embedded, user)
    t.match(await client.whenClosed(), { code: 4001, reason: 'token_invalid' })
  }
  t.equal((await publish(embedded, JSON.stringify({ to: '...', type: 't', title: 'x' }))).status, 202)
})
