import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { errors } from '../services/errors.ts'
import type { Admission } from '../services/sockets.ts'
import { DeviceSchema } from './schemas/common.ts'

declare module 'fastify' {
  interface FastifyRequest {
    admission: Admission | null
  }
}

const SocketQuery = Type.Object({
  token: Type.Optional(Type.String()),
  device_id: Type.Optional(DeviceSchema),
  last_event_id: Type.Optional(Type.String({ maxLength: 4096 }))
})

/** Where a socket begins: checks that HTTP can answer come first, the token last, and its verdict is a close code. */
const ws: FastifyPluginAsyncTypebox = async (app) => {
  app.decorateRequest('admission', null)

  app.route({
    method: 'GET',
    url: '/v1/ws',
    schema: { hide: true, querystring: SocketQuery },
    onRequest: (request) => app.admit.upgrade(request),
    preHandler: async (request: FastifyRequest) => {
      request.admission = await app.admit.identify(request)
    },
    handler: async () => {
      throw new errors.UpgradeRequired()
    },
    wsHandler: (socket, request) => app.websocket.accept(socket, request, request.admission as Admission)
  })
}

export default ws
