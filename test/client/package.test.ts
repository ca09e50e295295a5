import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { createContext, runInContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { publint } from 'publint'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Belfry as BelfryClass } from '../../packages/client/src/index.ts'
import { tokenOf } from './fake-platform.ts'
import { FakeServer } from './fake-server.ts'
import { until } from './wait.ts'

/** What gzips differ by: some make the core 40 bytes more than Node's. */
const MARGIN_BYTES = 50
const PACKAGE = 'packages/client'
/** Tap hooks itself into every child through the environment, and the compiler does not stand that. */
const run = (script: string, ...args: string[]) => promisify(execFile)('env', ['-i', process.execPath, script, ...args])

/** A folder with the package installed in it, as npm would. */
const folder = t.testdir({})
const installed = join(folder, 'node_modules/@belfry/client')

t.before(async () => {
  await mkdir(installed, { recursive: true })
  await run(join(PACKAGE, 'scripts/build.mjs'), join(installed, 'dist'))
  await cp(join(PACKAGE, 'package.json'), join(installed, 'package.json'))
  for (const name of ['@types', 'ws', 'react']) await symlink(resolve('node_modules', name), join(folder, 'node_modules', name))
})

async function follows(t: Test, Belfry: typeof BelfryClass): Promise<void> {
  const server = await FakeServer.start(t)
  const belfry = new Belfry(server.url, { getToken: () => tokenOf('alice'), WebSocket })
  t.teardown(() => belfry.disconnect())
  const titles: string[] = []
  belfry.on('notification', ({ notification }) => void titles.push(notification.title))
  belfry.connect()
  await belfry.ready()
  server.publish(2)
  await until(() => titles.length === 2, 'two notifications')
  t.same(titles, ['number 1', 'number 2'])
}

t.test('the core is under 8.2 kB, the rest as small as the README says', async (t) => {
  const readme = await readFile(join(PACKAGE, 'README.md'), 'utf8')
  const promised = (what: RegExp): number => Number(what.exec(readme)?.[1]) * 1000
  const core = await readFile(join(installed, 'dist/belfry.global.js'))
  const sizes: Record<string, number> = { core: gzipSync(core, { level: 9 }).length }
  for (const entry of ['sse', 'inbox', 'bell', 'react']) {
    const { outputFiles } = await build({
      entryPoints: [join(installed, `dist/${entry}.js`)],
      bundle: true,
      minify: true,
      write: false,
      format: 'esm',
      external: ['react']
    })
    sizes[entry] = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length
  }
  t.comment('gzipped; core and inbox are in bell and react:', sizes)
  t.equal(promised(/no dependencies, under ([\d.]+) kB gzipped/), 8200)
  t.ok(Number(sizes.core) < 8200 - MARGIN_BYTES, `${sizes.core} bytes`)
  t.ok(Number(sizes.inbox) < promised(/of its own \(under ([\d.]+) kB gzipped\)/), `${sizes.inbox} bytes of inbox`)
  t.ok(Number(sizes.bell) < promised(/no framework, under ([\d.]+) kB gzipped/), `${sizes.bell} bytes of bell`)
})

t.test('what package.json points to is there, and nothing is needed beside it', async (t) => {
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  const files = await readdir(installed, { recursive: true })
  const targets = Object.values(manifest.exports as Record<string, string | Record<string, string>>).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry)
  )
  t.ok(targets.length >= 6)
  for (const target of [...targets, manifest.types, manifest.unpkg]) t.ok(files.includes(target.slice(2)), target)
  t.notOk(manifest.dependencies)
  const script = `${manifest.name}@${manifest.version}/dist/belfry.global.js" crossorigin`
  t.ok((await readFile(join(PACKAGE, 'README.md'), 'utf8')).includes(script), script)
  t.ok(manifest.files.includes('LICENSE'))
  t.equal(await readFile(join(PACKAGE, 'LICENSE'), 'utf8'), await readFile('LICENSE', 'utf8'))
  t.same(manifest.peerDependenciesMeta, { react: { optional: true } })
  for (const file of files.filter((name) => /\.(js|d\.ts)$/.test(name))) {
    const text = await readFile(join(installed, file), 'utf8')
    const needs = [...text.matchAll(/from ['"]([^.'"][^'"]*)['"]/g)].map(([, name]) => name)
    t.same(needs, /(^|\/)react\.(js|d\.ts)$/.test(file) ? ['react'] : [], `${file} imports only its own`)
    t.notMatch(text, /from ['"][^'"]*\.ts['"]/, `${file} names no source`)
  }
})

t.test('publint has nothing to say', async (t) => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
  t.same(messages, [])
})

t.test('the global build runs with the standard globals alone', async (t) => {
  const context = createContext({ setTimeout, clearTimeout, setInterval, clearInterval, performance, atob })
  runInContext(await readFile(join(installed, 'dist/belfry.global.js'), 'utf8'), context)
  await follows(t, context.Belfry)
})

t.test('the module runs on Node with ws', async (t) => {
  const { Belfry, BelfryError } = await import(pathToFileURL(join(installed, 'dist/index.js')).href)
  t.type(BelfryError, 'function')
  await follows(t, Belfry)
})

t.test('a consumer compiles against it', async (t) => {
  const source = `
import { Belfry, BelfryError, type BelfryEvents, type Notification, type State } from '@belfry/client'
import { Inbox, type InboxItem } from '@belfry/client/inbox'
/* IMPORTS */

const belfry = new Belfry('https://notify.example.com', { getToken: async ({ reason }) => reason /* OPTIONS */ })
const off: () => void = belfry.on('notification', async ({ notification, state, replay, leader }) => {
  const told: [Notification, State, boolean, boolean] = [notification, state, replay, leader]
  await belfry.mark(told[0].id, 'seen').catch((error: unknown) => error instanceof BelfryError && error.temporary)
})
const why = ({ code, reason, verdict }: BelfryEvents['terminal']): string => \`\${code} \${reason} \${verdict === 'stop'}\`
belfry.on('terminal', why)
const inbox = new Inbox(belfry)
const items: readonly InboxItem[] = inbox.list()
inbox.on('change', ({ unread }) => unread + items.length)
off()
belfry.on('transport', ({ transport }) => transport === 'sse' || transport === 'websocket')
// @ts-expect-error there is no such event
belfry.on('weather', () => {})
// @ts-expect-error there is no such state
belfry.mark('x', 'gone')
`
  const node = source
    .replace('/* IMPORTS */', "import { WebSocket } from 'ws'")
    .replace('/* OPTIONS */', ', WebSocket, storage: { getItem: () => null, setItem() {} }')
  const browser = source.replace('/* OPTIONS */', ', WebSocket, storage: localStorage, fetch')
  const views = `
import { type BellMessages, BelfryBell, englishMessages } from '@belfry/client/bell'
import { BelfryProvider, type Notifications, useNotifications, useUnreadCount } from '@belfry/client/react'
import { createElement } from 'react'

const element = document.createElement('belfry-bell')
const bell: BelfryBell = element
bell.getToken = async () => 'token'
const messages: Partial<BellMessages> = { title: englishMessages.title, badge: (unread) => String(unread) }
bell.messages = messages

function View() {
  const { items, mark }: Notifications = useNotifications()
  const unread: number = useUnreadCount()
  const all = items.map(({ id, state }) => createElement('li', { key: id, onClick: () => mark(id, 'archived') }, state))
  return createElement('ul', null, unread, ...all)
}
createElement(BelfryProvider, { url: 'https://notify.example.com', getToken: () => 'token' }, createElement(View))
// @ts-expect-error a service needs a token
createElement(BelfryProvider, { url: 'https://notify.example.com' })
`
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const base = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, skipLibCheck: false, exactOptionalPropertyTypes: true }
  for (const [name, text, options] of [
    ['plain', source, { lib: ['es2022'], types: [] }],
    ['node', node, { lib: ['es2022'], types: ['node'], skipLibCheck: true }],
    ['browser', browser, { lib: ['es2022', 'dom'], types: [] }],
    ['views', views, { lib: ['es2023', 'dom'], types: [], skipLibCheck: true }],
    ['views-bundler', views, { lib: ['es2023', 'dom'], types: [], skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler' }],
    ['bundler', browser, { lib: ['es2022', 'dom'], types: [], module: 'esnext', moduleResolution: 'bundler' }]
  ] as const) {
    await writeFile(join(folder, `${name}.ts`), text)
    await writeFile(join(folder, `${name}.json`), JSON.stringify({ compilerOptions: { ...base, ...options }, files: [`${name}.ts`] }))
    const output = await run('node_modules/typescript/bin/tsc', '-p', join(folder, `${name}.json`)).catch((error) => error)
    t.equal(output.stdout, '', name)
  }
})
