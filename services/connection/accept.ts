import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import { newId } from '../ids.ts'
import { type ByeFrame, closeCodes } from '../protocol/index.ts'
import type { Start } from '../store/store.ts'
import type { Admission } from './admission.ts'
import { type ClientFrameContext, takeClientFrame, takeControlFrame } from './client-frames.ts'
import { Connection } from './connection.ts'
import type { ConnectionContext, Identity } from './context.ts'
import { SseTransport } from './transport-sse.ts'
import { WebSocketTransport } from './transport-websocket.ts'

export interface SocketContext extends ConnectionContext, ClientFrameContext {}

/** Close code under which the end of an event stream is counted: 1001, the peer leaves (RFC 6455 §7.4.1). */
const STREAM_END_CODE = 1001

/** Headers of an event stream. */
export const STREAM_HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }

const kConnection = Symbol('belfry.connection')
const kContext = Symbol('belfry.context')

/** A WebSocket with its connection. All sockets share the same listeners, which find the connection here: a closure for each socket would cost memory. */
interface OwnedWebSocket extends WebSocket {
  [kConnection]: Connection
  [kContext]: SocketContext
}

interface UpgradedSocket extends Socket {
  /** The response of the upgrade request, where Node keeps it. */
  _httpMessage?: ServerResponse | null
}

/**
 * Takes over a socket that was just upgraded.
 *
 * @param socket the TCP or TLS socket under it
 */
export function acceptSocket(context: SocketContext, webSocket: WebSocket, socket: Socket, admission: Admission): void {
  releaseUpgrade(webSocket, socket as UpgradedSocket)
  if (!admission.admitted) {
    const { code, reason, reconnectInMs } = admission
    context.counters.upgradesRefused += 1
    if (reconnectInMs !== undefined) webSocket.send(JSON.stringify({ type: 'bye', code, reason, reconnectInMs } satisfies ByeFrame))
    webSocket.close(code, reason)
    return
  }
  const transport = new WebSocketTransport(webSocket, socket)
  const connection = new Connection(context, transport, admission.identity, admission.start, newId())
  const owned = webSocket as OwnedWebSocket
  owned[kContext] = context
  owned[kConnection] = connection
  webSocket.on('message', onMessage)
  webSocket.on('ping', onPing)
  webSocket.on('pong', onPong)
  webSocket.on('close', onClose)
}

/**
 * Takes over a response for server-sent events and writes its head. Does nothing if the client has disconnected.
 *
 * @param headers headers of the response besides `STREAM_HEADERS`
 */
export function acceptStream(
  context: SocketContext,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  identity: Identity,
  start: Start
): void {
  if (response.destroyed) return
  response.socket?.setTimeout(0)
  response.writeHead(200, { ...headers, ...STREAM_HEADERS })
  const connection = new Connection(context, new SseTransport(response), identity, start, newId())
  response.on('close', () => connection.closed(STREAM_END_CODE))
}

/** Releases a listener and a response that the upgrade left behind. They hold request, reply and headers: about 3 KB for the life of a connection. */
function releaseUpgrade(webSocket: WebSocket, socket: UpgradedSocket): void {
  webSocket.removeAllListeners('error')
  webSocket.on('error', onError)
  socket._httpMessage?.detachSocket(socket)
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  const { [kConnection]: connection, [kContext]: context } = this as OwnedWebSocket
  if (isBinary) connection.close('protocolError', 'frames are text')
  else takeClientFrame(context, connection, data.toString(), performance.now())
}

/** Counts a ping towards the limit on frames. `ws` answers each ping with a pong, and the pongs of a peer that reads nothing pile up in this process. */
function onPing(this: WebSocket): void {
  takeControlFrame((this as OwnedWebSocket)[kConnection], 'ping', performance.now())
}

function onPong(this: WebSocket): void {
  takeControlFrame((this as OwnedWebSocket)[kConnection], 'pong', performance.now())
}

function onClose(this: WebSocket, code: number): void {
  ;(this as OwnedWebSocket)[kConnection].closed(code || closeCodes.serverError.code)
}

/** Does nothing: `ws` closes the socket with the code of the error (1002, 1007, 1009) and then emits 'close'. */
function onError(): void {}
