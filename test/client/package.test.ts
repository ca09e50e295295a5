import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { createContext, runInContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { publint } from 'publint'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Belfry as BelfryClass } from '../../packages/client/src/index.ts'
import { until } from '../fixtures/wait.ts'
import { tokenOf } from './fake-platform.ts'
import { FakeServer } from './fake-server.ts'

/** Largest difference between implementations of gzip: some make the core 40 bytes larger than Node's. */
const MARGIN_BYTES = 50
const PACKAGE = 'packages/client'
/** Runs a script without tap's environment: tap hooks itself into every child, and the compiler fails with that hook. */
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

/** Returns the gzipped sizes of an entry of the package, as a bundler splits it: what a page loads at once, and by name what it loads later. */
async function splitSizes(entry: string): Promise<{ atOnce: number; later: Record<string, number> }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(installed, `dist/${entry}.js`)],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    splitting: true,
    chunkNames: '[name]-[hash]',
    outdir: folder,
    metafile: true
  })
  const bytes = new Map(outputFiles.map(({ path, contents }) => [basename(path), gzipSync(contents, { level: 9 }).length]))
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output]))
  const imports = (file: string, kind: string): string[] =>
    (outputs.get(file)?.imports ?? []).filter((found) => found.kind === kind).map(({ path }) => basename(path))
  const withImports = (file: string, files = new Set<string>()): Set<string> => {
    if (!files.has(file)) for (const next of imports(file, 'import-statement')) withImports(next, files.add(file))
    return files.add(file)
  }
  const sizeOf = (files: string[]): number => files.reduce((sum, file) => sum + (bytes.get(file) ?? Number.NaN), 0)
  const atOnce = withImports(`${entry}.js`)
  const onDemand = [...atOnce].flatMap((file) => imports(file, 'dynamic-import'))
  const later = onDemand.map((file) => [file.split('-')[0], sizeOf([...withImports(file)].filter((each) => !atOnce.has(each)))])
  return { atOnce: sizeOf([...atOnce]), later: Object.fromEntries(later) }
}

t.test('the files are as small as the README says', async (t) => {
  const readme = await readFile(join(PACKAGE, 'README.md'), 'utf8')
  const promised = (row: string): number => Number(new RegExp(`^\\| ${row}.*\\| ([\\d.]+) kB \\|`, 'm').exec(readme)?.[1]) * 1000
  /** Returns the gzipped size of entries in one file. Their modules on demand and React are not in it. */
  const sizeOf = async (...entries: string[]): Promise<number> => {
    const { outputFiles } = await build({
      stdin: { contents: entries.map((entry) => `export * from './dist/${entry}.js'`).join('\n'), resolveDir: installed },
      bundle: true,
      minify: true,
      write: false,
      format: 'esm',
      external: ['react', '*/sse.js', '*/push.js']
    })
    return gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length
  }
  const client = await sizeOf('index')
  const inbox = (await sizeOf('index', 'inbox')) - client
  const split = await splitSizes('index')
  t.match(readme, /adds up to 0\.35 kB/)
  t.ok(split.atOnce < client + 350 - MARGIN_BYTES, `the client in files: ${split.atOnce} bytes`)
  const bell = await splitSizes('bell')
  t.same(Object.keys(bell.later).sort(), ['push', 'sse', 'view'])
  t.comment('gzipped', { client, split, inbox, alone: await sizeOf('inbox'), react: await sizeOf('react'), bell })
  for (const [row, size, limit] of [
    ['the client', client, 9500],
    ['event streams', bell.later.sse, 1600],
    ['Web Push', bell.later.push, 2600],
    ['`inbox`', inbox, 2950],
    ['`bell`', bell.atOnce, 19_100],
    ['the panel', bell.later.view, 11_700],
    ['`sw`', await sizeOf('sw'), 2000]
  ] as const) {
    t.equal(promised(row), limit, row)
    t.ok(Number(size) < limit - MARGIN_BYTES, `${row}: ${size} bytes`)
  }
})

t.test('the build shortens no property that apps, tabs of another build or browsers know', async (t) => {
  const list = /const INTERNAL = \[(.*?)\n\]/s.exec(await readFile(join(PACKAGE, 'scripts/build.mjs'), 'utf8'))?.[1] ?? ''
  const names = [...list.matchAll(/'(\w+)'/g)].map(([, name]) => String(name))
  t.ok(names.length > 30)
  const messages = /export type TabMessage =.*?\n\n/s.exec(await readFile(join(PACKAGE, 'src/tabs.ts'), 'utf8'))?.[0] ?? ''
  const known = [messages, await readFile('services/protocol/frames.ts', 'utf8')]
  for (const file of await readdir(join(PACKAGE, 'src'), { recursive: true })) {
    if (/^(bell.|inbox|feed|react|rest|errors|index|types)/.test(file) && file.endsWith('.ts'))
      known.push(await readFile(join(PACKAGE, 'src', file), 'utf8'))
  }
  const client = await readFile(join(PACKAGE, 'src/client.ts'), 'utf8')
  known.push(...[...client.matchAll(/^ {2}(?:async |get |readonly )?(\w+)[(<:]/gm)].map(([, name]) => `.${name}`))
  for (const name of names) {
    t.notMatch(known.join('\n'), new RegExp(`(\\.|^ *)${name}\\b|\\b${name}\\??:`, 'm'), name)
    for (const type of [Promise, Map, Set, Array, String, Object, Number, URL]) t.notOk(name in type || name in type.prototype, name)
  }
})

t.test('the files that package.json names exist, and the package needs no other', async (t) => {
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  const files = await readdir(installed, { recursive: true })
  const targets = Object.values(manifest.exports as Record<string, string | Record<string, string>>).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry)
  )
  t.ok(targets.length >= 6)
  for (const target of [...targets, manifest.types]) t.ok(files.includes(target.slice(2)), target)
  t.notOk(manifest.dependencies)
  t.ok(manifest.files.includes('LICENSE'))
  t.equal(await readFile(join(PACKAGE, 'LICENSE'), 'utf8'), await readFile('LICENSE', 'utf8'))
  t.same(manifest.peerDependenciesMeta, { react: { optional: true } })
  for (const file of files.filter((name) => /\.(js|d\.ts)$/.test(name))) {
    const text = await readFile(join(installed, file), 'utf8')
    if (/^dist\/(complete\/|belfry\.global\.js$)/.test(file)) t.notMatch(text, /\bimport\b/, `${file} is complete`)
    const needs = [...text.matchAll(/from ['"]([^.'"][^'"]*)['"]/g)].map(([, name]) => name)
    t.same(needs, /(^|\/)react\.(js|d\.ts)$/.test(file) ? ['react'] : [], `${file} imports only its own`)
    t.notMatch(text, /(from|import\() ?['"][^'"]*\.ts['"]/, `${file} names no source`)
  }
  for (const file of files.filter((name) => /\.(js|map|d\.ts)$/.test(name))) {
    const text = await readFile(join(installed, file), 'utf8')
    const shown = file.endsWith('.map') ? JSON.parse(text).sources.join('\n') : text
    t.notMatch(`${file}\n${shown}`, /services\/|packages\//, `${file} has no path of the repository`)
  }
})

t.test('publint reports nothing', async (t) => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
  t.same(messages, [])
})

t.test('the global build runs with the standard globals alone', async (t) => {
  const context = createContext({ setTimeout, clearTimeout, setInterval, clearInterval, performance, atob })
  runInContext(await readFile(join(installed, 'dist/belfry.global.js'), 'utf8'), context)
  await follows(t, context.Belfry)
  for (const member of ['Inbox', 'BelfryBell', 'BelfryError']) t.type(context.Belfry[member], 'function', member)
})

t.test('the module runs on Node with ws', async (t) => {
  const { Belfry, BelfryError } = await import(pathToFileURL(join(installed, 'dist/index.js')).href)
  t.type(BelfryError, 'function')
  await follows(t, Belfry)
})

t.test('every entry can be imported on a server, and the React entry begins with its directive', async (t) => {
  for (const entry of ['index', 'inbox', 'bell', 'react', 'belfry.global', 'complete/index', 'complete/inbox', 'complete/bell']) {
    await t.resolves(import(pathToFileURL(join(installed, `dist/${entry}.js`)).href), entry)
  }
  t.match(await readFile(join(installed, 'dist/react.js'), 'utf8'), /^"use client";?\n/)
})

t.test('errors of one complete module are instances of the class of another', async (t) => {
  const load = (name: string) => import(pathToFileURL(join(installed, `dist/${name}.js`)).href)
  const [{ BelfryError: One }, { BelfryError: Other }] = await Promise.all([load('index'), load('complete/index')])
  t.not(One, Other)
  t.ok(new One('A', 'a') instanceof Other)
  t.notOk(new Error('a') instanceof Other)
})

t.test('a client and an inbox work behind a Proxy, as Vue wraps them', async (t) => {
  const { Belfry } = await import(pathToFileURL(join(installed, 'dist/index.js')).href)
  const { Inbox } = await import(pathToFileURL(join(installed, 'dist/inbox.js')).href)
  const wrapped = new Proxy(Belfry, { construct: (Class, args) => new Proxy(new Class(...args), {}) })
  await follows(t, wrapped)
  const belfry = new wrapped('https://notify.example.com', { getToken: () => tokenOf('alice'), WebSocket })
  t.same([belfry.state, belfry.user, belfry.unread, belfry.leader], ['disconnected', '', 0, true])
  const inbox = new Proxy(new Inbox(belfry), {})
  t.same([inbox.list(), inbox.unread, inbox.hasMore], [[], 0, true])
  inbox.on('change', () => {})()
  inbox.close()
  class Named extends (Belfry as typeof BelfryClass) {
    override disconnect(): void {
      this.called = true
      super.disconnect()
    }
    declare called?: boolean
  }
  const named = new Named('https://notify.example.com', { getToken: () => tokenOf('alice'), WebSocket })
  named.disconnect()
  t.equal(named.called, true, 'a subclass may override')
})

t.test('the guide has the hashes of the build, and no sample names a CDN or a package that is not installed first', async (t) => {
  await t.resolves(run('scripts/client-integrity.mjs', '--check'), 'npm run integrity')
  const pages = [
    'README.md',
    join(PACKAGE, 'README.md'),
    'docs/getting-started.md',
    'docs/guides/browser-sdk.md',
    'docs/guides/consuming.md',
    'docs/guides/publishing.md',
    'packages/server/README.md'
  ]
  const examples = (await readdir('examples', { recursive: true })).filter((name) => name.includes('.'))
  const samples = [...examples.map((name) => join('examples', name)), 'demo/index.html', 'demo/screen.html']
  const { version } = JSON.parse(await readFile(join(PACKAGE, 'package.json'), 'utf8'))
  for (const page of [...pages, ...samples]) {
    const text = await readFile(page, 'utf8')
    t.notMatch(text, /unpkg|jsdelivr|esm\.sh|skypack|cdnjs/, page)
    const named = /(?:from|import) '@belfry\/(\w+)/.exec(text)
    if (named) t.match(text.slice(0, named.index), `npm pack --workspace packages/${named[1]}`, `${page} says how to install the package`)
    for (const [, given] of text.matchAll(/\/client\/[\w.]+\.js\?v=([\w.-]+)/g)) t.equal(given, version, page)
  }
})

t.test('no API and no CSS is newer than the browsers that the README names', async (t) => {
  const browsers = /Chrome and Edge (\d+), Firefox (\d+), Safari ([\d.]+)/
  const [, chrome, firefox, safari] = browsers.exec(await readFile(join(PACKAGE, 'README.md'), 'utf8')) ?? []
  t.match(await readFile('docs/guides/browser-sdk.md', 'utf8'), `Chrome and Edge ${chrome}, Firefox ${firefox}, Safari ${safari}`)
  t.match(
    await readFile(join(PACKAGE, 'scripts/build.mjs'), 'utf8'),
    `TARGETS = ['chrome${chrome}', 'edge${chrome}', 'firefox${firefox}', 'safari${safari}']`
  )
  const newer = [
    /\.(toSorted|toReversed|toSpliced|isWellFormed|toWellFormed|symmetricDifference|isSubsetOf|isSupersetOf|isDisjointFrom)\(/,
    /\b(URL\.(canParse|parse)|Promise\.(withResolvers|try)|(Object|Map)\.groupBy|Array\.fromAsync|AbortSignal\.any|Iterator\.from)\b/,
    /\b(RegExp\.escape|Error\.isError|Math\.sumPrecise|Symbol\.(asyncD|d)ispose|ReadableStream\.from|Intl\.(Segmenter|DurationFormat))\b/,
    /\b(requestIdleCallback|startViewTransition|moveBefore|setHTMLUnsafe|parseHTMLUnsafe|CloseWatcher|togglePopover|checkVisibility|scheduler)\b/,
    /\.(showPopover|hidePopover)\(/,
    /:popover-open|@starting-style|@scope|@property|:has\(|:state\(|anchor\(|position-anchor|text-wrap|field-sizing|interpolate-size/,
    /transition-behavior|animation-timeline|contrast-color\(|(rgb|hsl|oklch)\(from/
  ]
  for (const file of ['belfry.global.js', 'complete/index.js', 'complete/inbox.js', 'complete/bell.js', 'react.js']) {
    const text = await readFile(join(installed, 'dist', file), 'utf8')
    for (const pattern of newer) t.equal(pattern.exec(text)?.[0], undefined, `${file}: ${pattern}`)
    // light-dark() is used only in browsers that have it.
    const [outside = '', inside = ''] = text.split(/@supports \(color: ?light-dark\([^)]*\)\) ?\{/)
    t.notOk(/light-dark\(/.test(outside), file)
    t.notOk(/light-dark\(/.test(inside.slice(inside.search(/\}\}/))), file)
  }
  for (const file of ['demo/demo.css', 'demo/screen.css']) t.notMatch(await readFile(file, 'utf8'), /light-dark\(/, file)
})

t.test('a consumer compiles against the types', async (t) => {
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
import { Inbox, type InboxItem } from '@belfry/client/inbox'
import { BelfryProvider, BelfryBell as Bell, type BelfryBellProps, BelfryInbox as InboxView, type Notifications, useNotifications, useUnreadCount } from '@belfry/client/react'
import { createElement, createRef } from 'react'

const element = document.createElement('belfry-bell')
const bell: BelfryBell = element
bell.getToken = async () => 'token'
const messages: Partial<BellMessages> = { title: englishMessages.title, badge: (unread) => String(unread) }
bell.messages = messages
bell.addEventListener('belfry-select', (event) => event.detail.title.length)
document.addEventListener('belfry-error', ({ detail }) => detail.code)
addEventListener('belfry-notification', ({ detail }) => detail.notification.id)
// @ts-expect-error a notification has no such field
bell.addEventListener('belfry-select', (event) => event.detail.nothing)

function View() {
  const { items, mark }: Notifications = useNotifications()
  const unread: number = useUnreadCount()
  const all = items.map(({ id, state }) => createElement('li', { key: id, onClick: () => mark(id, 'archived') }, state))
  return createElement('ul', null, unread, ...all)
}
createElement(BelfryProvider, { url: 'https://notify.example.com', getToken: () => 'token' }, createElement(View))
const Row = ({ item }: { item: InboxItem }) => createElement('b', null, item.title)
const props: BelfryBellProps = {
  badge: 'unseen',
  placement: 'start',
  tabs: [{ label: 'Syncs', types: ['sync.*'] }],
  renderItem: Row,
  messages,
  onNotification: (event) => event.detail.notification.title,
  onToast: (event) => event.detail.tag,
  onAction: ({ detail }) => detail.action.action + detail.item.id,
  onError: ({ detail }) => detail.code,
  onOpen: () => {}
}
createElement(Bell, { ...props, ref: createRef<BelfryBell>(), className: 'x', onSelect: (event) => event.preventDefault() })
createElement(InboxView, { url: 'https://notify.example.com', getToken: () => 'token', onSelect: (event) => event.detail.ref })
// @ts-expect-error an inbox does not open
createElement(InboxView, { onOpen: () => {} })
// @ts-expect-error there is no such badge
createElement(Bell, { badge: 'dot' })
// @ts-expect-error a row gets an item
createElement(Bell, { renderItem: ({ row }: { row: string }) => row })
const filtered = new Inbox(bell.client as never, { states: ['unread'], types: ['sync.*'] })
const undo: Promise<string[]> = filtered.mark({ upTo: 'x' }, 'archived', { only: 'read' })
undo.then((ids) => filtered.mark(ids, 'read'))
filtered.seen([])
const counts: (number | undefined)[] = [filtered.unread, filtered.unseen, filtered.count, bell.client?.unseen]
counts.pop()
// @ts-expect-error a service needs a token
createElement(BelfryProvider, { url: 'https://notify.example.com' })
`
  const plainPage = `
import '@belfry/client/global'

const belfry = new Belfry('https://notify.example.com', { getToken: () => 'token' })
const inbox = new Belfry.Inbox(belfry)
inbox.on('change', ({ unread }) => unread)
const bell = document.querySelector('belfry-bell')
if (bell) bell.client = belfry
`
  const jsx = `
import '@belfry/client/bell'
import type { BelfryBell } from '@belfry/client/bell'
import type { RefObject } from 'react'

declare const ref: RefObject<BelfryBell>
export const bell = (
  <belfry-bell ref={ref} key="bell" className="x" url="https://notify.example.com" token-url="/token" user="a" theme="dark" lang="de"
    onbelfry-select={(event) => event.detail.title} />
)
// @ts-expect-error there is no such theme
export const sepia = <belfry-bell theme="sepia" />
`
  // The types of React 19 have no global JSX namespace.
  const react19 = join(folder, 'react-19/node_modules/react')
  await mkdir(react19, { recursive: true })
  await writeFile(
    join(react19, 'package.json'),
    '{"name":"react","version":"19.0.0","types":"./index.d.ts","exports":{".":{"types":"./index.d.ts"},"./jsx-runtime":{"types":"./jsx-runtime.d.ts"}}}'
  )
  await writeFile(
    join(react19, 'index.d.ts'),
    `export = React
declare namespace React {
  interface RefObject<T> { current: T | null }
  interface Attributes { key?: string }
  interface HTMLAttributes<T> { className?: string; lang?: string; onClick?: (event: { target: T }) => void }
  type DetailedHTMLProps<E extends HTMLAttributes<T>, T> = E & Attributes & { ref?: RefObject<T> }
  namespace JSX { interface Element {} interface IntrinsicAttributes extends Attributes {} interface IntrinsicElements { div: {} } }
}`
  )
  await writeFile(
    join(react19, 'jsx-runtime.d.ts'),
    `import type { JSX as ReactJSX } from 'react'
export namespace JSX {
  type Element = ReactJSX.Element
  interface IntrinsicElements extends ReactJSX.IntrinsicElements {}
  interface IntrinsicAttributes extends ReactJSX.IntrinsicAttributes {}
}
export const jsx: unknown, jsxs: unknown`
  )
  await mkdir(join(folder, 'react-19/node_modules/@belfry'), { recursive: true })
  await cp(installed, join(folder, 'react-19/node_modules/@belfry/client'), { recursive: true })
  await mkdir(join(folder, 'no-react/node_modules/@belfry'), { recursive: true })
  await cp(installed, join(folder, 'no-react/node_modules/@belfry/client'), { recursive: true })
  for (const part of ['@types', '@belfry']) await mkdir(join(folder, 'react-19-views/node_modules', part), { recursive: true })
  await symlink(resolve('node_modules/types-react-19'), join(folder, 'react-19-views/node_modules/@types/react'))
  await cp(installed, join(folder, 'react-19-views/node_modules/@belfry/client'), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const base = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, skipLibCheck: false, exactOptionalPropertyTypes: true }
  for (const [name, text, options] of [
    ['plain', source, { lib: ['es2022'], types: [] }],
    ['node', node, { lib: ['es2022'], types: ['node'], skipLibCheck: true }],
    ['browser', browser, { lib: ['es2022', 'dom'], types: [] }],
    ['views', views, { lib: ['es2023', 'dom'], types: [], skipLibCheck: true }],
    ['views-bundler', views, { lib: ['es2023', 'dom'], types: [], skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler' }],
    ['react-19-views/views', views, { lib: ['es2023', 'dom'], types: [], skipLibCheck: true }],
    ['plain-page', plainPage, { lib: ['es2023', 'dom'], types: [], module: 'esnext', moduleResolution: 'bundler' }],
    ['no-react/views', plainPage, { lib: ['es2023', 'dom'], types: [], module: 'esnext', moduleResolution: 'bundler' }],
    ['react-18', jsx, { lib: ['es2023', 'dom'], types: [], jsx: 'react-jsx', skipLibCheck: true }],
    ['react-19/app', jsx, { lib: ['es2023', 'dom'], types: [], jsx: 'react-jsx', skipLibCheck: true }],
    ['bundler', browser, { lib: ['es2022', 'dom'], types: [], module: 'esnext', moduleResolution: 'bundler' }]
  ] as const) {
    const file = `${name}.${'jsx' in options ? 'tsx' : 'ts'}`
    await writeFile(join(folder, file), text)
    await writeFile(join(folder, `${name}.json`), JSON.stringify({ compilerOptions: { ...base, ...options }, files: [basename(file)] }))
    const output = await run('node_modules/typescript/bin/tsc', '-p', join(folder, `${name}.json`)).catch((error) => error)
    t.equal(output.stdout, '', name)
  }
})
