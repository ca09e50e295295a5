import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { madeHere } from '../services/auth/loopback.ts'
import { signToken } from '../services/auth/signing.ts'
import { errors } from '../services/errors.ts'
import { NotificationIdSchema, UserSchema } from './schemas/common.ts'
import { PublishSchema } from './schemas/notification.ts'

const FOLDER = fileURLToPath(new URL('../demo/', import.meta.url))

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml'
}

/** Notifications in one burst. */
const BURST_MAX = 100
const TOKEN_SECONDS = 3600

const { type, title, ref, data } = PublishSchema.properties

const BurstSchema = Type.Object(
  { user: UserSchema, type, title, ref, data, count: Type.Integer({ minimum: 1, maximum: BURST_MAX, default: 1 }) },
  { additionalProperties: false }
)

interface Asset {
  body: Buffer
  type: string
  etag: string
}

/**
 * The page at /demo. On a secret that Belfry made for itself it may sign tokens for anyone at this machine and publish as a service; on any other,
 * and for everybody else, the page only shows, and asks for a token.
 */
const demo: FastifyPluginAsyncTypebox = async (app) => {
  const assets = readAssets()

  const send = (name: string, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const asset = assets.get(name)
    if (asset === undefined) throw new errors.NotFound(`There is no /demo/${name}`)
    reply.header('cache-control', 'no-cache').header('etag', asset.etag)
    if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send()
    return reply.type(asset.type).send(asset.body)
  }

  app.get('/demo', { schema: { hide: true } }, (request, reply) => send('index.html', request, reply))
  app.get('/demo/*', { schema: { hide: true, params: Type.Object({ '*': Type.String() }) } }, (request, reply) =>
    send(request.params['*'], request, reply)
  )

  if (!app.config.secretMade) return

  const onRequest = async (request: FastifyRequest): Promise<void> => {
    if (!madeHere(request.raw)) throw new errors.NotFound('The demo signs and publishes for its own machine alone')
  }

  app.post(
    '/demo/session',
    { onRequest, schema: { hide: true, body: Type.Object({ user: UserSchema }, { additionalProperties: false }) } },
    async (request) => ({
      token: signToken(app.config.JWT_SECRET, request.body.user, '', TOKEN_SECONDS),
      publisher: signToken(app.config.JWT_SECRET, 'demo', 'publish', TOKEN_SECONDS)
    })
  )

  app.post('/demo/publish', { onRequest, schema: { hide: true, body: BurstSchema } }, async (request, reply) => {
    const { user, count, ...content } = request.body
    const publish = async (_: unknown, index: number) => {
      const numbered = count === 1 ? content : { ...content, title: `${content.title} ${index + 1}` }
      return (await app.publisher.publish({ to: user, ...numbered }, 'demo', undefined)).answer
    }
    const answers = await Promise.all(Array.from({ length: count }, publish))
    return reply.code(202).send({
      ids: answers.map(({ id }) => id),
      parked: answers.filter(({ results }) => results[0]?.status === 'parked').length
    })
  })

  app.post(
    '/demo/recall',
    {
      onRequest,
      schema: { hide: true, body: Type.Object({ user: UserSchema, id: NotificationIdSchema }, { additionalProperties: false }) }
    },
    async (request, reply) => {
      await app.inbox.recall(request.body.user, request.body.id)
      app.counters.recalled += 1
      return reply.code(204).send()
    }
  )

  app.get('/demo/users/:user', { onRequest, schema: { hide: true, params: Type.Object({ user: UserSchema }) } }, async (request) => {
    const [queue, connections] = await Promise.all([app.store.queue(request.params.user), app.store.connections(request.params.user)])
    return { parked: queue.parked, connections: connections.length }
  })
}

export default demo

/** By their path below /demo; small enough to be held. */
function readAssets(): Map<string, Asset> {
  const assets = new Map<string, Asset>()
  for (const file of readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })) {
    const contentType = TYPES[extname(file)]
    if (contentType === undefined) continue
    const body = readFileSync(join(FOLDER, file))
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 20)}"`
    assets.set(file.split(sep).join('/'), { body, type: contentType, etag })
  }
  return assets
}
