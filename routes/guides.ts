import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errors } from '../services/errors.ts'
import { readGuides } from '../services/node/guide-pages.ts'

/** Serves the pages of `docs/` at /docs/guide/…, as HTML that is made at the first request. */
const guides: FastifyPluginAsyncTypebox = async (app) => {
  let pages: ReadonlyMap<string, string> | undefined
  app.get('/docs/guide/*', { schema: { hide: true, params: Type.Object({ '*': Type.String() }) } }, async ({ params }, reply) => {
    pages ??= readGuides(new URL('../docs/', import.meta.url), app.hasRoute({ method: 'GET', url: `${app.prefix}/demo` }))
    const page = pages.get(params['*'])
    if (page === undefined) throw new errors.NotFound(`There is no page ${params['*']}`)
    return reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(page)
  })
}

export default guides
