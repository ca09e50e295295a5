// The parts that the servers of the examples share. The sign-in takes a name and no password: an app has its own in this place.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import fp from 'fastify-plugin'

const TYPES = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' }

const schema = {
  body: {
    type: 'object',
    required: ['name'],
    properties: { name: { type: 'string', pattern: '^[\\p{L}\\p{N}][\\p{L}\\p{N} _-]{0,29}$' } }
  }
}

/** Adds `POST /session`, `GET /token` for the client's `getToken`, and the hook `authenticate`, which sets `request.userName`. */
export const signIn = fp(async (app) => {
  const nameBySession = new Map()
  app.decorateRequest('userName', '')
  app.decorate('authenticate', async (request, reply) => {
    request.userName = nameBySession.get(request.headers.authorization?.replace('Session ', '')) ?? ''
    if (request.userName === '') return reply.code(401).send({ message: 'sign in first' })
  })

  app.post('/session', { schema }, async ({ body }) => {
    const session = randomUUID()
    nameBySession.set(session, body.name)
    return { session, name: body.name }
  })
  app.get('/token', { onRequest: app.authenticate }, async ({ userName }) => ({ token: app.signToken(userName) }))
})

/** Serves files by their path. `shared/` has those of all examples. */
export function serveFiles(app, folder, fileByPath) {
  const files = { '/shared/client.js': '../shared/client.js', '/shared/page.css': '../shared/page.css', ...fileByPath }
  for (const [path, file] of Object.entries(files)) {
    app.get(path, async (_request, reply) =>
      reply.type(`${TYPES[extname(file)]}; charset=utf-8`).send(await readFile(new URL(file, folder)))
    )
  }
}

/** Says where the app listens, and closes it on Ctrl-C. */
export async function start(app, { HOST, PORT }, name) {
  console.log(`${name}: ${await app.listen({ host: HOST, port: PORT })} (open it in two tabs, with two names)`)
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())
}
