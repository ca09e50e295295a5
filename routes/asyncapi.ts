import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { PROJECT_VERSION } from '../services/node/version.ts'
import { asyncApi } from './schemas/asyncapi.ts'

/** Serves the AsyncAPI document, which describes the frames of the WebSocket. */
const asyncapi: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/docs/asyncapi.json', { schema: { hide: true } }, async ({ host, protocol }) => {
    const { PUBLIC_URL } = app.config
    return asyncApi(PROJECT_VERSION, new URL(PUBLIC_URL === '' ? `${protocol}://${host}` : PUBLIC_URL))
  })
}

export default asyncapi
