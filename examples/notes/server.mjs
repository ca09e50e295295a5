// Notes that several people edit at once, with Belfry inside: npm run example:notes
import { appendFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import belfry, { loadConfig } from 'belfry'
import { build } from 'esbuild'
import Fastify from 'fastify'
import * as Y from 'yjs'
import { serveFiles, signIn, start } from '../shared/server.mjs'

/** Longest update that travels inside a notification, characters of base64: `data` may have 4,096 bytes. */
const INLINE_MAX = 3000

const config = loadConfig({ DATA_DIR: '.belfry/notes', PORT: '3001', LOG_LEVEL: 'warn', ...process.env })
const folder = join(config.DATA_DIR, 'documents')
const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL('page.js', import.meta.url))],
  bundle: true,
  format: 'esm',
  write: false,
  external: ['/belfry/*', '/shared/*']
})

const app = Fastify({ logger: { level: config.LOG_LEVEL } })
await app.register(belfry, { config, prefix: '/belfry' })
await app.register(signIn)
await mkdir(folder, { recursive: true })

/** The open notes, by name. The document is kept here; notifications only say that it changed. */
const notes = new Map()

/** Opens a note: its file has one update a line. */
async function open(name) {
  const file = join(folder, name)
  const note = { doc: new Y.Doc(), file, version: 0 }
  for (const line of (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean)) {
    Y.applyUpdate(note.doc, Buffer.from(line, 'base64'))
    note.version += 1
  }
  return note
}

function noteOf({ params }) {
  const { name } = params
  if (!notes.has(name)) notes.set(name, open(name))
  return notes.get(name)
}

const schema = { params: { type: 'object', properties: { name: { type: 'string', pattern: '^[a-z0-9-]{1,40}$' } } } }

await app.register(async (api) => {
  api.addHook('onRequest', app.authenticate)
  api.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  api.get('/notes', async () => [...new Set(['welcome', ...(await readdir(folder)), ...notes.keys()])].sort())

  // Returns what is missing in the caller's document. From now on they are told of changes.
  api.post('/notes/:name/sync', { schema }, async (request) => {
    const note = await noteOf(request)
    const topic = `note-${request.params.name}`
    await app.topics.add(topic, request.userName)
    const { items } = await app.presence.ofAll((await app.topics.members(topic, { limit: 100 })).items)
    const update = Y.encodeStateAsUpdate(note.doc, request.body)
    const people = items.filter(({ online }) => online).map(({ user }) => user)
    return { version: note.version, update: Buffer.from(update).toString('base64'), people }
  })

  // Takes an update. When this is answered, the update is in the file of the note.
  api.post('/notes/:name', { schema }, async (request) => {
    const { name } = request.params
    const note = await noteOf(request)
    Y.applyUpdate(note.doc, request.body)
    note.version += 1
    const { version } = note
    const update = request.body.toString('base64')
    await appendFile(note.file, `${update}\n`)
    await app.publisher.publish(
      {
        to: { topic: `note-${name}` },
        type: 'note.changed',
        title: `${request.userName} changed ${name}`,
        ref: `/?note=${name}`,
        // A device that was away gets one notification of each note, and no more than one waits when a note changes often.
        collapseKey: `note-${name}`,
        urgency: 'low',
        push: false,
        data: { name, version, ...(update.length > INLINE_MAX ? {} : { update }) }
      },
      'notes',
      undefined
    )
    return { version }
  })
})

serveFiles(app, import.meta.url, { '/': 'index.html', '/page.css': 'page.css' })
app.get('/page.js', async (_request, reply) => reply.type('text/javascript').send(outputFiles[0].text))
await start(app, config, 'Notes')
