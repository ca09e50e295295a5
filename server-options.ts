import type { FastifyHttpOptions, FastifyRequest, RawServerDefault } from 'fastify'
import type { Config } from './config.ts'
import { redactUrl } from './services/upgrade.ts'

/** What reaches the log of a request: never its headers, its body or a token in its URL. */
const serializers = {
  req: (request: FastifyRequest) => ({ method: request.method, url: redactUrl(request.url), remoteAddress: request.ip })
}

/** Options of the HTTP server: everything that a slow or hostile peer could wait in has a deadline. */
export function serverOptions(config: Config): FastifyHttpOptions<RawServerDefault> {
  return {
    logger: { level: config.LOG_LEVEL, serializers },
    trustProxy: config.TRUST_PROXY.length === 0 ? false : config.TRUST_PROXY,
    requestTimeout: 15_000,
    connectionTimeout: 0,
    keepAliveTimeout: 65_000,
    bodyLimit: 262_144,
    routerOptions: { maxParamLength: 512 },
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 2000, maxHeaderSize: 16_384 },
    return503OnClosing: true
  }
}
