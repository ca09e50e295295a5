import fp from 'fastify-plugin'
import { Counters } from '../services/node/counters.ts'
import { Metrics } from '../services/node/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
    counters: Counters
  }
}

/** Provides the counters of the node, and their Prometheus registry. */
export default fp(
  async (app) => {
    const counters = new Counters()
    const metrics = new Metrics(counters)
    app.decorate('counters', counters)
    app.decorate('metrics', metrics)
    app.addHook('onResponse', async (request, reply) => {
      metrics.request(request.method, request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime)
    })
    app.addHook('onClose', async () => metrics.close())
  },
  { name: 'metrics', fastify: '5.x' }
)
