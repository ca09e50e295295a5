import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import { helpText } from '../cli/help.ts'
import { environmentSchema } from '../config.ts'
import { clientFrames, serverFrames } from '../routes/schemas/frames.ts'
import { errors } from '../services/errors.ts'
import { closeCodes } from '../services/protocol/index.ts'
import { until } from './fixtures/wait.ts'
import { call, serviceToken, startService, userToken } from './helper.ts'

const read = (file: string): string => readFileSync(file, 'utf8')

/** Returns the cells of the table rows of a page whose first cell matches. */
function rows(file: string, first: RegExp): string[][] {
  return read(file)
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
    .filter(([cell = '']) => first.test(cell))
}

const bare = (cell = ''): string => cell.replace(/^`|`$/g, '')

function pagesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return pagesIn(join(folder, entry.name))
    return entry.name.endsWith('.md') ? [join(folder, entry.name)] : []
  })
}

const pages = [...readdirSync('.').filter((name) => name.endsWith('.md')), ...['docs', 'plugins', 'routes'].flatMap(pagesIn)]

interface Variable {
  type?: string
  minimum?: number
  maximum?: number
  default?: unknown
  description?: string
}

const schemas = environmentSchema.properties as unknown as Record<string, Variable>
const variables = Object.entries(schemas).map(([name, { default: value = '', description }]) => ({
  name,
  value: String(value),
  description
}))

t.test('.env.example lists the variables with default and description, in order', async (t) => {
  const listed = [...read('.env.example').matchAll(/^# (.+)\n([A-Z_]+)=(.*)$/gm)].map(([, description, name, value]) => ({
    name,
    value,
    description
  }))
  t.same(listed, variables)
  t.equal(read('.env.example').match(/^[^#\n].*$/gm)?.length, variables.length)
})

t.test('configuration.md lists the variables with default, range and description, in order', async (t) => {
  const listed = rows('docs/reference/configuration.md', /^`[A-Z_]+`$/)
  t.same(
    listed.map(([name, value, , description]) => ({ name: bare(name), value: bare(value), description })),
    variables
  )
  for (const [name = '', , values] of listed) {
    const { type, minimum, maximum } = schemas[bare(name)] ?? {}
    if (type === 'integer') t.equal(values, `${minimum} to ${maximum}`, name)
  }
})

t.test('errors.md lists the errors, with their status', async (t) => {
  const listed = rows('docs/reference/errors.md', /^`BELFRY_ERR_/).map(([code, status]) => [bare(code), Number(status)])
  t.same(
    listed,
    Object.values(errors).map((Failure) => {
      const { code, statusCode } = new Failure()
      return [code, statusCode]
    })
  )
})

t.test('protocol.md lists the close codes and every field of every frame', async (t) => {
  const file = 'docs/reference/protocol.md'
  t.same(
    rows(file, /^4\d{3}$/).map(([code, reason]) => [Number(code), bare(reason)]),
    Object.values(closeCodes).map(({ code, reason }) => [code, reason])
  )
  const sections = new Map(
    read(file)
      .split(/^### /m)
      .slice(1)
      .map((section) => [bare(section.split('\n', 1)[0]), section])
  )
  const frames = { ...serverFrames, ...clientFrames }
  t.same([...sections.keys()].sort(), Object.keys(frames).sort())
  for (const [name, schema] of Object.entries(frames)) {
    for (const field of Object.keys(schema.properties).filter((key) => key !== 'type')) {
      t.match(sections.get(name), new RegExp(`\`${field}\\b`), `${name}.${field}`)
    }
  }
})

t.test('metrics.md lists the metrics, http.md the routes', async (t) => {
  const routes: string[] = []
  const prepare = (fastify: FastifyInstance): void => {
    fastify.addHook('onRoute', ({ method, url }) => {
      if (method !== 'HEAD' && !url.startsWith('/docs')) routes.push(`${method} ${url.replace(/:(\w+)/g, '{$1}')}`)
    })
  }
  const service = await startService(t, {}, { prepare })
  const listed = rows('docs/reference/metrics.md', /^`belfry_/)
  t.same(
    listed.map(([name]) => bare(name)),
    service.app.metrics.names()
  )
  const { body } = await call(service, 'GET', '/metrics', undefined, { token: '' })
  for (const [name = '', type, , help] of listed) {
    t.match(body, `# HELP ${bare(name)} ${help}\n# TYPE ${bare(name)} ${type}\n`, name)
  }
  t.same(
    rows('docs/reference/http.md', /^`[A-Z]+ \//)
      .map(([route]) => bare(route))
      .sort(),
    routes.sort()
  )
})

t.test('cli.md has the help of every command', async (t) => {
  const blocks = [...read('docs/reference/cli.md').matchAll(/```text\n([\s\S]*?)```/g)].map(([, text]) => text)
  t.same(
    blocks,
    ['', 'token', 'publish', 'listen', 'schedule', 'topic', 'broadcast', 'doctor', 'vapid', 'webhook'].map((topic) => helpText(topic))
  )
})

t.test('the client in consuming.md works as it stands', async (t) => {
  const service = await startService(t)
  const [plain = '', acking = ''] = [...read('docs/guides/consuming.md').matchAll(/```js\n([\s\S]*?)```/g)].map(([, code = '']) => code)
  const publish = (title: string) => call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title })
  const given = { url: service.socketUrl, token: userToken('alice'), localStorage: { deviceId: 'laptop' }, WebSocket }
  const shown: string[] = []
  const show = ({ title }: { title: string }): number => shown.push(title)

  await publish('Pending')
  const stopped = new Promise((resolve) => {
    const names = { ...given, show, signInAgain: resolve }
    new Function(...Object.keys(names), `${acking}\nconnect()`)(...Object.values(names))
  })
  await until(() => shown.length === 1)
  await publish('Live')
  await until(async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices[0]?.lag === 0)
  t.same(shown, ['Pending', 'Live'])
  await call(service, 'DELETE', '/v1/users/alice/connections')
  t.equal(await stopped, 4003)

  const socket = new Function(
    ...Object.keys({ ...given, show }),
    `${plain.replace('wss://notify.example.com', service.socketUrl)}\nreturn socket`
  )(...Object.values({ ...given, show }))
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  await publish('Plain')
  await until(() => shown.at(-1) === 'Plain')
})

t.test('the commands of notifications.md work as they stand', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const blocks = [...read('docs/guides/notifications.md').matchAll(/```sh\n([\s\S]*?)```/g)].map(([, code = '']) => code)
  t.ok(blocks.length >= 10)
  const { PATH = '' } = process.env
  const env: Record<string, string> = { PATH, TOKEN: serviceToken(), USER_TOKEN: userToken('alice') }
  const run = async (block: string): Promise<string> => {
    const script = `curl() { command curl --silent --fail-with-body "$@"; }\n${block.replaceAll('http://localhost:3000', service.url)}`
    return (await promisify(execFile)('sh', ['-c', script], { env })).stdout
  }
  const question = blocks.find((block) => block.includes('"actions"')) ?? ''
  for (const block of blocks) {
    const answer = await run(block).catch(({ message, stdout }) => t.fail(`${message} ${stdout}`))
    if (block === question) env.ID = JSON.parse(answer as string).id
    if (block.includes('/actions/')) {
      // The link is that of another question: the first has its answer now.
      env.ID = JSON.parse(await run(question)).id
      env.LINK = JSON.parse(
        await run('curl http://localhost:3000/v1/users/alice/notifications/$ID -H "authorization: Bearer $TOKEN"')
      ).answerLink
    }
  }
  t.match((await call(service, 'GET', '/v1/users/alice/queue')).body, { head: '' }, 'the last command erases the user')
  t.match((await call(service, 'GET', '/metrics')).body, /^belfry_answered_total 2$/m)
})

t.test('the README of plugins and of routes lists every file', async (t) => {
  for (const folder of ['plugins', 'routes']) {
    const files = readdirSync(folder).filter((name) => name.endsWith('.ts'))
    const names = rows(`${folder}/README.md`, /^`[a-z-]+(\.ts)?`$/).map(([name]) => `${bare(name).replace(/\.ts$/, '')}.ts`)
    t.same(names.sort(), files.sort(), folder)
  }
  for (const [name, decorates, depends] of rows('plugins/README.md', /^`[a-z-]+`$/)) {
    const source = read(`plugins/${bare(name)}.ts`)
    const decorators = [...source.matchAll(/\bapp\.decorate\('(\w+)'/g)].map(([, decorator = '']) => decorator)
    t.same([...(decorates ?? '').matchAll(/`(\w+)`/g)].map(([, decorator]) => decorator).sort(), decorators.sort(), `${name} decorates`)
    const dependencies = /dependencies: \[([^\]]*)\]/.exec(source)?.[1] ?? ''
    t.same(
      (depends ?? '').split(', ').filter(Boolean).sort(),
      dependencies.replaceAll("'", '').split(', ').filter(Boolean).sort(),
      `${name} depends on`
    )
  }
})

t.test('links resolve, and commands exist', async (t) => {
  const scripts = Object.keys(JSON.parse(read('package.json')).scripts)
  let links = 0
  for (const page of pages) {
    const text = read(page)
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      links += 1
      const [file = '', anchor] = target.split('#')
      const path = file === '' ? page : join(dirname(page), file)
      t.ok(existsSync(path), `${page} links to ${target}`)
      if (anchor !== undefined) t.ok(anchors(read(path)).includes(anchor), `${page} links to the heading ${target}`)
    }
    for (const [, command = ''] of text.matchAll(/\bnpm (?:run (?:-s )?)?(start|test|(?<=run (?:-s )?)[a-z:]+)\b/g)) {
      t.ok(scripts.includes(command), `${page}: npm run ${command}`)
    }
    for (const [, script = ''] of text.matchAll(/\bnode (scripts\/[a-z-]+\.mjs)/g)) t.ok(existsSync(script), `${page}: ${script}`)
  }
  t.ok(links > 40)
  t.match(read('README.md'), 'npm ci && npm test\nnpm run lint\nnpm run typecheck\n')
})

t.test('the style of the pages', async (t) => {
  for (const page of pages) {
    const prose = read(page)
      .replace(/```[\s\S]*?```/g, '')
      .replace(/`[^`]*`/g, '')
    t.notMatch(prose, /\b(just|easy|easily|simply)\b/i, `${page}: nothing is easy for everybody`)
    if (page.startsWith('docs/reference')) {
      t.notMatch(prose, /\b(you|your)\b/i, `${page}: reference does not speak to the reader`)
      t.notMatch(prose, /\b\w+(n't|'re|'ve|'ll)\b/i, `${page}: no contractions`)
    }
    t.notMatch(prose, /\.\.\/shared|\/work\//, `${page}: refers to nothing outside`)
  }
})

function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-')
  )
}
