import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { build } from 'esbuild'
import { publint } from 'publint'
import t from 'tap'
import { BatchService } from './batch-service.ts'

const LIMIT_BYTES = 5000
/** Largest difference between implementations of gzip. */
const MARGIN_BYTES = 50
const PACKAGE = 'packages/server'
/** Runs a program without tap's environment: tap hooks itself into every child, and the compiler fails with that hook. */
const run = (...command: string[]) => promisify(execFile)('env', ['-i', `PATH=${process.env.PATH}`, ...command])

/** A folder with the package installed in it, as npm would. */
const folder = t.testdir({})
const installed = join(folder, 'node_modules/@belfry/server')

t.before(async () => {
  await mkdir(installed, { recursive: true })
  await run(process.execPath, join(PACKAGE, 'scripts/build.mjs'), join(installed, 'dist'))
  for (const name of ['package.json', 'README.md', 'LICENSE']) await cp(join(PACKAGE, name), join(installed, name))
  await symlink(resolve('node_modules/@types'), join(folder, 'node_modules/@types'))
})

t.test('it is under 5 kB gzipped, as its README says', async (t) => {
  const { outputFiles } = await build({
    entryPoints: [join(installed, 'dist/index.js')],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm'
  })
  const size = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length
  t.ok(size < LIMIT_BYTES - MARGIN_BYTES, `${size} bytes`)
  t.match(await readFile(join(PACKAGE, 'README.md'), 'utf8'), /no dependencies, under 5 kB gzipped/)
})

t.test('it has no dependencies, imports nothing, and shows no path of the repository', async (t) => {
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies']) t.notOk(kind in manifest, kind)
  t.same(manifest.files, ['dist', 'LICENSE'])
  t.equal(await readFile(join(PACKAGE, 'LICENSE'), 'utf8'), await readFile('LICENSE', 'utf8'))
  const files = (await readdir(join(installed, 'dist'), { recursive: true })).filter((name) => /\.(js|map|d\.ts)$/.test(name))
  t.ok(files.includes('types/index.d.ts'))
  for (const file of files) {
    const text = await readFile(join(installed, 'dist', file), 'utf8')
    const shown = file.endsWith('.map') ? JSON.parse(text).sources.join('\n') : text
    t.notMatch(`${file}\n${shown}`, /services\/|packages\//, file)
    const code = shown.replace(/^ *(\/\*\*|\*|\/\/) .*$/gm, '')
    t.notMatch(code, /(from|import\(?) ?['"](?!\.)|['"]node:|\brequire\(|\bprocess\.|\bBuffer\b/, `${file} uses standard globals alone`)
    t.notMatch(code, /(from|import\() ?['"][^'"]*\.ts['"]|<reference/, `${file} names no source`)
  }
})

t.test('publint and arethetypeswrong report nothing', async (t) => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
  t.same(messages, [])
  const tarball = join(folder, 'package.tgz')
  await run('tar', '-czf', tarball, '-C', join(installed, '..'), '--transform', 's,^server,package,', 'server')
  const result = await checkPackage(createPackageFromTarballData(await readFile(tarball)))
  t.match(result.types, { kind: 'included' })
  const problems = 'problems' in result ? result.problems : []
  // The package is of ES modules only, which Node 20.19 and later can require(): the profile esm-only of the checker leaves this out, too.
  t.same(
    problems.filter(({ kind }) => kind !== 'CJSResolvesToESM'),
    []
  )
})

t.test('the module publishes with the standard globals alone', async (t) => {
  const service = await BatchService.start(t)
  const script = `
    const { Belfry } = await import(${JSON.stringify(pathToFileURL(join(installed, 'dist/index.js')).href)})
    const belfry = new Belfry(${JSON.stringify(service.url)}, { apiKey: 'k' })
    const calls = [1, 2, 3].map((n) => belfry.notify('alice', { type: 'test', title: String(n) }))
    await belfry.close()
    console.log((await Promise.all(calls)).map(({ status }) => status).join())`
  const { stdout } = await run(process.execPath, '--input-type=module', '-e', script)
  t.equal(stdout, 'accepted,accepted,accepted\n')
  t.same(service.sizes, [3])
})

t.test('a consumer compiles against the types', async (t) => {
  const source = `
import {
  Belfry, BelfryError, verifyWebhook, type Accepted, type Broadcast, type Durability, type Notification, type Published, type PublishedToAudience,
  type PublishedToList, type Rejected, type To, type UserPresence, type WebhookEvent
} from '@belfry/server'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const proven = <T extends true>(): T | undefined => undefined

const belfry = new Belfry('https://notify.example.com', { apiKey: 'key' /* OPTIONS */ })
new Belfry('https://notify.example.com', { getToken: async () => 'token', timeoutMs: 5000 })
interface Sync { files: number }
const sync: Sync = { files: 12 }
const note: Notification = { type: 'sync.done', title: 'Sync finished', ref: '/syncs/77', data: sync, urgency: 'low', push: false }

const one = await belfry.notify('alice', note, { idempotencyKey: 'sync-77' })
proven<Equal<typeof one, Published>>()
const durability: Durability = one.durability
if (one.status === 'parked') one.releaseAt.toFixed()
if (one.status === 'accepted') one.eventId?.length
// @ts-expect-error it is not parked
if (one.status === 'accepted') one.releaseAt
const list = await belfry.notify(['alice', 'bob'] as const, note)
proven<Equal<typeof list, PublishedToList>>()
proven<Equal<(typeof list.results)[number], Accepted | Rejected>>()
const audience = await belfry.notify({ topic: 'project-42', except: ['alice'] }, note)
proven<Equal<typeof audience, PublishedToAudience>>()
await belfry.notify({ everyone: true }, note)
const any = await belfry.notify('alice' as To, note)
proven<Equal<typeof any, Published | PublishedToList | PublishedToAudience>>()
const broadcast: Broadcast = await belfry.broadcasts.get(audience.broadcast.id)
await belfry.broadcasts.cancel(broadcast.id)
await belfry.recall('alice', one.id)
const { added } = await belfry.topics.add('project-42', ['alice'])
for await (const member of belfry.topics.members('project-42')) member.length + added
const topics: string[] = await belfry.topics.of('alice')
const [presence]: (UserPresence | undefined)[] = await belfry.presence(topics)
const { devices } = await belfry.presence('alice')
devices[0]?.connectedAt
await belfry.close().catch((error: unknown) => error instanceof BelfryError && [error.status, error.code, error.problem?.detail, presence, durability])
const event: WebhookEvent = await verifyWebhook({ 'webhook-id': ['x'] }, '{}', ['whsec_a', 'whsec_b'], { toleranceSeconds: 60 })
if (event.type === 'notification.fallback') event.data.notification.title.length
if (event.type === 'user.online') event.data.at.toFixed()

// @ts-expect-error a service needs a key or a token
new Belfry('https://notify.example.com', {})
// @ts-expect-error not both
new Belfry('https://notify.example.com', { apiKey: 'key', getToken: () => 'token' })
// @ts-expect-error a title is needed
await belfry.notify('alice', { type: 'x' })
// @ts-expect-error there is no such field
await belfry.notify('alice', { ...note, date: {} })
// @ts-expect-error there is no such urgency
await belfry.notify('alice', { ...note, urgency: 'soon' })
// @ts-expect-error an audience is a topic or everyone
await belfry.notify({ everyone: false }, note)
`
  const standard = `${source.replace('/* OPTIONS */', ', fetch')}
await belfry.notify('alice', note, { signal: AbortSignal.timeout(1000) })
await belfry.verifyWebhook(new Headers(), new Uint8Array(), 'whsec_a')
`
  const node = `${standard}
import type { IncomingMessage } from 'node:http'
declare const request: IncomingMessage
await verifyWebhook(request.headers, Buffer.from(''), 'whsec_a')
`
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const base = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, skipLibCheck: false, exactOptionalPropertyTypes: true }
  for (const [name, text, options] of [
    ['plain', source, { lib: ['es2022'], types: [] }],
    ['node', node, { lib: ['es2022'], types: ['node'], skipLibCheck: true }],
    ['dom', standard, { lib: ['es2022', 'dom', 'dom.iterable'], types: [] }],
    ['bundler', standard, { lib: ['es2022', 'dom'], types: [], module: 'esnext', moduleResolution: 'bundler' }]
  ] as const) {
    await writeFile(join(folder, `${name}.ts`), text)
    await writeFile(join(folder, `${name}.json`), JSON.stringify({ compilerOptions: { ...base, ...options }, files: [`${name}.ts`] }))
    const output = await run(process.execPath, 'node_modules/typescript/bin/tsc', '-p', join(folder, `${name}.json`)).catch(
      (error) => error
    )
    t.equal(output.stdout, '', name)
  }
})
