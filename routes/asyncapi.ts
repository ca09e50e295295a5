import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { PROJECT_VERSION } from '../services/node/version.ts'
import { asyncApi } from './schemas/asyncapi.ts'

/** AsyncAPI beside OpenAPI: the frames of the WebSocket. */
const asyncapi: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/docs/asyncapi.json', { schema: { hide: true } }, async (request) =>
    asyncApi(PROJECT_VERSION, { host: request.host, protocol: request.protocol === 'https' ? 'wss' : 'ws' })
  )
}

export default asyncapi
