import type { ValidateFunction } from 'ajv'
import type { FastifyError, FastifyInstance, FastifyPluginAsync, FastifyRegisterOptions } from 'fastify'
import fp from 'fastify-plugin'
import service from './app.ts'
import { type Config, redisOptionsOf } from './config.ts'
import { PublishSchema } from './routes/schemas/publish.ts'
import { logSerializers } from './server-options.ts'
import type { Broadcaster } from './services/audience/broadcaster.ts'
import type { PresenceDirectory } from './services/audience/presence.ts'
import type { Topics } from './services/audience/topics.ts'
import { secretWithoutKey } from './services/auth/generated-secret.ts'
import { signToken } from './services/auth/signing.ts'
import type { Inbox } from './services/delivery/inbox.ts'
import type { PublishRequest } from './services/delivery/publish-request.ts'
import type { Publisher } from './services/delivery/publisher.ts'
import { errors } from './services/errors.ts'

export { type Config, ConfigError, readConfig as loadConfig } from './config.ts'
export type { Broadcaster } from './services/audience/broadcaster.ts'
export type { PresenceDirectory } from './services/audience/presence.ts'
export type { Topics } from './services/audience/topics.ts'
export type { Inbox, InboxItem, InboxPage } from './services/delivery/inbox.ts'
export type { PublishRequest } from './services/delivery/publish-request.ts'
export type { PublishAnswer, Publisher } from './services/delivery/publisher.ts'
export type { RecipientResult } from './services/delivery/recipient-result.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Publishes notifications, as `POST /v1/notifications` does, with the same checks of each request. */
    publisher: Publisher
    /** Lists, marks, recalls and erases the notifications of a user, as the routes under `/v1/users` do. */
    inbox: Inbox
    /** Changes and lists the members of topics, as the routes under `/v1/topics` do. */
    topics: Topics
    /** Tells how far a broadcast is, and cancels it, as the routes under `/v1/broadcasts` do. */
    broadcaster: Broadcaster
    /** Tells who is online, as `/v1/presence` does. */
    presence: PresenceDirectory
    /**
     * Signs a token with which a user may connect, for the route behind `getToken` of the client. The app must have authenticated the user.
     *
     * @param seconds lifetime of the token; default: 1 hour
     * @throws Error if tokens are verified with `JWT_PUBLIC_KEY` or `JWKS_URL`: the app does not have their private key
     */
    signToken: (user: string, seconds?: number) => string
  }
}

/** Options of the plugin. */
export interface BelfryOptions {
  /** From `loadConfig()`. */
  config: Config
  /** Path before all routes of Belfry, such as `/notifications`. Default: none. */
  prefix?: string
}

/** Decorators that the app gets. */
const PUBLIC = ['publisher', 'inbox', 'topics', 'broadcaster', 'presence', 'signToken'] as const

/** Lifetime of a token unless the app names another, seconds. */
const TOKEN_SECONDS = 3600

/**
 * Runs Belfry inside another Fastify app. Its routes, hooks, parsers and error handler are in a context of their own and change nothing of the
 * app, which gets the decorators above. `app.close()` sends `bye` to every connection, writes what was acknowledged, and closes the store.
 */
const belfry: FastifyPluginAsync<BelfryOptions> = async (app, { config, prefix = '' }) => {
  refuseOverlaps(app, config, prefix)
  const generatedSecret = secretWithoutKey(config)?.secret ?? ''
  const inContext = async (context: FastifyInstance): Promise<void> => {
    await context.register(service, { config, generatedSecret, embedded: true })
    app.decorate('publisher', context.publisher.withCheck(requestCheck(context)))
    app.decorate('inbox', context.inbox)
    app.decorate('topics', context.topics)
    app.decorate('broadcaster', context.broadcaster)
    app.decorate('presence', context.presence)
  }
  app.decorate('signToken', tokenSigner(config, config.JWT_SECRET || generatedSecret))
  // The type of this option has serializers that return text, though an object is what Fastify's own returns.
  const options = { ...(prefix === '' ? {} : { prefix }), logSerializers } as FastifyRegisterOptions<object>
  try {
    await app.register(inContext, options)
  } catch (error) {
    throw explained(error as FastifyError)
  }
}

export default fp(belfry, { name: 'belfry', fastify: '5.x' })

/** Returns the check that `POST /v1/notifications` makes by its schema. */
function requestCheck(context: FastifyInstance): (request: PublishRequest) => void {
  const compile = context.validatorCompiler as unknown as (route: object) => ValidateFunction
  const validate = compile({ schema: PublishSchema, method: 'POST', url: '/v1/notifications', httpPart: 'body' })
  return (request) => {
    if (validate(request)) return
    const { instancePath = '', message = '' } = validate.errors?.[0] ?? {}
    throw new errors.InvalidRequest(`${instancePath || 'it'} ${message}`)
  }
}

function tokenSigner({ JWT_ISSUER: iss, JWT_AUDIENCE: aud }: Config, secret: string): FastifyInstance['signToken'] {
  const claims = { ...(iss === '' ? {} : { iss }), ...(aud === '' ? {} : { aud }) }
  return (user, seconds = TOKEN_SECONDS) => {
    if (secret === '')
      throw new Error('signToken needs JWT_SECRET: tokens of another key are signed by the authority that has its private half')
    return signToken(secret, user, '', seconds, claims)
  }
}

/** @throws Error if the app has registered what Belfry would register again */
function refuseOverlaps(app: FastifyInstance, config: Config, prefix: string): void {
  const taken = PUBLIC.find((name) => Object.hasOwn(app, name))
  if (taken !== undefined) {
    throw new Error(`Belfry would decorate this app with ${taken}, which it has already: register Belfry once, or in a context of its own`)
  }
  if (config.CORS_ORIGIN.length > 0 && app.hasRequestDecorator('corsPreflightEnabled')) {
    throw new Error("leave CORS_ORIGIN empty: this app has registered @fastify/cors, which answers for Belfry's routes as well")
  }
  if (redisOptionsOf(config) !== undefined && app.hasDecorator('redis')) {
    throw new Error('register Belfry before @fastify/redis: both add the decorator redis, each for its own context')
  }
  // @fastify/swagger-ui throws where no caller can catch it.
  const docs = ['/docs', '/docs/json'].map((path) => app.prefix + prefix + path).find((url) => app.hasRoute({ method: 'GET', url }))
  if (docs !== undefined) throw new Error(`register Belfry with a prefix: this app has a route ${docs}, and so has Belfry`)
}

/** Advice to the app, by the code of an error of Fastify. */
const REMEDIES: Record<string, string> = {
  FST_ERR_DEC_ALREADY_PRESENT: 'register Belfry before the plugin that adds this decorator',
  FST_ERR_SCH_ALREADY_PRESENT: 'register Belfry before this schema is added',
  FST_ERR_DUPLICATED_ROUTE: 'register Belfry with a prefix'
}

/** Returns the error with what the app can do about it, if it is a clash with what the app has registered. */
function explained(error: FastifyError): Error {
  const remedy = REMEDIES[error.code]
  return remedy === undefined ? error : new Error(`Belfry clashes with this app: ${error.message}: ${remedy}`, { cause: error })
}
