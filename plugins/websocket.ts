import { EventEmitter } from 'node:events'
import type { OutgoingHttpHeaders, Server } from 'node:http'
import type { Socket } from 'node:net'
import websocket, { type WebsocketPluginOptions } from '@fastify/websocket'
import type { FastifyInstance, FastifyPluginCallback } from 'fastify'
import fp from 'fastify-plugin'
import type { WebSocket } from 'ws'
import { acceptSocket, acceptStream, type SocketContext } from '../services/connection/accept.ts'
import type { Admission } from '../services/connection/admission.ts'
import { ConnectionLog } from '../services/connection/connection-log.ts'
import { drain } from '../services/connection/drain.ts'
import { chooseProtocol } from '../services/connection/subprotocol.ts'
import { shareUpgrades, upgradeGate } from '../services/connection/upgrade-gate.ts'
import { errors } from '../services/errors.ts'
import { writeProblem } from '../services/problem.ts'
import { SOCKET_PATH } from '../services/protocol/index.ts'
import { WEBHOOK_LANE } from '../services/store/outbox.ts'

declare module 'fastify' {
  interface FastifyInstance {
    websocket: {
      /** Starts a connection on an upgraded socket, or closes the socket if it was not admitted. */
      accept: (webSocket: WebSocket, request: FastifyRequest, admission: Admission) => void
      /** Starts a connection that sends its frames as server-sent events on a hijacked reply. */
      stream: (reply: FastifyReply, admission: Extract<Admission, { admitted: true }>) => void
    }
  }
}

/** Largest number of fragments of one message. */
const MAX_FRAGMENTS = 16
/** Accepted versions of the handshake: that of RFC 6455, and that of its last drafts. */
const VERSIONS = '13, 8'
/** Longest time a peer takes to answer a close frame, milliseconds. */
const CLOSE_TIMEOUT_MS = 2000

interface WebsocketOptions {
  /** The server belongs to another app, which may take upgrades of its own. */
  embedded: boolean
}

/** Starts connections on WebSocket upgrades and event streams. Before the server closes, each gets `bye` with the time after which to reconnect. */
export default fp<WebsocketOptions>(
  async (app, { embedded }) => {
    const { WS_MAX_PAYLOAD_BYTES, MAX_UNACKED, WS_PING_INTERVAL_MS } = app.config
    // @fastify/websocket handles every upgrade of its server. It is given an emitter that passes on WebSocket handshakes alone.
    const handshakes = new EventEmitter()
    const socketPath = app.prefix + SOCKET_PATH
    const gate = upgradeGate(app.server, (...handshake) => handshakes.emit('upgrade', ...handshake))
    if (embedded) app.addHook('onReady', async () => shareUpgrades(app.server, ({ url = '' }) => url.split('?', 1)[0] === socketPath, gate))
    else app.server.on('upgrade', gate)
    const options = {
      server: handshakes as Server,
      maxPayload: WS_MAX_PAYLOAD_BYTES,
      maxFragments: MAX_FRAGMENTS,
      perMessageDeflate: false,
      clientTracking: false,
      handleProtocols: chooseProtocol,
      closeTimeout: CLOSE_TIMEOUT_MS
    }
    await app.register(beside(websocket), {
      options,
      preClose: (done) => {
        drain(app.connections)
        done()
      }
    })
    // Otherwise ws answers a handshake without a valid key, version or list of subprotocols with HTML.
    app.websocketServer.on('wsClientError', ({ message }: Error, socket: Socket) => {
      const problem = app.problemOf(new errors.InvalidRequest(message), '')
      app.log.info({ code: problem.code, cause: message }, 'request refused')
      writeProblem(socket, problem, { 'sec-websocket-version': VERSIONS })
      socket.destroySoon()
    })
    const context: SocketContext = {
      node: app.node,
      store: app.store,
      registry: app.connections,
      cursors: app.offlineQueue,
      counters: app.counters,
      onAnswered: () => app.reach.wake([WEBHOOK_LANE]),
      verify: app.auth.verify,
      maxUnacked: MAX_UNACKED,
      maxFrameBytes: WS_MAX_PAYLOAD_BYTES,
      pingIntervalMs: WS_PING_INTERVAL_MS,
      timeouts: app.timeouts,
      onFault: (err) => app.log.error({ err }, 'a connection failed'),
      log: new ConnectionLog(app.log.child({ component: 'connection' }))
    }
    app.decorate('websocket', {
      accept: (webSocket, request, admission) => acceptSocket(context, webSocket, request.raw.socket as Socket, admission),
      stream: (reply, { identity, start }) => acceptStream(context, reply.raw, reply.getHeaders() as OutgoingHttpHeaders, identity, start)
    })
    app.addHook('onRequest', async (request) => {
      if (request.ws && request.routeOptions.url !== socketPath)
        throw new errors.NotFound(`There is no WebSocket at ${request.url.split('?', 1)[0]}`)
    })
  },
  { name: 'websocket', fastify: '5.x', dependencies: ['error-handler', 'connections', 'offline-queue', 'auth', 'reach', 'health'] }
)

/** Returns the plugin for an app that may have it as well: the request decorator `ws` is then there, with the same meaning. */
function beside(plugin: typeof websocket): FastifyPluginCallback<WebsocketPluginOptions> {
  return fp((app, options, done) => {
    const hasOther = app.hasRequestDecorator('ws')
    plugin(hasOther ? (Object.create(app, { decorateRequest: { value: () => app } }) as FastifyInstance) : app, options, done)
  })
}
