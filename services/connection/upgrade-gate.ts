import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Deadline for the answers to earlier requests on the same socket, milliseconds: as long as a request may take. */
const PIPELINE_DEADLINE_MS = 13_000

/** Headers that go with an upgrade to HTTP/2 (RFC 7540 §3.2.1), and the upgrade itself. */
const UPGRADE_HEADERS = ['upgrade', 'http2-settings']

/** `_httpMessage` is the response that Node is writing to the socket. */
interface HttpSocket extends Socket {
  _httpMessage?: ServerResponse | null
}

/** Takes the arguments of Node's `upgrade` event: the request, its socket, and the bytes after its head. */
type UpgradeListener = (request: IncomingMessage, socket: Socket, head: Buffer) => void

/**
 * Returns a listener for the `upgrade` event of a server. The listener passes WebSocket handshakes on. A server may ignore any other upgrade, for
 * example to `h2c` (RFC 9110 §7.8), and must ignore one in HTTP/1.0: the listener passes such a request to the server again, without its upgrade.
 */
export function upgradeGate(server: Server, acceptHandshake: UpgradeListener): UpgradeListener {
  return (request, socket, head) => {
    afterAnswers(socket, () => {
      if (isHandshake(request)) {
        acceptHandshake(request, socket, head)
        endWithAnswer(socket)
      } else replay(server, request, socket, head)
    })
  }
}

/**
 * Shares the upgrades of a server with the listeners that it has by now: `own` gets those that `isOwn` selects, and the rest if it is the only
 * listener.
 */
export function shareUpgrades(server: Server, isOwn: (request: IncomingMessage) => boolean, own: UpgradeListener): void {
  const others = server.listeners('upgrade') as UpgradeListener[]
  server.removeAllListeners('upgrade')
  server.on('upgrade', (...upgrade: Parameters<UpgradeListener>) => {
    const listeners = others.length === 0 || isOwn(upgrade[0]) ? [own] : others
    for (const listener of listeners) listener.apply(server, upgrade)
  })
}

/**
 * Calls `next` when every complete request of a socket is answered, so that answers keep the order of pipelined requests (RFC 9112 §9.3.2).
 * If that takes too long, closes the socket instead.
 */
export function afterAnswers(socket: HttpSocket, next: () => void): void {
  const response = socket._httpMessage
  if (response?.req?.complete !== true) return next()
  const onError = (): void => void socket.destroy()
  const deadline = setTimeout(onError, PIPELINE_DEADLINE_MS)
  const stop = (): void => {
    clearTimeout(deadline)
    socket.off('close', stop)
    socket.off('error', onError)
  }
  socket.on('close', stop)
  socket.on('error', onError)
  response.once('finish', () => {
    stop()
    if (!socket.destroyed && socket.writable) afterAnswers(socket, next)
  })
}

/** Closes a socket after an HTTP answer to its handshake: Node reads no further request from such a socket. */
function endWithAnswer(socket: HttpSocket): void {
  const response = socket._httpMessage
  if (response == null) return
  response.shouldKeepAlive = false
  response.once('finish', () => socket.destroySoon())
}

function isHandshake(request: IncomingMessage): boolean {
  const protocols = (request.headers.upgrade ?? '').split(',').map((protocol) => protocol.trim().toLowerCase())
  if (request.httpVersion === '1.0' || !protocols.includes('websocket')) return false
  request.headers.upgrade = 'websocket'
  return true
}

/** Passes a request to the server again, as a new connection whose first bytes are the request's head without the upgrade. */
function replay(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2)
    const kept = name.toLowerCase() === 'connection' ? withoutUpgrade(value) : value
    if (!UPGRADE_HEADERS.includes(name.toLowerCase()) && (kept !== '' || value === '')) lines.push(`${name}: ${kept}`)
  }
  socket.setTimeout(0)
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
  server.emit('connection', socket)
}

function withoutUpgrade(connection: string): string {
  const options = connection.split(',').map((option) => option.trim())
  return options.filter((option) => !UPGRADE_HEADERS.includes(option.toLowerCase())).join(', ')
}
