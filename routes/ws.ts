import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Admission } from '../services/connection/admission.ts'
import { errors } from '../services/errors.ts'
import { SOCKET_PATH } from '../services/protocol/index.ts'
import { problems, SocketQuery, userSecurity } from './schemas/common.ts'

declare module 'fastify' {
  interface FastifyRequest {
    admission: Admission | null
  }
}

/** Opens a WebSocket. Checks that HTTP can answer come first. The token is checked last, and its refusal is a close code. */
const ws: FastifyPluginAsyncTypebox = async (app) => {
  app.decorateRequest('admission', null)

  app.route({
    method: 'GET',
    url: SOCKET_PATH,
    schema: {
      operationId: 'connect',
      summary: 'Open a WebSocket',
      description: 'A token that is not good is answered by close code 4001 after the upgrade, since a browser can read that.',
      tags: ['socket'],
      security: userSecurity,
      querystring: SocketQuery,
      response: { 101: Type.Null({ description: 'Upgraded' }), ...problems(400, 403, 426, 429, 500, 503) }
    },
    onRequest: (request) => app.admit.upgrade(request),
    preHandler: async (request: FastifyRequest) => {
      request.admission = await app.admit.identify(request)
    },
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket')
      throw new errors.UpgradeRequired()
    },
    wsHandler: (socket, request) => app.websocket.accept(socket, request, request.admission as Admission)
  })
}

export default ws
