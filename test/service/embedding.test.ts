import { mkdtempSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import cors from '@fastify/cors'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import belfry, { ConfigError, loadConfig, type PublishRequest } from '../../index.ts'
import { bufferedText } from '../fixtures/buffered-text.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { ready, SECRET, serviceToken, temporaryFolder, userToken } from '../helper.ts'

/** Returns a configuration with a store of its own. */
function configIn(t: Test, environment: Record<string, string> = {}) {
  return loadConfig({ JWT_SECRET: SECRET, DATA_DIR: temporaryFolder(t), ...environment })
}

/** Listens on a free port. Returns the address of the app, as `startService` does. */
async function listen(t: Test, app: FastifyInstance): Promise<{ url: string; socketUrl: string }> {
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, socketUrl: `ws://127.0.0.1:${port}` }
}

t.test('an app publishes by its own route, to a socket of its own user', async (t) => {
  const log = new PassThrough()
  const app = Fastify({ logger: { level: 'info', stream: log } })
  await app.register(belfry, { config: configIn(t) })
  app.post<{ Params: { user: string } }>('/orders/:user', async ({ params }) => {
    const { answer } = await app.publisher.publish({ to: params.user, type: 'order', title: 'Shipped' }, 'shop', undefined)
    return answer
  })
  app.get<{ Params: { user: string } }>('/unread/:user', async ({ params }) => {
    const { unread } = await app.inbox.list(params.user, { limit: 1 })
    return { unread, online: (await app.presence.of(params.user)).online }
  })
  const service = await listen(t, app)
  for (const [wrong, message] of [
    [{ to: '', type: 'a', title: 'x' }, /to/],
    [{ to: 'alice', type: 'a', title: 'x'.repeat(1025) }, /title/],
    [{ to: 'alice', type: 'a', title: 'x', more: 1 } as PublishRequest, /additional/]
  ] as const) {
    await t.rejects(app.publisher.publish(wrong, 'shop', undefined), { code: 'BELFRY_ERR_INVALID_REQUEST', statusCode: 400, message })
  }
  const client = await ready(t, service, 'alice', { token: app.signToken('alice') })
  const answer = await fetch(`${service.url}/orders/alice`, { method: 'POST' })
  t.match(await answer.json(), { results: [{ user: 'alice', status: 'accepted', nodes: 1 }] })
  t.match(await client.next('notification'), { notification: { title: 'Shipped' } })
  t.same(await (await fetch(`${service.url}/unread/alice`)).json(), { unread: 1, online: true })

  await app.topics.add('team', ['alice', 'carol'])
  const { answer: broadcast } = await app.publisher.publish(
    { to: { topic: 'team', except: ['carol'] }, type: 'a', title: 'To the team' },
    'shop',
    undefined
  )
  t.match(await client.next('notification'), { notification: { title: 'To the team' } })
  const done = await until(async () => {
    const found = await app.broadcaster.get(broadcast.broadcast?.id ?? '')
    return found.status === 'done' ? found : undefined
  }, 'the end of the broadcast')
  t.match(done, { accepted: 1, parked: 0, rejected: 0 })

  const socket = new WebSocket(`${service.socketUrl}/v1/ws?token=${app.signToken('bob')}`)
  t.teardown(() => socket.terminate())
  await until(() => socket.readyState === WebSocket.OPEN, 'a socket with its token in the URL')
  const lines = bufferedText(log)
  t.match(lines, '/v1/ws')
  t.notMatch(lines, /eyJ/, "the app's own logger gets no token")

  await app.close()
  t.equal((await client.whenClosed()).code, 4200)
})

t.test('the app keeps its errors, parsers, validation, headers and decorators', async (t) => {
  const app = Fastify()
  app.decorate('config', { name: 'shop' } as never)
  app.decorateRequest('session', '')
  app.setErrorHandler((error: Error, _request, reply) => reply.code(418).send({ mine: error.message }))
  app.setNotFoundHandler((_request, reply) => reply.code(404).send('nothing of ours'))
  app.setSerializerCompiler(() => (data) => `custom ${JSON.stringify(data)}`)
  app.addContentTypeParser('text/csv', { parseAs: 'string' }, (_request, body, done) => done(null, String(body).split(',')))
  await app.register(belfry, { config: configIn(t) })
  app.post('/csv', async ({ body }) => body)
  app.post<{ Body: { count: number } }>(
    '/count',
    { schema: { body: { type: 'object', properties: { count: { type: 'integer' } } }, response: { 200: { type: 'object' } } } },
    async ({ body }) => body
  )
  app.get('/fails', async () => {
    throw new Error('ours')
  })
  const post = (url: string, payload: string, type: string) =>
    app.inject({ method: 'POST', url, payload, headers: { 'content-type': type, authorization: `Bearer ${serviceToken()}` } })

  t.same((await post('/csv', 'a,b', 'text/csv')).json(), ['a', 'b'])
  t.equal((await post('/count', '{"count":"3","more":1}', 'application/json')).body, 'custom {"count":3,"more":1}', 'numbers are converted')
  t.match(await app.inject('/fails'), { statusCode: 418, body: '{"mine":"ours"}' })
  const missing = await app.inject('/nothing')
  t.match(missing, { statusCode: 404, body: 'nothing of ours' })
  t.notOk('content-security-policy' in missing.headers)

  t.equal((await post('/v1/notifications', 'a,b', 'text/csv')).statusCode, 415)
  const refused = await post('/v1/notifications', '{"to":"alice","type":"a","title":"x","more":1}', 'application/json')
  t.match(refused.json(), { code: 'BELFRY_ERR_INVALID_REQUEST', status: 400 })
  t.ok('content-security-policy' in refused.headers)
  const taken = await post('/v1/notifications', '{"to":"alice","type":"a","title":"x"}', 'application/json')
  t.match(taken.json(), { results: [{ user: 'alice', status: 'accepted' }] })
  await app.close()
  t.match(app, { config: { name: 'shop' } })
})

t.test('plugins of the app that Belfry has too', async (t) => {
  for (const isFirst of [true, false]) {
    await t.test(`registered ${isFirst ? 'before' : 'after'} Belfry`, async (t) => {
      const app = Fastify()
      const own = async (): Promise<void> => {
        await app.register(cors, { origin: 'https://shop.example' })
        await app.register(jwt, { secret: 'a secret of the app that is long enough' })
        await app.register(rateLimit, { global: false, max: 1 })
        await app.register(underPressure, {})
        await app.register(websocket)
      }
      if (isFirst) await own()
      await app.register(belfry, { config: configIn(t, { PUBLISH_RATE_LIMIT_MAX: '5' }) })
      if (!isFirst) await own()
      await app.register(async (context) => {
        context.get('/echo', { websocket: true }, (socket) => {
          socket.on('message', (data) => socket.send(String(data)))
        })
      })
      app.get('/me', async (request) => await request.jwtVerify())
      const service = await listen(t, app)

      const alice = await ready(t, service, 'alice')
      const answers: number[] = []
      for (let n = 0; n < 6; n++) {
        const { status } = await fetch(`${service.url}/v1/notifications`, {
          method: 'POST',
          headers: { authorization: `Bearer ${serviceToken()}`, 'content-type': 'application/json' },
          body: '{"to":"alice","type":"a","title":"x"}'
        })
        answers.push(status)
      }
      t.same(answers, [202, 202, 202, 202, 202, 429], "Belfry's limit, not the app's")
      await alice.next('notification')

      const echo = new WebSocket(`${service.socketUrl}/echo`)
      t.teardown(() => echo.terminate())
      const echoed: string[] = []
      echo.on('message', (data) => echoed.push(String(data))).on('open', () => echo.send('hello'))
      await until(() => echoed.length > 0, 'the socket of the app')
      t.same(echoed, ['hello'])

      const ofApp = app.jwt.sign({ name: 'alice' })
      const headers = { authorization: `Bearer ${ofApp}`, origin: 'https://shop.example' }
      const me = await fetch(`${service.url}/me`, { headers })
      t.match(await me.json(), { name: 'alice' })
      t.equal(me.headers.get('access-control-allow-origin'), 'https://shop.example')
      const inbox = (token: string) =>
        fetch(`${service.url}/v1/me/notifications`, { headers: { ...headers, authorization: `Bearer ${token}` } })
      t.equal((await inbox(ofApp)).status, 401)
      const allowed = await inbox(userToken('alice'))
      t.equal(allowed.status, 200)
      t.equal(allowed.headers.get('access-control-allow-origin'), 'https://shop.example')
      await app.close()
      t.equal((await alice.whenClosed()).code, 4200)
    })
  }

  const clash = async (prepare: (app: FastifyInstance) => unknown, environment: Record<string, string> = {}): Promise<string> => {
    const app = Fastify()
    await prepare(app)
    const { message } = await app.register(belfry, { config: configIn(t, environment) }).then(
      () => new Error('none'),
      (error: Error) => error
    )
    await app.close()
    return message
  }
  t.match(await clash((app) => app.register(cors), { CORS_ORIGIN: '*' }), /^leave CORS_ORIGIN empty/)
  t.match(
    await clash((app) => app.decorate('redis', {} as never), { REDIS_URL: 'redis://127.0.0.1:1' }),
    /^register Belfry before @fastify\/redis/
  )
  t.match(await clash((app) => app.decorate('inbox', {} as never)), /decorate this app with inbox/)
  t.match(await clash((app) => app.decorateRequest('publisher', '')), /'publisher'.*register Belfry before the plugin/)
  t.match(await clash((app) => app.addSchema({ $id: 'Problem' })), /'Problem'.*before this schema/)
  t.match(await clash((app) => app.get('/docs', () => '')), /'\/docs'.*with a prefix|with a prefix.*\/docs/)
  t.match(await clash((app) => app.register(belfry, { config: configIn(t) })), /register Belfry once/)
})

t.test('under a prefix: sockets, the API, the docs and the demo', async (t) => {
  const app = Fastify()
  await app.register(belfry, { config: configIn(t, { DEMO: 'true' }), prefix: '/notify' })
  app.get('/docs', async () => 'of the app')
  const { url, socketUrl } = await listen(t, app)
  const service = { url: `${url}/notify`, socketUrl: `${socketUrl}/notify` }
  const client = await ready(t, service, 'alice')
  await app.publisher.publish({ to: 'alice', type: 'a', title: 'x' }, 'app', undefined)
  await client.next('notification')
  const openapi = (await (await fetch(`${service.url}/docs/json`)).json()) as { paths: Record<string, unknown> }
  t.ok('/v1/notifications' in openapi.paths)
  t.match(await (await fetch(`${service.url}/docs/asyncapi.json`)).text(), '"pathname":"/notify"')
  for (const path of ['/docs', '/docs/', '/docs/socket', '/docs/guide/getting-started', '/demo', '/client/index.js', '/health/ready']) {
    const response = await fetch(service.url + path)
    t.equal(response.status, 200, path)
    if (!path.startsWith('/docs')) continue
    t.match(await response.text(), /href="[./]*demo"/, `${path} has a link to the demo`)
  }
  t.equal(await (await fetch(`${url}/docs`)).text(), 'of the app')
  t.equal((await fetch(`${url}/v1/notifications`, { method: 'POST' })).status, 404)
  const other = new WebSocket(`${socketUrl}/v1/ws`)
  const [error] = await Promise.all([new Promise<Error>((resolve) => other.once('error', resolve))])
  t.match(error.message, /404/, 'an upgrade that nobody takes is answered')
})

t.test('two apps on one Redis: what one publishes reaches the socket of the other', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const environment = { REDIS_URL: redis.url, JWT_SECRET: SECRET, PUBLISH_RATE_LIMIT_MAX: '2' }
  const [one, two] = [Fastify(), Fastify()]
  for (const app of [one, two]) await app.register(belfry, { config: loadConfig(environment) })
  await one.ready()
  t.teardown(() => one.close())
  t.notOk(one.hasDecorator('redis'), "Belfry's connection is its own")
  const client = await ready(t, await listen(t, two), 'alice')
  await one.publisher.publish({ to: 'alice', type: 'a', title: 'From the other app' }, 'app', undefined)
  t.match(await client.next('notification'), { notification: { title: 'From the other app' } })
  const publish = (app: FastifyInstance) =>
    app.inject({
      method: 'POST',
      url: '/v1/notifications',
      headers: { authorization: `Bearer ${serviceToken()}` },
      payload: { to: 'alice', type: 'a', title: 'x' }
    })
  const answers = await Promise.all([one, two, one, two].map(publish))
  t.ok(
    answers.some(({ statusCode }) => statusCode === 429),
    'the limit counts the requests of both'
  )
})

t.test('two in one process, one in memory of the tests alone', async (t) => {
  const folder = temporaryFolder(t)
  const [one, two] = [Fastify(), Fastify()]
  for (const app of [one, two]) {
    const config = loadConfig({ DATA_DIR: mkdtempSync(join(folder, 'app-')) })
    await app.register(belfry, { config })
    await app.publisher.publish({ to: 'alice', type: 'a', title: 'x' }, 'test', undefined)
  }
  const both = Fastify()
  for (const prefix of ['/a', '/b']) {
    await both.register(async (context) => {
      await context.register(belfry, { config: configIn(t), prefix })
    })
  }
  const service = await listen(t, both)
  for (const prefix of ['/a', '/b']) await ready(t, { socketUrl: service.socketUrl + prefix }, 'alice')

  const list = (app: FastifyInstance, token: string) =>
    app.inject({ url: '/v1/me/notifications', headers: { authorization: `Bearer ${token}` } })
  t.match((await list(one, one.signToken('alice'))).json(), { unread: 1 })
  t.equal((await list(two, one.signToken('alice'))).statusCode, 401, 'each has a secret of its own')
  await one.close()
  t.match((await list(two, two.signToken('alice', 60))).json(), { unread: 1 }, 'the other goes on')
  await two.close()

  const app = Fastify()
  const config = configIn(t)
  await app.register(belfry, { config })
  const second = Fastify()
  await t.rejects(async () => await second.register(belfry, { config }), /another process|lock|in use/, 'a folder has one store')
  await second.close()
  await app.close()
  const external = Fastify()
  const { JWT_SECRET: _, ...keys } = { JWT_SECRET: '', JWKS_URL: 'http://127.0.0.1:1/keys', DATA_DIR: temporaryFolder(t) }
  await external.register(belfry, { config: loadConfig(keys) })
  t.throws(() => external.signToken('alice'), /needs JWT_SECRET/)
  await external.close()
  t.throws(() => loadConfig({ PORT: 'x' }), ConfigError)
})
