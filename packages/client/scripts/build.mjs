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
async function minifyStyles(source, path) {
  if (!/bell\/(panel-)?styles\.ts$/.test(path)) return source
  const [before, css, after] = source.split('`').slice(-3)
  const { code } = await transform(css, { loader: 'css', minify: true })
  return `${before.slice(before.lastIndexOf('export'))}${JSON.stringify(code.trim())}${after}`
}

/** Replaces the constants of a module that are numbers by their values, since minifiers keep a variable for each. Lines keep their numbers. */
function inlineNumbers(source) {
  for (const [line, name, value] of source.matchAll(/^const ([A-Z_]+)(?:: .*)? = ([\d_.]+)$/gm)) {
    source = source.replace(line, '').replaceAll(new RegExp(`\\b${name}\\b`, 'g'), value)
  }
  return source
}

/**
 * Makes each `import('./x.ts')` a static import: a file without chunks needs no code that runs a module later. The imports stand last, and so do
 * their modules in the file: gzip compresses that order better.
 */
function importStatically(source) {
  const imports = []
  const replaced = source.replace(/\bimport\('(\.[^']+)'\)/g, (_, name) => {
    imports.push(`\nimport * as module${imports.length} from '${name}'`)
    return `Promise.resolve(module${imports.length - 1})`
  })
  return replaced + imports.join('')
}

/** Returns a plugin that changes the source of each module before it is compiled. */
const changing = (...changes) => ({
  name: 'changed-sources',
  setup: ({ onLoad }) =>
    onLoad({ filter: /client\/src\/.*\.ts$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8')
      for (const change of changes) contents = await change(contents, path)
      return { loader: 'ts', contents }
    })
})

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
  plugins: [changing(minifyStyles, inlineNumbers)],
  mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`)
}
const complete = { ...common, plugins: [changing(minifyStyles, inlineNumbers, importStatically)], minify: true }
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
