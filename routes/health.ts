import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { described } from './schemas/common.ts'

const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/health/live',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'getLiveness',
        summary: 'The process runs',
        tags: ['operations'],
        response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'It runs' }) }
      }
    },
    async () => ({ status: 'ok' as const })
  )

  const Readiness = Type.Object({
    ready: Type.Boolean(),
    checks: Type.Record(Type.String(), Type.String(), {
      description: 'ok, or what is wrong, by the name of the check; a ready node can say that a part of the store is away'
    })
  })
  app.get(
    '/health/ready',
    {
      logLevel: 'silent',
      schema: {
        operationId: 'getReadiness',
        summary: 'The node can do its job',
        tags: ['operations'],
        response: { 200: described(Readiness, 'It can'), 503: described(Readiness, 'It cannot; checks says why') }
      }
    },
    async (_request, reply) => {
      const readiness = app.health.readiness()
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    }
  )
}

export default health
