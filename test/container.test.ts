import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { environmentSchema, natsSettingsOf, readConfig } from '../config.ts'
import { freePort } from './fixtures/redis.ts'
import { startService } from './helper.ts'

const KNOWN = Object.keys(environmentSchema.properties)

interface Service {
  build?: string
  image?: string
  command?: string[]
  environment?: Record<string, string>
  healthcheck?: { test: string[] }
  depends_on?: unknown
  ports?: string[]
  volumes?: string[]
  stop_grace_period?: string
}
interface Compose {
  services: Record<string, Service>
  networks: Record<string, { ipam: { config: { subnet: string }[] } }>
}

const compose = parse(await readFile('docker-compose.yml', 'utf8'), { merge: true }) as Compose
const dockerfile = (await readFile('Dockerfile', 'utf8')).replaceAll('\\\n', ' ').split('\n')
const haproxy = await readFile('deploy/haproxy.cfg', 'utf8')
const packageJson = JSON.parse(await readFile('package.json', 'utf8'))

/** Returns the arguments of each instruction of one kind, of all stages or of the last. */
function instructions(name: string, lines = dockerfile): string[] {
  return lines.flatMap((line) => (line.trim().startsWith(`${name} `) ? [line.trim().slice(name.length).trim()] : []))
}

const lastStage = dockerfile.slice(dockerfile.findLastIndex((line) => line.startsWith('FROM ')))
const env = Object.fromEntries(
  instructions('ENV', lastStage)
    .join(' ')
    .split(/\s+/)
    .map((pair) => pair.split('=') as [string, string])
)

const secondsOf = (period = '0s'): number => Number(/^(\d+)s$/.exec(period)?.[1])

t.test('Dockerfile: every copied path exists, and .dockerignore keeps it in the context', async (t) => {
  const ignored = (await readFile('.dockerignore', 'utf8')).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const sources = instructions('COPY').flatMap((line) => (line.startsWith('--from') ? [] : line.split(/\s+/).slice(0, -1)))
  t.ok(sources.includes('package-lock.json'))
  for (const source of sources) {
    t.ok(existsSync(source), source)
    t.notOk(ignored.includes(source), `${source} is not ignored`)
  }
  const built = instructions('COPY', lastStage).map((line) => line.split(/\s+/)[1] ?? '')
  for (const path of built) t.match(path, /^\/app\/(package\.json|packages|node_modules|dist)$/)
  for (const name of ['.git', '.belfry', '.env*', '**/node_modules', '**/dist']) t.ok(ignored.includes(name), `${name} stays out`)
})

t.test('Dockerfile: runs what npm start runs, as an unprivileged user, with variables that Belfry knows', (t) => {
  const command = JSON.parse(instructions('CMD', lastStage).at(-1) ?? '')
  t.same(command, ['node', 'dist/server.js'])
  t.equal(command.join(' '), packageJson.scripts.start)
  t.match(packageJson.scripts.build, /tsc -p tsconfig\.build\.json/)
  t.match(instructions('RUN')[1], /^npm run build && npm prune --omit=dev/)
  t.same(instructions('USER', lastStage), ['node'])
  for (const stage of instructions('FROM')) t.match(stage, /^node:24-bookworm-slim/)
  t.same(
    Object.keys(env).filter((name) => !KNOWN.includes(name)),
    ['NODE_ENV']
  )
  t.match(env, { HOST: '0.0.0.0', DATA_DIR: '/data', PORT: String(readConfig({}).PORT) })
  t.same(instructions('EXPOSE', lastStage), [env.PORT])
  t.same(instructions('VOLUME', lastStage), [env.DATA_DIR])
  t.match(instructions('RUN', lastStage)[0], `chown node:node ${env.DATA_DIR}`)
  t.end()
})

t.test('dist contains the service without tests and benchmarks', async (t) => {
  // tap loads its module loader into every child process through NODE_OPTIONS; the compiler does not start with it.
  const compiler = ['-u', 'NODE_OPTIONS', 'node_modules/.bin/tsc', '-p', 'tsconfig.build.json', '--listFilesOnly']
  const { stdout } = await promisify(execFile)('env', compiler)
  const compiled = stdout.split('\n').flatMap((path) => (path === '' || path.includes('node_modules') ? [] : [relative('.', path)]))
  t.ok(compiled.includes('server.ts'))
  // The CLI listens with the SDK, from packages/client.
  const shipped = ['cli', 'packages', 'plugins', 'routes', 'services']
  t.same(
    compiled.filter((path) => path.includes('/') && !shipped.includes(path.split('/')[0] ?? '')),
    []
  )
})

t.test('Dockerfile: the health check is the answer of /health/ready', async (t) => {
  const [, script = ''] = /CMD (\["node", "-e".*\])$/.exec(instructions('HEALTHCHECK', lastStage)[0] ?? '') ?? []
  const [file, ...args] = JSON.parse(script) as [string, ...string[]]
  const service = await startService(t)
  const { PATH = '' } = process.env
  const check = (port: string): Promise<number> =>
    promisify(execFile)(file, args, { env: { PATH, PORT: port } }).then(
      () => 0,
      ({ code }: { code: number }) => code
    )
  t.equal(await check(new URL(service.url).port), 0)
  const unready = await startService(t, { REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
  t.equal(await check(new URL(unready.url).port), 1, 'it lives, and its store is away')
  await service.close()
  t.equal(await check(new URL(service.url).port), 1)
})

t.test('deploy/docker-compose.nats.yml: every node has the bus, which is reached from inside alone', async (t) => {
  const { services } = parse(await readFile('deploy/docker-compose.nats.yml', 'utf8'), { merge: true }) as Compose
  const { node1, node2, nats, ...others } = services
  t.same(others, {})
  t.same(node1, node2)
  const { NATS_URL, NATS_TOKEN, ...rest } = node1?.environment ?? {}
  t.same(rest, {})
  const filled = { REDIS_URL: 'redis://redis', JWT_SECRET: 'x'.repeat(32), NATS_URL, NATS_TOKEN: 'token' }
  t.match(natsSettingsOf(readConfig(filled)), { servers: ['nats://nats:4222'], token: 'token' })
  t.equal(nats?.command?.join(' '), `--auth ${NATS_TOKEN}`)
  t.notOk(nats?.ports)
})

t.test('docker-compose.yml: two nodes, one durable Redis, one balancer', (t) => {
  const { node1, node2, redis, balancer, ...others } = compose.services
  t.same(others, {})
  t.same(node1, node2)
  t.equal(node1?.build, '.')
  const names = Object.keys(node1?.environment ?? {})
  t.same(
    names.filter((name) => !KNOWN.includes(name)),
    []
  )
  for (const name of ['JWT_SECRET', 'REDIS_URL']) t.match(node1?.environment?.[name], /\$\{[A-Z_]+:\?/, `${name} has no default`)
  t.match(node1?.environment?.REDIS_URL, /@redis:6379$/)
  t.equal(node1?.environment?.TRUST_PROXY, compose.networks.inside?.ipam.config[0]?.subnet)
  const grace = Number(node1?.environment?.CLOSE_GRACE_SECONDS)
  t.ok(secondsOf(node1?.stop_grace_period) > grace, `killed ${secondsOf(node1?.stop_grace_period)} s after SIGTERM, and done in ${grace} s`)
  t.equal(node1?.command, undefined, 'the command is the image’s')

  const flags = redis?.command?.join(' ') ?? ''
  for (const flag of ['--appendonly yes', '--appendfsync always', '--maxmemory-policy noeviction']) t.match(flags, flag)
  t.ok(redis?.volumes?.some((volume) => volume.endsWith(':/data')))

  const [published, inside] = (balancer?.ports?.[0] ?? '').split(':')
  t.equal(published, env.PORT)
  t.match(haproxy, `bind :${inside}\n`)
  for (const node of ['node1', 'node2']) t.match(haproxy, `server ${node} ${node}:${env.PORT}\n`)
  for (const service of ['node1', 'node2', 'redis']) {
    t.notOk(compose.services[service]?.ports, `${service} is reached through the balancer alone`)
  }
  const mounted = balancer?.volumes?.[0]?.split(':')[0] ?? ''
  t.ok(existsSync(mounted), mounted)
  t.match(haproxy, 'uri /health/ready')
  t.end()
})

t.test('the balancer accepts its configuration', async (t) => {
  const { stderr } = await promisify(execFile)('haproxy', ['-c', '-f', 'deploy/haproxy.cfg'])
  t.notMatch(stderr, /ALERT|error/i)
})
