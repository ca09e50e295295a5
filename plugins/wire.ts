import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server, Socket } from 'node:net'
import fp from 'fastify-plugin'
import { afterAnswers } from '../services/connection/upgrade-gate.ts'
import { errors } from '../services/errors.ts'
import { listenOnOthers } from '../services/node/loopback-bindings.ts'
import { writeProblem } from '../services/problem.ts'

/**
 * Replaces defaults of the server: an unknown path is answered with a problem, `CONNECT` is answered instead of cut off, `100 Continue` is sent
 * when a route reads the body, the hooks of a request refuse any other `Expect`, and every address of `localhost` has the same server. Not
 * registered if the server belongs to another app.
 */
export default fp(
  async (app) => {
    app.setNotFoundHandler((request) => {
      throw new errors.NotFound(`There is no ${request.method} ${request.url.split('?', 1)[0]}`)
    })
    app.server.on('connect', ({ method, url }: IncomingMessage, socket: Socket) => {
      socket.on('error', () => socket.destroy())
      afterAnswers(socket, () => {
        writeProblem(socket, app.problemOf(new errors.NotFound(`There is no ${method} ${url}`), ''))
        socket.destroySoon()
      })
    })
    app.server.on('checkExpectation', app.routing)
    app.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      // If the body is not read, the bytes that follow may be the body or a new request.
      response.shouldKeepAlive = false
      request.once('resume', () => {
        if (response.headersSent) return
        response.shouldKeepAlive = true
        response.writeContinue()
      })
      app.routing(request, response)
    })

    let others: Server[] = []
    app.addHook('onListen', async () => {
      if (app.config.HOST !== 'localhost') return
      others = await listenOnOthers(app.server, 'localhost', (err, address) =>
        app.log.warn({ err, address }, 'cannot listen on this address')
      )
    })
    let closed: Promise<unknown> = Promise.resolve()
    app.addHook('preClose', async () => {
      closed = Promise.all(others.map((server) => once(server.close(), 'close')))
    })
    app.addHook('onClose', () => closed)
  },
  { name: 'wire', fastify: '5.x', dependencies: ['error-handler'] }
)
