import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

const metrics: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/metrics',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'getMetrics',
        summary: 'Prometheus metrics',
        tags: ['operations'],
        response: { 200: { description: 'The Prometheus text format', content: { 'text/plain': { schema: Type.String() } } } }
      }
    },
    async (_request, reply) => {
      const { contentType, body } = await app.metrics.exposition()
      return reply.type(contentType).send(body)
    }
  )
}

export default metrics
