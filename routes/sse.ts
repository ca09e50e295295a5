import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { STREAM_HEADERS } from '../services/connection/accept.ts'
import { errors } from '../services/errors.ts'
import { closeCodes, STREAM_PATH, type UnauthorizedReason } from '../services/protocol/index.ts'
import { problems, SocketQuery, userErrors, userSecurity } from './schemas/common.ts'

const StreamHeaders = Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 4096 })) })

/** Opens a connection over server-sent events, for networks that break WebSockets. */
const sse: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    STREAM_PATH,
    {
      schema: {
        operationId: 'stream',
        summary: 'The frames of belfry.v1 as server-sent events',
        description:
          'The same frames, event ids and cursor as the WebSocket, for networks that break those. `Last-Event-ID` resumes. Bytes that the socket of the node reported as written count as received. `retry` comes with `hello` and `bye`; a stream lasts 10 minutes at most, and the client resumes on a new one.',
        tags: ['socket'],
        security: userSecurity,
        querystring: SocketQuery,
        headers: StreamHeaders,
        response: {
          200: {
            description: 'Events: the id of each is its event id, its data the frame',
            content: { 'text/event-stream': { schema: Type.String() } }
          },
          ...problems(...userErrors, 403, 429)
        }
      },
      onRequest: (request) => app.admit.upgrade(request)
    },
    async (request, reply) => {
      const admission = await app.admit.identify(request)
      if (!admission.admitted) {
        if (admission.code === closeCodes.unsupportedVersion.code) throw new errors.UnsupportedVersion()
        throw app.auth.refusal(admission.reason as UnauthorizedReason, admission.cause)
      }
      reply.hijack()
      // A HEAD is answered with the head of the stream. It opens no connection and moves no cursor.
      if (request.method === 'HEAD') reply.raw.writeHead(200, { ...(reply.getHeaders() as OutgoingHttpHeaders), ...STREAM_HEADERS }).end()
      else app.websocket.stream(reply, admission)
    }
  )
}

export default sse
