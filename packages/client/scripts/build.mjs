// Builds the package into dist or the folder given: node scripts/build.mjs [folder]
//   *.js, chunks/   ES modules that share their parts, for bundlers and Node
//   sw.js           a script for service workers
//   complete/       minified ES modules, each complete in one file: the service serves them at /client
//   belfry.global.js  a minified script: defines globalThis.Belfry and <belfry-bell>
//   languages/      the texts of the elements in other languages, as data
//   types/          declarations
import { execFileSync } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

/** The oldest supported browsers. Newer syntax is compiled for them. */
const TARGETS = ['chrome111', 'edge111', 'firefox113', 'safari16.4']

/**
 * Properties that only this package uses, and that never leave a page: the build shortens them. A name of the public API, of a message
 * between tabs or of a browser's API must not be here.
 */
const INTERNAL = [
  ...['acks', 'announce', 'assigned', 'callFor', 'delivery', 'demoted', 'dropReplayed', 'elapsedMs', 'expiries'],
  ...['failAll', 'fetches', 'flush', 'guard', 'hasLeft', 'hole', 'isBehind', 'isLeader', 'isOver', 'leave'],
  ...['limit', 'lost', 'memory', 'missed', 'monotonic', 'moved', 'raise', 'raised', 'raisedTo', 'receiveFromTab'],
  ...['release', 'resend', 'restart', 'restore', 'resumeAt', 'runMs', 'sendStatus', 'setState', 'settle'],
  ...['settled', 'shared', 'silenceMs', 'stateOf', 'suspend', 'sync', 'tabEnded', 'takeOver', 'terminate', 'tick'],
  ...['toaster', 'tokens', 'waitForLead']
]

/** Minifies the style sheet in `styles.ts`. No target is given: the sheet itself says what older browsers get. */
const minifiedStyles = {
  name: 'minified-styles',
  setup: ({ onLoad }) =>
    onLoad({ filter: /bell\/styles\.ts$/ }, async ({ path }) => {
      const [before, css, after] = (await readFile(path, 'utf8')).split('`').slice(-3)
      const { code } = await transform(css, { loader: 'css', minify: true })
      return { loader: 'ts', contents: `${before.slice(before.lastIndexOf('export'))}${JSON.stringify(code.trim())}${after}` }
    })
}

const root = fileURLToPath(new URL('..', import.meta.url))
const out = resolve(process.argv[2] ?? join(root, 'dist'))
const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))

await rm(out, { recursive: true, force: true })
const common = {
  bundle: true,
  target: ['es2022', ...TARGETS],
  platform: 'neutral',
  absWorkingDir: root,
  logLevel: 'warning',
  // `sideEffects` of package.json names files of the build, not these.
  ignoreAnnotations: true,
  plugins: [minifiedStyles],
  mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`)
}
const modules = { index: 'src/index.ts', inbox: 'src/inbox.ts', bell: 'src/bell/index.ts' }
await Promise.all([
  build({
    ...common,
    entryPoints: { ...modules, react: 'src/react.ts', sse: 'src/sse.ts', push: 'src/push.ts' },
    external: ['react'],
    format: 'esm',
    splitting: true,
    outdir: out,
    chunkNames: 'chunks/[name]-[hash]',
    sourcemap: true
  }),
  build({ ...common, entryPoints: modules, format: 'esm', minify: true, outdir: join(out, 'complete') }),
  // Without imports and exports: a worker loads it by importScripts() or by import.
  build({ ...common, entryPoints: ['src/sw.ts'], format: 'iife', outfile: join(out, 'sw.js'), sourcemap: true }),
  build({ ...common, entryPoints: ['src/sw.ts'], format: 'iife', minify: true, outfile: join(out, 'complete/sw.js') }),
  build({ ...common, entryPoints: ['src/bell/global.ts'], format: 'iife', minify: true, outfile: join(out, 'belfry.global.js') })
])
await cp(join(root, 'languages'), join(out, 'languages'), { recursive: true })
await hideRepositoryPaths()
await buildTypes()

/** esbuild names sources by their paths in this repository, in comments and source maps: names them as if the package held all of them. */
async function hideRepositoryPaths() {
  for (const file of await readdir(out, { recursive: true })) {
    const path = join(out, file)
    if (file.endsWith('.js')) {
      await writeFile(path, (await readFile(path, 'utf8')).replace(/^\/\/ (\.\.\/)+services\/protocol\//gm, '// src/protocol/'))
    } else if (file.endsWith('.map')) {
      const map = JSON.parse(await readFile(path, 'utf8'))
      const sources = map.sources.map((source) => source.replace(/^.*\/(?:services(?=\/protocol\/)|client\/src|\.\.\/src)\//, '../src/'))
      await writeFile(path, JSON.stringify({ ...map, sources }))
    }
  }
}

/** Emits the declarations. The compiler writes them at their paths in this repository; the package has those of the protocol in `types/protocol`. */
async function buildTypes() {
  const emitted = await mkdtemp(join(tmpdir(), 'belfry-types-'))
  for (const project of ['tsconfig.json', 'tsconfig.bell.json', 'tsconfig.react.json']) {
    execFileSync(process.execPath, [tsc, '-p', join(root, project), '--outDir', emitted], { stdio: 'inherit' })
  }
  const types = join(out, 'types')
  await cp(join(emitted, 'packages/client/src'), types, { recursive: true })
  await cp(join(emitted, 'services/protocol'), join(types, 'protocol'), { recursive: true })
  await rm(emitted, { recursive: true })
  for (const file of await readdir(types, { recursive: true })) {
    if (!file.endsWith('.d.ts')) continue
    const path = join(types, file)
    const protocol = `${relative(join(path, '..'), join(types, 'protocol')).split(sep).join('/')}/`
    const text = await readFile(path, 'utf8')
    await writeFile(
      path,
      text
        .replace(/'[./]*\/services\/protocol\//g, `'${protocol.startsWith('.') ? protocol : `./${protocol}`}`)
        // The compiler leaves `.ts` in the import paths: those files are not shipped.
        .replace(/((?:from|import)\s*\(?\s*(['"])\.[^'"]*)\.ts\2/g, '$1.js$2')
    )
  }
}
