import buildSerializers from '@fastify/fast-json-stringify-compiler'
import { Ajv } from 'ajv'
import type { FastifyInstance, FastifyPluginAsync, FastifySerializerCompiler } from 'fastify'
import fp from 'fastify-plugin'
import { type Config, servesDemo } from './config.ts'
import admit from './plugins/admit.ts'
import answers from './plugins/answers.ts'
import auth from './plugins/auth.ts'
import bodies from './plugins/bodies.ts'
import broadcaster from './plugins/broadcaster.ts'
import bus from './plugins/bus.ts'
import connections from './plugins/connections.ts'
import errorHandler from './plugins/error-handler.ts'
import fanout from './plugins/fanout.ts'
import health from './plugins/health.ts'
import inbox from './plugins/inbox.ts'
import metrics from './plugins/metrics.ts'
import offlineQueue from './plugins/offline-queue.ts'
import openapi from './plugins/openapi.ts'
import presence from './plugins/presence.ts'
import publisher from './plugins/publisher.ts'
import rateLimit from './plugins/rate-limit.ts'
import reach from './plugins/reach.ts'
import redis from './plugins/redis.ts'
import security from './plugins/security.ts'
import store from './plugins/store.ts'
import topics from './plugins/topics.ts'
import userClock from './plugins/user-clock.ts'
import vapid from './plugins/vapid.ts'
import websocket from './plugins/websocket.ts'
import wire from './plugins/wire.ts'
import answerRoutes from './routes/answers.ts'
import asyncapiRoutes from './routes/asyncapi.ts'
import broadcastRoutes from './routes/broadcasts.ts'
import clientRoutes from './routes/client.ts'
import demoRoutes from './routes/demo.ts'
import guideRoutes from './routes/guides.ts'
import healthRoutes from './routes/health.ts'
import meRoutes from './routes/me.ts'
import metricsRoutes from './routes/metrics.ts'
import notificationRoutes from './routes/notifications.ts'
import presenceRoutes from './routes/presence.ts'
import publishedRoutes from './routes/published.ts'
import pushRoutes from './routes/push.ts'
import { shared } from './routes/schemas/common.ts'
import sseRoutes from './routes/sse.ts'
import topicRoutes from './routes/topics.ts'
import userRoutes from './routes/users.ts'
import wsRoutes from './routes/ws.ts'
import { TIMEOUTS, type Timeouts } from './services/connection/timeouts.ts'
import { newId } from './services/ids.ts'
import type { WebhookJournal } from './services/reach/webhook-journal.ts'

declare module 'fastify' {
  interface FastifyInstance {
    config: Config
    /** The incarnation of this process: ten characters, new at each start. */
    node: string
    timeouts: Timeouts
    /** The secret of tokens that Belfry generated itself; '' if the environment has a key. */
    generatedSecret: string
  }
}

export interface AppOptions {
  config: Config
  /** Secret of tokens to use where the environment has no key. Only the demo may sign with it. */
  generatedSecret?: string
  /** The receiver behind `WEBHOOK_URL`, if it is that of the demo. */
  journal?: WebhookJournal | undefined
  /** Deadlines that differ from `TIMEOUTS`. */
  timeouts?: Partial<Timeouts>
  /** The server belongs to another app, which answers for its own paths: `index.ts` registers Belfry in a context of that app. Default: false. */
  embedded?: boolean
}

/** The service as one plugin. Each plugin needs only those above it, and they close from the last to the first. */
const app: FastifyPluginAsync<AppOptions> = async (fastify, { config, generatedSecret = '', journal, timeouts, embedded = false }) => {
  fastify.decorate('config', config)
  fastify.decorate('generatedSecret', generatedSecret)
  fastify.decorate('node', newId().slice(0, 10))
  fastify.decorate('timeouts', { ...TIMEOUTS, ...timeouts })
  validateStrictly(fastify)
  if (embedded) serializeAsUsual(fastify)
  for (const schema of shared) fastify.addSchema(schema)

  await fastify.register(errorHandler)
  await fastify.register(bodies)
  await fastify.register(security)
  await fastify.register(health)
  await fastify.register(metrics)
  await fastify.register(redis)
  await fastify.register(vapid)
  await fastify.register(bus)
  await fastify.register(store)
  await fastify.register(auth)
  await fastify.register(reach)
  await fastify.register(connections)
  await fastify.register(fanout)
  await fastify.register(offlineQueue)
  await fastify.register(userClock)
  await fastify.register(rateLimit)
  await fastify.register(broadcaster)
  await fastify.register(publisher)
  await fastify.register(topics)
  await fastify.register(inbox)
  await fastify.register(answers)
  await fastify.register(presence)
  await fastify.register(admit)
  await fastify.register(websocket, { embedded })
  if (!embedded) await fastify.register(wire)
  await fastify.register(openapi)

  await fastify.register(healthRoutes)
  if (config.METRICS_PORT === 0) await fastify.register(metricsRoutes)
  await fastify.register(notificationRoutes)
  await fastify.register(publishedRoutes)
  await fastify.register(userRoutes)
  await fastify.register(meRoutes)
  await fastify.register(presenceRoutes)
  await fastify.register(topicRoutes)
  await fastify.register(broadcastRoutes)
  await fastify.register(pushRoutes)
  await fastify.register(answerRoutes)
  await fastify.register(wsRoutes)
  await fastify.register(sseRoutes)
  await fastify.register(asyncapiRoutes)
  await fastify.register(guideRoutes)
  await fastify.register(clientRoutes)
  if (embedded ? config.DEMO : servesDemo(config, generatedSecret)) await fastify.register(demoRoutes, { journal })
}

/** Not encapsulated, so that the server answers its own errors like all others, and `index.ts` finds the decorators. */
export default fp(app, { name: 'belfry-service', fastify: '5.x' })

/** Validates bodies without converting them, and refuses unknown fields. Parts of a URL are text, and are converted to the type of the schema. */
function validateStrictly(fastify: FastifyInstance): void {
  const options = { useDefaults: true, removeAdditional: false, allErrors: false, strict: false, unicodeRegExp: true }
  const body = new Ajv({ ...options, coerceTypes: false })
  const url = new Ajv({ ...options, coerceTypes: true })
  for (const schema of shared) {
    body.addSchema(schema)
    url.addSchema(schema)
  }
  fastify.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? body : url).compile(schema as object))
}

/** Serializes answers as Fastify does by default. The embedding app may have replaced the serializer by one for schemas of its own kind. */
function serializeAsUsual(fastify: FastifyInstance): void {
  const byId = Object.fromEntries(shared.map((schema) => [(schema as { $id?: string }).$id ?? '', schema]))
  fastify.setSerializerCompiler(buildSerializers()(byId, {}) as FastifySerializerCompiler<unknown>)
}
