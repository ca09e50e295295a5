import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { isFromThisMachine } from '../services/auth/loopback.ts'
import { signToken } from '../services/auth/signing.ts'
import { errors } from '../services/errors.ts'
import type { WebhookJournal } from '../services/reach/webhook-journal.ts'
import { DeviceSchema, NotificationIdSchema, TopicSchema, UserSchema } from './schemas/common.ts'
import { PublishSchema } from './schemas/publish.ts'

const FOLDER = fileURLToPath(new URL('../demo/', import.meta.url))
const WORKER = join(FOLDER, 'sw.js')
/** The scope that the service worker may have, relative to its own address: the page at /demo too, and not only what is below it. */
const WORKER_SCOPE = '../demo'

/** Largest number of notifications in one burst. */
const BURST_MAX = 100
const TOKEN_SECONDS = 3600
/** Largest number of members of a team. */
const TEAM_MAX = 10

const { type, title, ref, data, ttl, collapseKey, urgency, deliverAt, actions, push, fallback } = PublishSchema.properties

const BurstSchema = Type.Object(
  {
    ...{ user: UserSchema, type, title, ref, data, ttl, collapseKey, urgency, deliverAt, actions, push, fallback },
    count: Type.Integer({ minimum: 1, maximum: BURST_MAX, default: 1 }),
    /** The idempotency key of a single notification: the page repeats a publish whose answer it did not get. */
    key: Type.Optional(Type.String({ minLength: 1, maxLength: 64 }))
  },
  { additionalProperties: false }
)

const TeamSchema = Type.Object(
  {
    ...{ topic: TopicSchema, type, title, data },
    members: Type.Array(UserSchema, { minItems: 1, maxItems: TEAM_MAX }),
    /** The idempotency key of the broadcast: the page repeats a call whose answer it did not get. */
    key: Type.String({ minLength: 1, maxLength: 64 })
  },
  { additionalProperties: false }
)

interface DemoOptions {
  /** The receiver behind `WEBHOOK_URL`; undefined if that is another one, or none. */
  journal: WebhookJournal | undefined
}

/**
 * Serves the page at /demo. With a generated secret, requests from this machine may sign tokens and publish. Otherwise the page only shows
 * notifications, and asks for a token.
 */
const demo: FastifyPluginAsyncTypebox<DemoOptions> = async (app, { journal }) => {
  await app.register(fastifyStatic, {
    root: FOLDER,
    prefix: '/demo/',
    wildcard: false,
    index: false,
    cacheControl: false,
    setHeaders: (reply, path) => {
      reply.header('cache-control', 'no-cache')
      if (path === WORKER) reply.header('service-worker-allowed', WORKER_SCOPE)
    }
  })
  app.get('/demo', { schema: { hide: true } }, (_request, reply) => reply.sendFile('index.html'))
  // The addresses in the page are relative to /demo. This one is relative too, for a proxy with a path prefix.
  app.get('/demo/', { schema: { hide: true } }, ({ url }, reply) => reply.redirect(`../demo${/\?.*/.exec(url)?.[0] ?? ''}`))
  // `npm run demo:cluster` answers for this route in front of its nodes.
  app.get('/demo/cluster', { schema: { hide: true } }, async () => ({ nodes: [], node: app.node }))

  if (app.generatedSecret === '') return

  const onRequest = async (request: FastifyRequest): Promise<void> => {
    if (!isFromThisMachine(request.raw)) throw new errors.NotFound('The demo signs and publishes for its own machine alone')
  }

  app.post(
    '/demo/session',
    { onRequest, schema: { hide: true, body: Type.Object({ user: UserSchema }, { additionalProperties: false }) } },
    async (request) => ({
      token: signToken(app.generatedSecret, request.body.user, '', TOKEN_SECONDS),
      publisher: signToken(app.generatedSecret, 'demo', 'publish', TOKEN_SECONDS),
      limit: { max: app.config.RATE_LIMIT_PER_WINDOW, windowMs: app.config.RATE_LIMIT_WINDOW_MS },
      graceSeconds: app.config.PRESENCE_GRACE_SECONDS
    })
  )

  app.post('/demo/publish', { onRequest, schema: { hide: true, body: BurstSchema } }, async (request, reply) => {
    const { user, count, key, ...content } = request.body
    const items = Array.from({ length: count }, (_, index) => {
      const title = count === 1 ? content.title : `${content.title} ${index + 1}`
      return { request: { to: user, ...content, title }, key: count === 1 ? key : undefined }
    })
    const results = await app.publisher.publishBatch(items, 'demo')
    const answers = results.map((result) => {
      if ('error' in result) throw result.error
      return result
    })
    return reply.code(202).send({
      ids: answers.map(({ id }) => id),
      parked: answers.filter(({ results }) => results[0]?.status === 'parked').length
    })
  })

  app.post('/demo/team', { onRequest, schema: { hide: true, body: TeamSchema } }, async (request, reply) => {
    const { topic, members, key, ...content } = request.body
    await app.topics.change(topic, { add: members })
    const { answer } = await app.publisher.publish({ to: { topic }, ...content }, 'demo', key)
    return reply.code(202).send({ ids: [answer.id] })
  })

  app.post(
    '/demo/recall',
    {
      onRequest,
      schema: { hide: true, body: Type.Object({ user: UserSchema, id: NotificationIdSchema }, { additionalProperties: false }) }
    },
    async (request, reply) => {
      await app.inbox.recall(request.body.user, request.body.id)
      return reply.code(204).send()
    }
  )

  app.get('/demo/users/:user', { onRequest, schema: { hide: true, params: Type.Object({ user: UserSchema }) } }, async (request) => {
    const { user } = request.params
    const [{ parked }, { items }, page] = await Promise.all([
      app.inbox.queue(user),
      app.connectionDirectory.list(user),
      app.inbox.list(user, { limit: 1 })
    ])
    return { parked, connections: items.length, isEmpty: page.items.length === 0 }
  })

  // The page asks twice a second.
  const quiet = { onRequest, logLevel: 'silent' as const }
  const after = Type.Object({ after: Type.Integer({ minimum: 0, default: 0 }) })
  app.get('/demo/webhooks', { ...quiet, schema: { hide: true, querystring: after } }, async ({ query }) => ({
    receiver: journal !== undefined ? 'here' : app.config.WEBHOOK_URL === '' ? 'none' : 'elsewhere',
    entries: journal?.after(query.after) ?? []
  }))
  if (journal !== undefined) {
    app.post('/demo/webhooks/fail', { onRequest, schema: { hide: true } }, async (_request, reply) => {
      journal.failNextFallback()
      return reply.code(204).send()
    })
    const forgery = Type.Object({ user: UserSchema }, { additionalProperties: false })
    app.post('/demo/webhooks/forge', { onRequest, schema: { hide: true, body: forgery } }, async ({ body }) => ({
      id: await journal.forge(body.user)
    }))
  }

  let sockets: ReturnType<typeof socketsByDevice> = new Map()
  app.addHook('onReady', async () => {
    sockets = socketsByDevice(app.server)
  })
  app.post(
    '/demo/cut',
    { onRequest, schema: { hide: true, body: Type.Object({ device: DeviceSchema }, { additionalProperties: false }) } },
    async (request) => {
      const cut = [...(sockets.get(request.body.device) ?? [])]
      for (const socket of cut) socket.resetAndDestroy()
      return { cut: cut.length }
    }
  )
}

/** Returns the TCP sockets of this node's WebSockets by device id, and keeps that up to date. */
function socketsByDevice(server: NodeJS.EventEmitter): ReadonlyMap<string, ReadonlySet<Socket>> {
  const byDevice = new Map<string, Set<Socket>>()
  server.on('upgrade', ({ url = '' }: IncomingMessage, socket: Socket) => {
    const device = new URLSearchParams(url.split('?')[1]).get('device_id') ?? ''
    const sockets = byDevice.get(device) ?? new Set()
    byDevice.set(device, sockets.add(socket))
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) byDevice.delete(device)
    })
  })
  return byDevice
}

export default demo
