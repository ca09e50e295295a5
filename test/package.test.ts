import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import t from 'tap'

/** Runs a program without tap's environment: tap hooks itself into every child, and the compiler fails with that hook. */
const run = (program: string, args: string[], cwd = '.') =>
  promisify(execFile)('env', ['-i', `PATH=${process.env.PATH}`, `HOME=${process.env.HOME}`, program, ...args], { cwd })

/** Files of `build` that do not ship. */
const NOT_SHIPPED = /^(test|bench|packages)(\/|$)|\.map$|\.tsbuildinfo$/

interface Manifest {
  files: string[]
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
}

const app = `import belfry, { ConfigError, type Config, type PublishRequest, loadConfig } from 'belfry'
import Fastify, { type FastifyInstance } from 'fastify'

// Decorators of the app's own, whose names Belfry uses in its context.
declare module 'fastify' {
  interface FastifyInstance {
    config: { shop: string }
    store: Map<string, number>
  }
}

const config: Config = loadConfig({ DATA_DIR: process.argv[2], LOG_LEVEL: 'silent' })
const app: FastifyInstance = Fastify()
app.decorate('store', new Map([['one', 1]]))
await app.register(belfry, { config, prefix: '/belfry' })
// @ts-expect-error the configuration is required
void (() => app.register(belfry, {}))
// @ts-expect-error what Belfry decorates its own context with is not the app's
void (() => app.fanout)

app.post<{ Params: { user: string } }>('/orders/:user', async ({ params }) => {
  const order: PublishRequest = { to: params.user, type: 'order', title: 'Shipped', urgency: 'high' }
  // @ts-expect-error there is no such urgency
  order.urgency = 'at once'
  order.urgency = 'high'
  const { answer } = await app.publisher.publish(order, 'shop', undefined)
  const page = await app.inbox.list(params.user, { limit: 10 })
  return { id: answer.id, titles: page.items.map(({ title, state }) => title + ' ' + state), one: app.store.get('one') }
})
const answer = await app.inject({ method: 'POST', url: '/orders/alice' })
const mine = await app.inject({ url: '/belfry/v1/me/notifications', headers: { authorization: 'Bearer ' + app.signToken('alice') } })
const pages = await Promise.all(['docs', 'docs/guide/getting-started', 'client/index.js'].map((path) => app.inject('/belfry/' + path)))
try {
  loadConfig({ PORT: 'none' })
} catch (error) {
  if (error instanceof ConfigError) console.log(JSON.stringify({ problems: error.problems.length }))
}
console.log(JSON.stringify({ ...answer.json(), unread: mine.json().unread, pages: pages.map(({ statusCode }) => statusCode) }))
await app.close()
`

t.setTimeout(120_000)

t.test('the packed package: a TypeScript app compiles against it, and runs', async (t) => {
  const folder = t.testdir({})
  const [source, home] = [join(folder, 'source'), join(folder, 'app')]
  await cp('build', join(source, 'dist'), { recursive: true, filter: (path) => !NOT_SHIPPED.test(relative('build', path)) })
  await run(process.execPath, ['scripts/build-types.mjs', join(source, 'dist')])
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']) await cp(name, join(source, name))
  const { stdout: packed } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], source)
  const [{ filename, files }] = JSON.parse(packed)
  const names: string[] = files.map(({ path }: { path: string }) => path)
  t.same(names.filter((name) => !name.startsWith('dist/')).toSorted(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  for (const name of ['index.js', 'types/index.d.ts', 'cli.js', 'pages/api.css', 'client/index.js', 'docs/getting-started.md']) {
    t.ok(names.includes(`dist/${name}`), name)
  }
  const declarations = names.filter((name) => name.endsWith('.d.ts'))
  t.notOk(
    declarations.some((name) => /\/(plugins|routes)\//.test(name)),
    "Belfry's own context stays its own"
  )

  const installed = join(home, 'node_modules/belfry')
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', join(folder, filename), '-C', installed, '--strip-components=1'])
  const { dependencies, peerDependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as Manifest
  for (const name of [...Object.keys({ ...dependencies, ...peerDependencies }), '@types/node']) {
    await mkdir(dirname(join(home, 'node_modules', name)), { recursive: true })
    await symlink(resolve('node_modules', name), join(home, 'node_modules', name))
  }
  t.same((await publint({ pkgDir: installed, strict: true })).messages, [])

  await writeFile(join(home, 'package.json'), '{"type":"module"}')
  await writeFile(join(home, 'app.ts'), app)
  const compilerOptions = { module: 'nodenext', target: 'es2023', strict: true, exactOptionalPropertyTypes: true, types: ['node'] }
  await writeFile(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  const compiled = await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', home]).catch((error) => error)
  t.equal(compiled.stdout, '')
  const { stdout, stderr } = await run(process.execPath, ['app.js', join(home, 'data')], home)
  t.equal(stderr, '')
  const [problems, result] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.same(problems, { problems: 1 })
  t.match(result, { titles: ['Shipped unread'], one: 1, unread: 1, pages: [200, 200, 200] })
})
