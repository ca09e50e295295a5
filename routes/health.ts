import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/health/live',
    {
      logLevel: 'warn',
      schema: { summary: 'The process runs', tags: ['operations'], response: { 200: Type.Object({ status: Type.Literal('ok') }) } }
    },
    async () => ({ status: 'ok' as const })
  )

  const Readiness = Type.Object({ ready: Type.Boolean(), checks: Type.Record(Type.String(), Type.String()) })
  app.get(
    '/health/ready',
    {
      logLevel: 'silent',
      schema: { summary: 'The node can do its job', tags: ['operations'], response: { 200: Readiness, 503: Readiness } }
    },
    async (_request, reply) => {
      const readiness = app.health.readiness()
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    }
  )
}

export default health
