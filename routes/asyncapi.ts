import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type SocketDocument, socketPage } from '../services/node/socket-page.ts'
import { PROJECT_VERSION } from '../services/node/version.ts'
import { asyncApi } from './schemas/asyncapi.ts'

/** Serves the AsyncAPI document, which describes the frames of the WebSocket, and the page that shows it. */
const asyncapi: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/docs/asyncapi.json', { schema: { hide: true } }, async ({ host, protocol }) => {
    const { PUBLIC_URL } = app.config
    return asyncApi(PROJECT_VERSION, new URL(PUBLIC_URL === '' ? `${protocol}://${host}${app.prefix}` : PUBLIC_URL))
  })

  let page = ''
  app.addHook('onReady', async () => {
    // The page shows no address of the service: the one here stands in for it.
    const document = asyncApi(PROJECT_VERSION, new URL('http://localhost')) as unknown as SocketDocument
    page = socketPage(document, app.hasRoute({ method: 'GET', url: `${app.prefix}/demo` }))
  })
  app.get('/docs/socket', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(page)
  )
}

export default asyncapi
