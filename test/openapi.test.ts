import { Ajv2020 } from 'ajv/dist/2020.js'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { call, connect, serviceToken, startService, type TestService, userToken } from './helper.ts'

type Json = Record<string, unknown>

interface Media {
  schema: Json
  example?: unknown
  examples?: Record<string, { value: unknown }>
}

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: Record<string, string[]>[]
  parameters?: { in: string; name: string; example?: string; required: boolean; schema: Json }[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, { description: string; headers?: Json; content?: Record<string, Media> }>
}

interface OpenApi {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json>; securitySchemes: Json }
}

interface Answer {
  status: number
  headers: Headers
  body: unknown
}

/** A running service with its document. Every answer is compared with the document. */
class Documented {
  readonly service: TestService
  readonly document: OpenApi
  readonly routes: Set<string>
  readonly seen = new Set<string>()
  readonly #t: Test
  readonly #payloads: unknown[]
  readonly #ajv = new Ajv2020({ strict: false })

  constructor(t: Test, service: TestService, document: OpenApi, routes: Set<string>, payloads: unknown[]) {
    this.#t = t
    this.service = service
    this.document = document
    this.routes = routes
    this.#payloads = payloads
    this.#ajv.addSchema({ $id: 'openapi.json', components: document.components })
  }

  static async start(t: Test, environment: Record<string, string> = {}): Promise<Documented> {
    const routes = new Set<string>()
    const payloads: unknown[] = []
    const watch = (fastify: FastifyInstance): void => {
      fastify.addHook('onRoute', ({ method, url }) => {
        // Files for browsers are not part of the API.
        if (method !== 'HEAD' && !/^\/(docs|client)/.test(url))
          routes.add(`${String(method).toLowerCase()} ${url.replace(/:(\w+)/g, '{$1}')}`)
      })
      fastify.addHook('preSerialization', async (_request, _reply, payload) => {
        payloads.push(JSON.parse(JSON.stringify(payload)))
        return payload
      })
    }
    const service = await startService(t, environment, { prepare: watch })
    const document = (await call(service, 'GET', '/docs/json', undefined, { token: '' })).body as OpenApi
    return new Documented(t, service, document, routes, payloads)
  }

  operations(): { method: string; path: string; operation: Operation }[] {
    return Object.entries(this.document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ method, path, operation }))
    )
  }

  /** Compiles a schema of the document, with its references. */
  validator(schema: Json) {
    return this.#ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('#/components/', 'openapi.json#/components/')))
  }

  /** Calls an operation. Its answer must be documented and valid, and must have every field that the route returned. */
  async send(
    operationId: string,
    values: Record<string, string> = {},
    body?: unknown,
    options: { token?: string; headers?: Record<string, string> } = {}
  ): Promise<Answer> {
    const found = this.operations().find(({ operation }) => operation.operationId === operationId)
    if (found === undefined) throw new Error(`no operation ${operationId}`)
    const { method, path, operation } = found
    const url = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(exampleOf(operation, name, values)))
    const query = new URLSearchParams(
      Object.entries(values).filter(([name]) =>
        operation.parameters?.some((parameter) => parameter.in === 'query' && parameter.name === name)
      )
    )
    const user = operation.security?.some((scheme) => 'user' in scheme) ?? false
    const token = options.token ?? (user ? userToken('alice') : serviceToken())
    this.#payloads.length = 0
    const answer = await call(this.service, method.toUpperCase(), `${url}?${query}`, body, { ...options, token })
    this.#hold(operation, answer)
    return answer
  }

  #hold(operation: Operation, { status, headers, body }: Answer): void {
    const t = this.#t
    const what = `${operation.operationId} ${status}`
    const response = operation.responses[String(status)]
    this.seen.add(what)
    if (response === undefined) return void t.fail(`${what} is not documented`, { body })
    for (const name of Object.keys(response.headers ?? {})) t.ok(headers.has(name), `${what} has the header ${name}`)
    const type = (headers.get('content-type') ?? '').split(';', 1)[0] as string
    if (response.content === undefined) return void t.equal(body, '', `${what} has no body`)
    const media = response.content[type]
    if (media === undefined) return void t.fail(`${what} of type ${type} is not documented`)
    const validate = this.validator(media.schema)
    t.ok(validate(body), what, { errors: validate.errors, body })
    if (type !== 'text/plain') t.same(body, this.#payloads.at(-1), `${what} lost nothing`)
  }
}

function exampleOf({ parameters = [] }: Operation, name: string, values: Record<string, string>): string {
  const value = values[name] ?? parameters.find((parameter) => parameter.name === name)?.example
  if (value === undefined) throw new Error(`no example of ${name}`)
  return value
}

function examplesOf(operation: Operation): unknown[] {
  return Object.values(operation.requestBody?.content ?? {}).flatMap(({ example, examples }) =>
    example === undefined ? Object.values(examples ?? {}).map(({ value }) => value) : [example]
  )
}

t.test('the document describes every route, and all references resolve', async (t) => {
  const api = await Documented.start(t)
  const { document } = api
  t.equal(document.openapi, '3.1.0')
  t.same(
    api
      .operations()
      .map(({ method, path }) => `${method} ${path}`)
      .sort(),
    [...api.routes].sort()
  )
  const ids = api.operations().map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length)
  const tags = document.tags.map(({ name }) => name)
  for (const { path, operation } of api.operations()) {
    t.ok(operation.summary.length > 0 && operation.tags.every((tag) => tags.includes(tag)), `${operation.operationId}: summary and tags`)
    t.equal(operation.security !== undefined, path.startsWith('/v1/'), `${operation.operationId}: security`)
    for (const scheme of operation.security ?? []) t.ok(Object.keys(scheme).every((name) => name in document.components.securitySchemes))
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      t.not(description, 'Default Response', `${operation.operationId} ${status}`)
      for (const { example, examples, schema } of Object.values(content ?? {})) {
        const all = example === undefined ? Object.values(examples ?? {}).map(({ value }) => value) : [example]
        for (const value of all) t.ok(api.validator(schema)(value), `${operation.operationId} ${status}: an example`)
      }
    }
    for (const { name, in: place, required, schema } of operation.parameters ?? []) {
      if (place === 'query') t.notOk(required, `${operation.operationId}: ${name} may be left out`)
      t.ok(api.validator(schema))
    }
  }
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)]
  t.ok(references.length > 0)
  for (const [, name = ''] of references) t.ok(name in document.components.schemas, `${name} is there`)
  t.equal((await fetch(`${api.service.url}/docs`)).status, 200)
})

/** Operations whose example names a notification that must exist. */
const ANSWERS = ['answerMyNotification', 'answerByLink']

t.test('its examples work, and answers are as documented', async (t) => {
  const api = await Documented.start(t, { RATE_LIMIT_MAX: '4', RATE_LIMIT_WINDOW_MS: '3600000', PARKED_MAX: '4' })
  let bodies = 0
  for (const { operation } of api.operations()) {
    if (ANSWERS.includes(operation.operationId)) continue
    for (const example of examplesOf(operation)) {
      bodies += 1
      const { status } = await api.send(operation.operationId, {}, example)
      t.equal(String(status), Object.keys(operation.responses).find((code) => code.startsWith('2') && code !== '200') ?? '200')
    }
  }
  t.ok(bodies >= 5)

  const data = { text: 'zażółć ☃ \u2028', list: [1, null, { a: [true] }], none: null, big: Number.MAX_SAFE_INTEGER, '': {} }
  const published = await api.send('publish', {}, { to: 'carol', type: 'a', title: '"\\', ref: '/r', timestamp: 1, data })
  const { id } = published.body as { id: string }
  t.match((await api.send('getNotification', { user: 'carol', id })).body, {
    id,
    type: 'a',
    title: '"\\',
    ref: '/r',
    timestamp: 1,
    data,
    state: 'unread'
  })
  const keyed = { headers: { 'idempotency-key': 'k' } }
  const message = { to: ['dan', 'carol'], type: 'a', title: 't' }
  t.equal((await api.send('publish', {}, message, keyed)).status, 202)
  t.equal((await api.send('publish', {}, message, keyed)).status, 200)
  t.equal((await api.send('publish', {}, { ...message, title: 'u' }, keyed)).status, 422)

  for (let n = 0; n < 3; n++) await api.send('publish', {}, { to: 'erin', type: 'a', title: 't' })
  const mixed = await api.send(
    'publishBatch',
    {},
    {
      notifications: [
        { to: ['erin', 'fay'], type: 'a', title: 't' },
        { to: 'erin', type: 'a', title: 'parked' },
        { to: 'erin', type: 'a' }
      ]
    }
  )
  const [first, second, third] = (mixed.body as { results: { results: { status: string }[]; id: string; problem: Json }[] }).results
  t.match(
    [first, second, third],
    [{ results: [{ status: 'accepted' }, {}] }, { results: [{ status: 'parked' }] }, { problem: { status: 400 } }]
  )
  t.match((await api.send('getNotification', { user: 'erin', id: second?.id ?? '' })).body, { state: 'parked', title: 'parked' })
  for (let n = 0; n < 3; n++) await api.send('publish', {}, { to: 'erin', type: 'a', title: 't' })
  t.equal((await api.send('publish', {}, { to: 'erin', type: 'a', title: 't' })).status, 429)
  t.match((await api.send('publish', {}, { to: ['erin', 'gil'], type: 'a', title: 't' })).body, {
    results: [{ status: 'rejected' }, { status: 'accepted' }]
  })

  const client = await connect(t, api.service, 'alice', { deviceId: 'laptop', acks: true })
  await client.next('caughtUp')
  t.match((await api.send('listConnections')).body, { items: [{ deviceId: 'laptop' }] })
  t.equal((await api.send('getQueue')).status, 200)
  t.equal((await api.send('getQueue', { user: 'nobody' })).status, 200)
  t.match((await api.send('listInbox', { state: 'unread', limit: '1' })).body, { items: [{ state: 'unread' }] })
  t.match((await api.send('listMyInbox', { limit: '1' })).body, { items: [{}], nextCursor: String })
  const mine = ((await api.send('listMyInbox')).body as { items: { id: string }[] }).items[0]?.id ?? ''
  t.equal((await api.send('getMyNotification', { id: mine })).status, 200)
  t.match((await api.send('markMyNotifications', {}, { ids: [mine], state: 'read' })).body, { ids: [mine] })
  t.match((await api.send('markNotifications', {}, { ids: [mine], state: 'archived' })).body, { ids: [mine] })
  t.equal((await api.send('getReceipts', { id: mine })).status, 200)
  t.equal((await api.send('recallNotification', { id: mine })).status, 204)
  const asked = { to: 'hal', type: 'a', title: 't', actions: [{ action: 'approve', title: 'Approve' }], ttl: 60, collapseKey: 'k' }
  const hal = { token: userToken('hal') }
  const { id: question } = (await api.send('publish', {}, asked)).body as { id: string }
  const { answerLink } = (await api.send('getNotification', { user: 'hal', id: question })).body as { answerLink: string }
  t.match((await api.send('answerMyNotification', { id: question }, { deviceId: 'phone' }, hal)).body, { id: question, deviceId: 'phone' })
  t.match((await api.send('answerMyNotification', { id: question }, undefined, hal)).body, { status: 409, answer: { deviceId: 'phone' } })
  t.equal((await api.send('answerByLink', {}, { link: answerLink, action: 'approve' })).status, 409)
  const other = (await api.send('publish', {}, { ...asked, collapseKey: 'other' })).body as { id: string }
  const { answerLink: link } = (await api.send('getNotification', { user: 'hal', id: other.id })).body as { answerLink: string }
  t.match((await api.send('answerByLink', {}, { link, action: 'approve' })).body, { id: other.id, deviceId: 'link' })
  t.match((await api.send('getReceipts', { user: 'hal', id: question })).body, { state: 'read', answer: { action: 'approve' } })
  t.match((await api.send('listInbox', { user: 'hal' })).body, {
    items: [{ answer: { deviceId: 'link' } }, { answer: { deviceId: 'phone' } }]
  })
  t.match((await api.send('getPushKey', {}, undefined, { token: '' })).body, { publicKey: /^B[\w-]{86}$/ })
  t.equal((await api.send('deleteMyPushSubscription')).status, 204)
  t.match((await api.send('listMembers')).body, { items: ['alice', 'bob'], nextCursor: null })
  t.same((await api.send('listTopics')).body, { items: ['project-42'] })
  const sent = (await api.send('publish', {}, { to: { topic: 'project-42' }, type: 'a', title: 't' })).body as { broadcast: { id: string } }
  t.match((await api.send('getBroadcast', sent.broadcast)).body, { to: { topic: 'project-42' } })
  t.equal((await api.send('cancelBroadcast', sent.broadcast)).status, 204)
  t.match((await api.send('getBroadcast', sent.broadcast)).body, { status: 'cancelled', finishedAt: Number })
  t.equal((await api.send('deleteTopic')).status, 204)
  t.match((await api.send('getPresence')).body, { user: 'alice', online: true, devices: [{ deviceId: 'laptop' }] })
  await api.send('publish', {}, { ...asked, deliverAt: Date.now() + 60_000 })
  t.match((await api.send('listScheduled', { user: 'hal' })).body, { items: [{ collapseKey: 'k', deliverAt: Number }], nextCursor: null })
  t.equal((await api.send('eraseUser', { user: 'hal' })).status, 204)
  const { connectionId } = ((await api.send('listConnections')).body as { items: { connectionId: string }[] }).items[0] ?? {}
  t.match((await api.send('closeConnection', { id: connectionId ?? '' })).body, { disconnected: 1 })
  t.equal((await client.whenClosed()).code, 4003)
  const old = userToken('alice', { iat: Math.floor(Date.now() / 1000) - 10 })
  t.match((await api.send('closeConnections', { revoke: 'true' })).body, { disconnected: 0 })
  for (const name of ['getLiveness', 'getReadiness', 'getMetrics'])
    t.equal((await api.send(name, {}, undefined, { token: '' })).status, 200)
  t.equal((await api.send('connect')).status, 426)
  t.match((await api.send('listMyInbox', {}, undefined, { token: old })).body, { code: 'BELFRY_ERR_TOKEN_REVOKED' })
})

/** Operations whose bodies may have 8 MB. */
const LARGE = ['publishBatch', 'changeMembers']

/** Operations of Web Push, which are 404 without VAPID keys. */
const PUSH = ['getPushKey', 'putMyPushSubscription', 'deleteMyPushSubscription']

t.test('every documented error happens as documented', async (t) => {
  const api = await Documented.start(t, { ALLOWED_ORIGINS: 'https://app.example', CONNECT_RATE_LIMIT_MAX: '11', STRICT_SCOPES: 'true' })
  const guarded = api.operations().filter(({ path, operation }) => path.startsWith('/v1/') && operation.operationId !== 'connect')
  const fill = { id: 'none', user: 'alice', topic: 'team' }
  for (const { path, operation } of guarded) {
    const { operationId, requestBody, security, responses } = operation
    const [body] = examplesOf(operation)
    if (security?.length !== 0) {
      t.equal((await api.send(operationId, fill, body, { token: '' })).status, 401)
      t.equal((await api.send(operationId, fill, body, { token: 'nonsense' })).status, 401)
    }
    if (security?.some((scheme) => 'service' in scheme)) {
      t.equal((await api.send(operationId, fill, body, { token: userToken('alice') })).status, 403)
    }
    if (security?.some(({ service = [] }) => service.includes('admin'))) {
      t.equal((await api.send(operationId, fill, body, { token: serviceToken('publish') })).status, 403)
    }
    if (path.includes('{user}')) t.equal((await api.send(operationId, { ...fill, user: '\u0007' }, body)).status, 400)
    if (responses['404'] !== undefined && !PUSH.includes(operationId)) t.equal((await api.send(operationId, fill, body)).status, 404)
    if (requestBody === undefined) continue
    t.equal((await api.send(operationId, fill, { ...(body as Json), more: 1 })).status, 400)
    t.equal((await api.send(operationId, fill, '{')).status, 400)
    t.equal((await api.send(operationId, fill, 'x', { headers: { 'content-type': 'text/csv' } })).status, 415)
    t.equal((await api.send(operationId, fill, ' '.repeat(LARGE.includes(operationId) ? 9_000_000 : 300_000))).status, 413)
  }
  t.equal((await api.send('listInbox', { limit: '0' })).status, 400)
  t.equal((await api.send('listMyInbox', { cursor: 'x' })).status, 400)
  for (const name of ['listInbox', 'listMyInbox']) t.equal((await api.send(name, { user: 'alice', cursor: 'other1.2' })).status, 409)
  for (const name of ['markNotifications', 'markMyNotifications']) {
    t.equal((await api.send(name, { user: 'alice' }, { upTo: 'other1.2.aaaaaaaa', state: 'read' })).status, 409)
  }
  t.equal((await api.send('getMyNotification', { id: 'x'.repeat(65) })).status, 400)
  for (const name of ['getBroadcast', 'cancelBroadcast']) t.equal((await api.send(name, { id: 'x'.repeat(65) })).status, 400)
  for (const name of ['listMembers', 'deleteTopic']) t.equal((await api.send(name, { topic: '\u0007' })).status, 400)
  t.equal((await api.send('closeConnection', { ...fill, reason: '' })).status, 400)
  t.equal((await api.send('stream', { device_id: '\u0007' })).status, 400)
  t.equal((await api.send('connect', { device_id: '\u0007' })).status, 400)
  t.equal((await api.send('connect', {}, undefined, { headers: { origin: 'https://evil.example' } })).status, 403)
  for (let calls = 0; calls < 12 && !api.seen.has('connect 429'); calls++) await api.send('connect')
  t.ok(api.seen.has('connect 429'))
  t.equal((await api.send('answerByLink', {}, { link: 'x', action: 'approve' })).status, 429)
  t.equal((await api.send('publish', {}, { to: 'alice', type: 'a', title: 't', data: { text: 'x'.repeat(5000) } })).status, 413)
  t.equal((await api.send('publish', {}, { to: 'alice', type: 'a', title: 't' }, { headers: { 'idempotency-key': '' } })).status, 400)
  t.equal((await api.send('deleteMyPushSubscription', { deviceId: '\u0007' })).status, 400)
  for (const { operation } of guarded) {
    if (operation.operationId !== 'getPushKey') t.ok(api.seen.has(`${operation.operationId} 400`), operation.operationId)
  }
})

t.test('too many requests, and a store that is away', async (t) => {
  const busy = await Documented.start(t, { PUBLISH_RATE_LIMIT_MAX: '1' })
  for (let calls = 0; calls < 20 && !busy.seen.has('getQueue 429'); calls++) await busy.send('getQueue')
  t.ok(busy.seen.has('getQueue 429'))

  const away = await Documented.start(t, { REDIS_URL: 'redis://127.0.0.1:1' })
  for (const { path, operation } of away.operations()) {
    // The key needs no store. Redis has no VAPID keys here.
    if (!path.startsWith('/v1/') || operation.operationId === 'getPushKey') continue
    const { status } = await away.send(operation.operationId, {}, examplesOf(operation)[0])
    t.equal(status, 503, operation.operationId)
  }
  t.equal((await away.send('getPushKey', {}, undefined, { token: '' })).status, 404)
  t.match(await away.send('getReadiness', {}, undefined, { token: '' }), { status: 503, body: { ready: false } })
  t.equal((await away.send('getLiveness', {}, undefined, { token: '' })).status, 200)
})
