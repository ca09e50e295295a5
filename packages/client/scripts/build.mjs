// Builds the package into dist or the folder given: node scripts/build.mjs [folder]
//   *.js, chunks/   ES modules that share their parts, for bundlers and Node
//   sw.js           a script for service workers
//   complete/       minified ES modules, each complete in one file: the service serves them at /client
//   belfry.global.js  a minified script: defines globalThis.Belfry and <belfry-bell>
//   languages/      the texts of the elements in other languages, as data
//   types/          declarations
import { cp, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'
import { buildTypes, hideRepositoryPaths } from '../../../scripts/package-build.mjs'

/** The oldest supported browsers. Newer syntax is compiled for them. */
const TARGETS = ['chrome111', 'edge111', 'firefox113', 'safari16.4']

/**
 * Properties that only this package uses, and that never leave a page: the build shortens them. A name of the public API, of a message
 * between tabs or of a browser's API must not be here.
 */
const INTERNAL = [
  ...['acks', 'aged', 'announce', 'assigned', 'callFor', 'claim', 'delivery', 'demoted', 'elapsedMs'],
  ...['expiries', 'fetches', 'flush', 'guard', 'hasLeft', 'hello', 'hole', 'isBehind', 'isLeader', 'isOver', 'leave'],
  ...['limit', 'lost', 'memory', 'missed', 'monotonic', 'moved', 'newest', 'ping', 'raise', 'raised', 'raisedTo'],
  ...['receiveFromTab', 'refresh', 'release', 'resend', 'restart', 'restore', 'resumeAt', 'runMs', 'save', 'sendStatus', 'setState'],
  ...['settle', 'settleByRest', 'shared', 'silenceMs', 'stateOf', 'suspend', 'sync', 'tabEnded', 'takeOver', 'terminate', 'tick'],
  ...['toaster', 'tokens', 'waitForLead']
]

/** Minifies the style sheets. No target is given: the sheets themselves say what older browsers get. */
const minifiedStyles = {
  name: 'minified-styles',
  setup: ({ onLoad }) =>
    onLoad({ filter: /bell\/(panel-)?styles\.ts$/ }, async ({ path }) => {
      const [before, css, after] = (await readFile(path, 'utf8')).split('`').slice(-3)
      const { code } = await transform(css, { loader: 'css', minify: true })
      return { loader: 'ts', contents: `${before.slice(before.lastIndexOf('export'))}${JSON.stringify(code.trim())}${after}` }
    })
}

/**
 * Makes each `import('./x.ts')` a static import: a file without chunks needs no code that runs a module later. The imports stand last, and so do
 * their modules in the file: gzip compresses that order better.
 */
const staticImports = {
  name: 'static-imports',
  setup: ({ onLoad }) =>
    onLoad({ filter: /client\/src\/.*\.ts$/ }, async ({ path }) => {
      const imports = []
      const source = (await readFile(path, 'utf8')).replace(/\bimport\('(\.[^']+)'\)/g, (_, name) => {
        imports.push(`\nimport * as module${imports.length} from '${name}'`)
        return `Promise.resolve(module${imports.length - 1})`
      })
      return imports.length > 0 ? { loader: 'ts', contents: `${source}${imports.join('')}` } : undefined
    })
}

const root = fileURLToPath(new URL('..', import.meta.url))
const out = resolve(process.argv[2] ?? join(root, 'dist'))

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
const complete = { ...common, plugins: [minifiedStyles, staticImports], minify: true }
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
  build({ ...complete, entryPoints: modules, format: 'esm', outdir: join(out, 'complete') }),
  // Without imports and exports: a worker loads it by importScripts() or by import.
  build({ ...common, entryPoints: ['src/sw.ts'], format: 'iife', outfile: join(out, 'sw.js'), sourcemap: true }),
  build({ ...complete, entryPoints: ['src/sw.ts'], format: 'iife', outfile: join(out, 'complete/sw.js') }),
  build({ ...complete, entryPoints: ['src/bell/global.ts'], format: 'iife', outfile: join(out, 'belfry.global.js') })
])
await cp(join(root, 'languages'), join(out, 'languages'), { recursive: true })
await hideRepositoryPaths(root, out)
await buildTypes(root, out, ['tsconfig.json', 'tsconfig.bell.json', 'tsconfig.react.json'])
