import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import { WebSocket, WebSocketServer } from 'ws'

// The smallest possible program: a POST publishes on the user's channel, and each node with a socket of the user sends the message. It has no
// tokens, no limit, no storage and no heartbeat.

const { PORT = '0', REDIS_URL = '' } = process.env
const publisher = new Redis(REDIS_URL)
const subscriber = new Redis(REDIS_URL)
const sockets = new Map<string, Set<WebSocket>>()

subscriber.on('message', (channel: string, message: string) => {
  for (const socket of sockets.get(channel) ?? []) if (socket.readyState === WebSocket.OPEN) socket.send(message)
})

const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (chunk: string) => {
    body += chunk
  })
  request.on('end', () => {
    if (request.method !== 'POST') {
      response.writeHead(200).end()
      return
    }
    const { to, ...notification } = JSON.parse(body) as { to: string }
    publisher.publish(to, JSON.stringify(notification)).then(
      () => response.writeHead(202, { 'content-type': 'application/json', 'content-length': 11 }).end('{"ok":true}'),
      () => response.writeHead(503).end()
    )
  })
})

new WebSocketServer({ server }).on('connection', async (socket, request) => {
  const user = new URL(request.url ?? '/', 'http://localhost').searchParams.get('user') ?? ''
  const own = sockets.get(user) ?? new Set()
  sockets.set(user, own.add(socket))
  socket.on('error', () => undefined)
  socket.on('close', () => {
    own.delete(socket)
    if (own.size > 0) return
    sockets.delete(user)
    void subscriber.unsubscribe(user)
  })
  if (own.size === 1) await subscriber.subscribe(user)
  socket.send('{"type":"ready"}')
})

server.listen({ port: Number(PORT), host: '127.0.0.1', backlog: 4096 })
