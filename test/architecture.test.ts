import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import t from 'tap'
import { commentsOf, faultsOfProse } from './fixtures/comments.ts'

const MAX_LINES = 400

/** Decorators that differ from the name of their file, because Fastify or one of its plugins uses that name. */
const OTHER_DECORATORS: Record<string, string> = { 'error-handler': 'problemOf', 'rate-limit': 'limits' }

interface Import {
  from: string
  /** Path of a file, relative to the root of the repository, or the name of a package. */
  to: string
  typeOnly: boolean
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return ['node_modules', 'dist', 'build'].includes(entry.name) ? [] : filesIn(path)
    return [path]
  })
}

function sourcesIn(folder: string): string[] {
  return filesIn(folder).filter((path) => /\.(ts|mjs)$/.test(path) && !path.endsWith('.d.ts'))
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8')
  const statements = [...text.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:([^'"`;()=]*?)\s*\bfrom\s+)?'([^']+)'/gm)]
  const dynamic = [...text.matchAll(/\bimport\('([^']+)'\)/g)]
  const to = (specifier: string): string => (specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : packageOf(specifier))
  return [
    ...statements.map(([, type, names = '', specifier = '']) => ({
      from: file,
      to: to(specifier),
      typeOnly: type !== undefined || onlyTypes(names)
    })),
    ...dynamic.map(([, specifier = '']) => ({ from: file, to: to(specifier), typeOnly: false }))
  ]
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function onlyTypes(names: string): boolean {
  const inner = /^\{([\s\S]*)\}$/.exec(names.trim())?.[1]
  return inner?.split(',').every((name) => name.trim() === '' || name.trim().startsWith('type ')) ?? false
}

const root = readdirSync('.').filter((name) => name.endsWith('.ts'))
const folders = ['cli', 'plugins', 'routes', 'services', 'packages'].filter((name) => readdirSync('.').includes(name))
const sources = [...root, ...folders.flatMap(sourcesIn)]
const imports = sources.flatMap(importsOf)

/** Returns the imports that break a rule, as readable lines. */
function breaking(rule: (edge: Import) => boolean): string[] {
  return imports.filter(rule).map(({ from, to }) => `${from} -> ${to}`)
}

const inside = (path: string, ...places: string[]): boolean => places.some((place) => path === place || path.startsWith(`${place}/`))
const isFile = (path: string): boolean => path.endsWith('.ts')

t.test('imports are found in the sources', async (t) => {
  t.ok(imports.length > 200)
  t.ok(imports.some(({ from, to }) => from === 'app.ts' && to === 'plugins/store.ts'))
  t.ok(
    imports.some(
      ({ from, to, typeOnly }) => from === 'services/connection/accept.ts' && to === 'services/connection/admission.ts' && typeOnly
    )
  )
  t.ok(imports.some(({ to, typeOnly }) => to === 'ioredis' && !typeOnly))
  t.same(
    imports.filter(({ to }) => to.startsWith('.')),
    []
  )
})

t.test('imports point down: server, app, plugins and routes, services, store', async (t) => {
  const isEntry = (path: string): boolean => ['server.ts', 'index.ts', 'cli.ts'].includes(path)
  t.same(
    breaking(({ to }) => isEntry(to)),
    [],
    'nothing imports an entry point'
  )
  t.same(
    breaking(({ from, to }) => to === 'app.ts' && !['server.ts', 'index.ts'].includes(from)),
    [],
    'only the server, and the entry of the package, import the app'
  )
  t.same(
    breaking(({ from, to }) => inside(to, 'plugins') && from !== 'app.ts'),
    [],
    'only the app imports plugins; they never import each other'
  )
  t.same(
    breaking(({ from, to }) => inside(to, 'routes') && !inside(from, 'routes') && !['app.ts', 'server.ts', 'index.ts'].includes(from)),
    [],
    'only the app, the server for /metrics, and the entry of the package for a schema, import routes'
  )
  t.same(
    breaking(({ from, to }) => inside(from, 'services') && isFile(to) && !inside(to, 'services')),
    [],
    'services know nothing above them'
  )
  const files = ['errors', 'ids', 'make-folder', 'users'].map((name) => `services/${name}.ts`)
  const below = ['services/store', 'services/bus', 'services/protocol', ...files]
  t.same(
    breaking(({ from, to }) => inside(from, 'services/store') && isFile(to) && !inside(to, ...below)),
    [],
    'the store knows the bus, and no other service'
  )
  const drivers = ['services/store/redis', 'services/store/embedded']
  t.same(
    breaking(({ from, to }) => inside(to, ...drivers) && !drivers.some((driver) => inside(from, driver) && inside(to, driver))),
    [
      'cli/doctor.ts -> services/store/embedded/doctor.ts',
      'plugins/redis.ts -> services/store/redis/shared-client.ts',
      'plugins/store.ts -> services/store/embedded/embedded-store.ts',
      'plugins/store.ts -> services/store/redis/redis-store.ts'
    ],
    'a driver is named in one place'
  )
})

t.test('packages are imported only where the design names them', async (t) => {
  const only = (name: string, ...places: string[]): string[] => breaking(({ from, to }) => to === name && !inside(from, ...places))
  t.same(
    breaking(({ from, to }) => inside(from, 'services') && (to === 'fastify' || (to.startsWith('@fastify/') && to !== '@fastify/error'))),
    [],
    'services never import Fastify'
  )
  t.same(only('@fastify/error', 'services/errors.ts'), [])
  t.same(only('ioredis', 'services/store/redis', 'services/bus/redis-bus.ts'), [])
  t.same(only('@nats-io/transport-node', 'services/bus/nats-link.ts', 'services/bus/nats-access.ts'), [])
  t.same(
    breaking(({ from, to }) => inside(from, 'services/bus') && !inside(to, 'services/bus') && !to.startsWith('node:')),
    [
      'services/bus/nats-access.ts -> @nats-io/transport-node',
      'services/bus/nats-link.ts -> @nats-io/transport-node',
      'services/bus/redis-bus.ts -> ioredis'
    ],
    'the bus knows no other service'
  )
  t.same(only('classic-level', 'services/store/embedded'), [])
  t.same(only('undici', 'services/reach/http-sender.ts', 'services/reach/kept-connection.ts'), [], 'one place sends calls')
  t.same(only('web-push', 'services/reach/push-request.ts'), [])
  t.same(
    breaking(({ from, to }) => inside(from, 'services/protocol') && !inside(to, 'services/protocol')),
    [],
    'the protocol imports nothing'
  )
  t.same(
    breaking(({ from, to }) => inside(from, 'packages/client/src') && !inside(to, 'packages/client/src', 'services/protocol')),
    ['packages/client/src/react.ts -> react'],
    'the client imports the protocol alone; its hooks, React'
  )
  t.same(
    breaking(
      ({ from, to, typeOnly }) =>
        inside(from, 'packages/server/src') && !inside(to, 'packages/server/src') && !(typeOnly && inside(to, 'services/protocol'))
    ),
    [],
    'the package for services imports types of the protocol alone'
  )
  const readers = sources.filter((file) => !inside(file, 'packages') && readFileSync(file, 'utf8').includes('process.env'))
  t.same(readers, ['config.ts'], 'only config.ts reads the environment')
})

/** Shelves of `services/`, and the shelves below each. Files directly in `services/` may be imported by all of them. */
const SHELVES_BELOW: Record<string, string[]> = {
  delivery: ['connection', 'store', 'protocol', 'auth', 'node'],
  reach: ['connection', 'store', 'protocol', 'auth', 'node'],
  audience: ['connection', 'store', 'protocol', 'auth', 'node'],
  connection: ['store', 'protocol', 'auth', 'node'],
  store: ['bus', 'protocol'],
  bus: [],
  node: ['auth', 'protocol'],
  auth: ['protocol'],
  protocol: []
}

function shelfOf(path: string): string | undefined {
  return /^services\/([^/]+)\//.exec(path)?.[1]
}

t.test('inside services every import points to the same shelf or to one below it', async (t) => {
  t.same(
    breaking(({ from, to }) => {
      const [shelf, target] = [shelfOf(from), shelfOf(to)]
      if (target === undefined || !inside(from, 'services')) return false
      return shelf === undefined ? target !== 'protocol' : shelf !== target && !SHELVES_BELOW[shelf]?.includes(target)
    }),
    []
  )
  t.same(
    readdirSync('services', { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && SHELVES_BELOW[entry.name] === undefined)
      .map(({ name }) => name),
    [],
    'every shelf has a place in the order'
  )
})

t.test('no circle of imports, also not of types', async (t) => {
  const graph = new Map<string, string[]>()
  for (const { from, to } of imports) if (isFile(to)) graph.set(from, [...(graph.get(from) ?? []), to])
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    if (path.includes(file) || done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  t.same(circles, [])
})

t.test('a plugin and its decorator have the name of their file', async (t) => {
  for (const file of sourcesIn('plugins')) {
    const text = readFileSync(file, 'utf8')
    const name = basename(file, '.ts')
    t.match(text, new RegExp(`\\{ name: '${name}', fastify: '5\\.x'`), `${file}: fp name`)
    const decorators = [...text.matchAll(/\bapp\.decorate\('(\w+)'/g)].map(([, decorator]) => decorator)
    const expected = OTHER_DECORATORS[name] ?? name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
    if (decorators.length > 0) t.ok(decorators.includes(expected), `${file}: decorator ${expected}`)
    for (const decorator of decorators) t.match(text, new RegExp(`^    ${decorator}: `, 'm'), `${file}: ${decorator} is declared`)
  }
})

t.test('comments are in plain English', async (t) => {
  const written = [...root, ...['services', 'plugins', 'routes', 'packages', 'cli', 'bench', 'test', 'scripts', 'deploy'].flatMap(filesIn)]
    .filter((path) => /\.(ts|tsx|mjs|js|lua)$/.test(path) && !path.endsWith('.d.ts'))
    .flatMap(commentsOf)
  t.ok(written.length > 1000)
  const docstring = (text: string): string[] => faultsOfProse({ text, isDocstring: true })
  t.same(docstring('Where the keys of a user are.').length, 1)
  t.same(docstring('Retries meanwhile.').length, 1)
  t.same(docstring('Retries until the store is away.').length, 0, 'the word of the design for a store that cannot be reached')
  t.same(docstring('Retries while the client is away.').length, 1)
  t.same(
    written.flatMap((comment) => faultsOfProse(comment).map((fault) => `${comment.place}: ${fault}: ${comment.text}`)),
    []
  )
})

t.test('files are small and named alike', async (t) => {
  for (const file of sources) {
    const lines = readFileSync(file, 'utf8').split('\n').length
    if (lines > MAX_LINES) t.fail(`${file} has ${lines} lines, ${MAX_LINES} is the most`)
  }
  for (const file of [...sources, ...sourcesIn('test'), ...sourcesIn('scripts')]) {
    if (!/^[a-z0-9-]+(\.test|\.config)?\.(ts|mjs)$/.test(basename(file))) t.fail(`${file} is not kebab-case`)
  }
  t.same(
    readdirSync('services/store/redis/lua').filter(
      (name) => !/^-- \S/m.test(head(name)) || (!name.startsWith('prelude') && !/^-- Returns /m.test(head(name)))
    ),
    [],
    'every Lua script says what it does and returns'
  )
})

function head(script: string): string {
  return readFileSync(join('services/store/redis/lua', script), 'utf8').split('\n').slice(0, 20).join('\n')
}
