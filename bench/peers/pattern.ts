import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import express from 'express'
import { Redis } from 'ioredis'
import { WebSocket, WebSocketServer } from 'ws'

// The usual do-it-yourself pattern, which Belfry replaces: Express and `ws`, one channel that every node subscribes to, a Redis List per user
// without a socket on this node, a counter per user and second, and a sorted set for notifications over the limit. Its faults belong to the
// pattern and are described in docs/explanation/comparison.md.

const CHANNEL = 'notifications'
const QUEUE_SECONDS = 7 * 24 * 3600
const PER_SECOND = 10

interface Notification {
  id: string
  userId: string
  timestamp: number
}

const { PORT = '0', REDIS_URL = '' } = process.env
const redis = new Redis(REDIS_URL)
const subscriber = new Redis(REDIS_URL)
const clients = new Map<string, Set<WebSocket>>()

function sendLocally(userId: string, notification: Notification): boolean {
  const sockets = clients.get(userId)
  if (sockets === undefined) return false
  for (const socket of sockets) if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(notification))
  return true
}

async function allowed(userId: string): Promise<boolean> {
  const key = `rate:${userId}:${Math.floor(Date.now() / 1000)}`
  const count = await redis.incr(key)
  if (count === 1) await redis.expire(key, 2)
  return count <= PER_SECOND
}

async function enqueue(userId: string, notification: Notification): Promise<void> {
  await redis.rpush(`queue:${userId}`, JSON.stringify(notification))
  await redis.expire(`queue:${userId}`, QUEUE_SECONDS)
}

const app = express()
app.use(express.json())
app.get('/', (_request, response) => response.end())
app.post('/notify', async (request, response) => {
  const { to: userId, ...rest } = request.body as { to: string }
  const notification: Notification = { id: randomUUID(), userId, timestamp: Date.now(), ...rest }
  if (!(await allowed(userId))) {
    await redis.zadd(`delayed:${userId}`, notification.timestamp, JSON.stringify(notification))
    return response.status(202).json({ status: 'delayed' })
  }
  if (!sendLocally(userId, notification)) await enqueue(userId, notification)
  await redis.publish(CHANNEL, JSON.stringify({ userId, notification }))
  return response.status(202).json({ status: 'sent', id: notification.id })
})

await subscriber.subscribe(CHANNEL)
subscriber.on('message', (_channel: string, message: string) => {
  const { userId, notification } = JSON.parse(message) as { userId: string; notification: Notification }
  sendLocally(userId, notification)
})

const server = createServer(app)
new WebSocketServer({ server }).on('connection', async (socket, request) => {
  const userId = new URL(request.url ?? '/', 'http://localhost').searchParams.get('user') ?? ''
  const own = clients.get(userId) ?? new Set()
  clients.set(userId, own.add(socket))
  socket.on('error', () => undefined)
  socket.on('close', () => {
    own.delete(socket)
    if (own.size === 0) clients.delete(userId)
  })
  for (;;) {
    const queued = await redis.lpop(`queue:${userId}`)
    if (queued === null) break
    socket.send(queued)
  }
  socket.send('{"type":"ready"}')
})

server.listen({ port: Number(PORT), host: '127.0.0.1', backlog: 4096 })
