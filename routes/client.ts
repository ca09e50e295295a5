import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { type Static, Type } from 'typebox'
import { errors } from '../services/errors.ts'
import { acceptsGzip, matchesTag, readClientFiles } from '../services/node/client-files.ts'

/** Caching of a file requested with this node's version in the query: it never changes. */
const IMMUTABLE = 'public, max-age=31536000, immutable'
/** Caching without a version: caches may serve the older client for five minutes after an upgrade. */
const SHORT = 'public, max-age=300'
/** Caching for another version. During a rolling upgrade its URL must not be cached with the content of this node. */
const OTHER_VERSION = 'no-cache'

const schema = {
  hide: true,
  params: Type.Object({ file: Type.String() }),
  querystring: Type.Object({ v: Type.Optional(Type.String()) })
}

interface ClientRequest {
  params: Static<typeof schema.params>
  query: Static<typeof schema.querystring>
  headers: IncomingHttpHeaders
}

/**
 * Serves the browser client of this version, and its language files, to pages of every origin.
 *
 * @fastify/static is not used here: its entity tags are of size and modification time, which differ between nodes, and it has one tag for
 * both codings. These tags are of the content.
 */
const client: FastifyPluginAsyncTypebox = async (app) => {
  const { version, byName } = readClientFiles(new URL('../client/', import.meta.url))

  const send =
    (folder: string) =>
    async ({ params, query, headers }: ClientRequest, reply: FastifyReply) => {
      const name = `${folder}${params.file}`
      const file = byName.get(name)
      if (file === undefined) throw new errors.NotFound(`There is no /client/${name}`)
      const gzip = acceptsGzip(String(headers['accept-encoding'] ?? ''))
      const etag = gzip ? `"${file.etag}-gzip"` : `"${file.etag}"`
      reply.headers({
        'cache-control': query.v === undefined ? SHORT : query.v === version ? IMMUTABLE : OTHER_VERSION,
        etag,
        vary: 'accept-encoding',
        // Scripts are public. CORS_ORIGIN protects the API, which a user's token opens.
        'access-control-allow-origin': '*',
        'cross-origin-resource-policy': 'cross-origin'
      })
      if (matchesTag(headers['if-none-match'] ?? '', etag)) return reply.code(304).send()
      if (gzip) reply.header('content-encoding', 'gzip')
      const type = name.endsWith('.json') ? 'application/json' : 'text/javascript'
      return reply.type(`${type}; charset=utf-8`).send(gzip ? file.gzipped() : file.body)
    }

  app.get('/client/:file', { schema }, send(''))
  app.get('/client/languages/:file', { schema }, send('languages/'))
}

export default client
