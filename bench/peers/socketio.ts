import { createServer } from 'node:http'
import { createAdapter as createRedisAdapter } from '@socket.io/redis-adapter'
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

// Socket.IO 4 with a room per user and one of its two Redis adapters (`redis`, `streams`). It has no tokens and no limit.

const { PORT = '0', REDIS_URL = '' } = process.env
const redis = new Redis(REDIS_URL)
const adapter = process.argv[2] === 'streams' ? createStreamsAdapter(redis) : createRedisAdapter(redis, redis.duplicate())

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
    io.to(to).emit('notification', notification)
    response.writeHead(202, { 'content-type': 'application/json', 'content-length': 11 }).end('{"ok":true}')
  })
})

const io = new Server(server, { adapter, transports: ['websocket'], perMessageDeflate: false, serveClient: false })
io.on('connection', (socket) => {
  void socket.join(String(socket.handshake.query.user))
})

server.listen({ port: Number(PORT), host: '127.0.0.1', backlog: 4096 })
