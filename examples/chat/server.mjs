// A chat with rooms, with Belfry inside: npm run example:chat
import { randomUUID } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import belfry, { loadConfig } from 'belfry'
import Fastify from 'fastify'
import { serveFiles, signIn, start } from '../shared/server.mjs'

/** Messages of one page of the history. */
const PAGE = 50

const config = loadConfig({ DATA_DIR: '.belfry/chat', PORT: '3002', LOG_LEVEL: 'warn', ...process.env })
const folder = join(config.DATA_DIR, 'rooms')

const app = Fastify({ logger: { level: config.LOG_LEVEL } })
await app.register(belfry, { config, prefix: '/belfry' })
await app.register(signIn)
await mkdir(folder, { recursive: true })

/** The messages of each room, oldest first. A room is a file with one message a line; notifications only bring what is new. */
const rooms = new Map(['general', 'lunch', 'releases'].map((name) => [name, []]))
for (const name of await readdir(folder)) {
  rooms.set(
    name,
    (await readFile(join(folder, name), 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  )
}

const params = { type: 'object', properties: { room: { type: 'string', pattern: '^[a-z0-9-]{1,32}$' } } }
const body = { type: 'object', required: ['text'], properties: { text: { type: 'string', minLength: 1, maxLength: 1000 } } }
const querystring = { type: 'object', properties: { before: { type: 'integer', minimum: 0 } } }

await app.register(async (api) => {
  api.addHook('onRequest', app.authenticate)

  // Lists all rooms. `joined` are those whose messages reach this person.
  api.get('/rooms', async ({ userName }) => ({ rooms: [...rooms.keys()], joined: await app.topics.topicsOf(userName) }))

  // Joins a room, which is made if it is new.
  api.put('/rooms/:room', { schema: { params } }, async ({ params: { room }, userName }) => {
    if (!rooms.has(room)) rooms.set(room, [])
    await app.topics.add(room, userName)
    return { room }
  })

  api.delete('/rooms/:room', { schema: { params } }, async ({ params: { room }, userName }) => {
    await app.topics.remove(room, userName)
    return { room }
  })

  // The history, one page of it: `before` is the place of the oldest message that the page has.
  api.get('/rooms/:room/messages', { schema: { params, querystring } }, async ({ params: { room }, query }) => {
    const messages = rooms.get(room) ?? []
    const end = query.before ?? messages.length
    const from = Math.max(0, end - PAGE)
    return { messages: messages.slice(from, end), from }
  })

  // Takes a message. When this is answered, the message is in the history, and the broadcast to the room is in the store.
  api.post('/rooms/:room/messages', { schema: { params, body } }, async ({ params: { room }, body: { text }, userName }) => {
    const message = { id: randomUUID(), from: userName, text, at: Date.now() }
    rooms.get(room).push(message)
    await appendFile(join(folder, room), `${JSON.stringify(message)}\n`)
    await app.publisher.publish(
      {
        to: { topic: room },
        type: `chat.${room}`,
        title: `${userName}: ${text}`.slice(0, 200),
        ref: `/#${room}`,
        data: { room, message }
      },
      'chat',
      message.id
    )
    return message
  })
})

serveFiles(app, import.meta.url, { '/': 'index.html', '/page.css': 'page.css', '/page.js': 'page.js' })
await start(app, config, 'Chat')
