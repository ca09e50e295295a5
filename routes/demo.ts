import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { isFromThisMachine } from '../services/auth/loopback.ts'
import { signToken } from '../services/auth/signing.ts'
import { errors } from '../services/errors.ts'
import { NotificationIdSchema, UserSchema } from './schemas/common.ts'
import { PublishSchema } from './schemas/notification.ts'

const FOLDER = fileURLToPath(new URL('../demo/', import.meta.url))

/** Largest number of notifications in one burst. */
const BURST_MAX = 100
const TOKEN_SECONDS = 3600

const { type, title, ref, data, ttl, collapseKey, urgency, deliverAt, actions } = PublishSchema.properties

const BurstSchema = Type.Object(
  {
    ...{ user: UserSchema, type, title, ref, data, ttl, collapseKey, urgency, deliverAt, actions },
    count: Type.Integer({ minimum: 1, maximum: BURST_MAX, default: 1 })
  },
  { additionalProperties: false }
)

/**
 * Serves the page at /demo. With a generated secret, requests from this machine may sign tokens and publish. Otherwise the page only shows
 * notifications, and asks for a token.
 */
const demo: FastifyPluginAsyncTypebox = async (app) => {
  await app.register(fastifyStatic, {
    root: FOLDER,
    prefix: '/demo/',
    wildcard: false,
    index: false,
    cacheControl: false,
    setHeaders: (reply) => void reply.header('cache-control', 'no-cache')
  })
  app.get('/demo', { schema: { hide: true } }, (_request, reply) => reply.sendFile('index.html'))

  if (app.generatedSecret === '') return

  const onRequest = async (request: FastifyRequest): Promise<void> => {
    if (!isFromThisMachine(request.raw)) throw new errors.NotFound('The demo signs and publishes for its own machine alone')
  }

  app.post(
    '/demo/session',
    { onRequest, schema: { hide: true, body: Type.Object({ user: UserSchema }, { additionalProperties: false }) } },
    async (request) => ({
      token: signToken(app.generatedSecret, request.body.user, '', TOKEN_SECONDS),
      publisher: signToken(app.generatedSecret, 'demo', 'publish', TOKEN_SECONDS)
    })
  )

  app.post('/demo/publish', { onRequest, schema: { hide: true, body: BurstSchema } }, async (request, reply) => {
    const { user, count, ...content } = request.body
    const items = Array.from({ length: count }, (_, index) => {
      const title = count === 1 ? content.title : `${content.title} ${index + 1}`
      return { request: { to: user, ...content, title }, key: undefined }
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
    const [{ parked }, { items }] = await Promise.all([app.inbox.queue(user), app.connectionDirectory.list(user)])
    return { parked, connections: items.length }
  })
}

export default demo
