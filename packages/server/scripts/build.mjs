// Builds the package into dist or the folder given: node scripts/build.mjs [folder]
//   index.js  one ES module, which uses only what Node 20, Bun and Deno have in common
//   types/    declarations
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { buildTypes, hideRepositoryPaths } from '../../../scripts/package-build.mjs'

/** Properties of objects that never leave the package: the build shortens them. */
const INTERNAL = [
  ...['isOver', 'deadline', 'onAbort', 'failures', 'partial', 'waiting', 'holder', 'putBack', 'whenIdle', 'isReady', 'release'],
  ...['publish', 'take', 'refuse', 'bytes', 'retry']
]

const root = fileURLToPath(new URL('..', import.meta.url))
const out = resolve(process.argv[2] ?? join(root, 'dist'))

await rm(out, { recursive: true, force: true })
await build({
  entryPoints: ['src/index.ts'],
  bundle: true,
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  absWorkingDir: root,
  outdir: out,
  sourcemap: true,
  mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`),
  logLevel: 'warning'
})
await hideRepositoryPaths(root, out)
await buildTypes(root, out, ['tsconfig.json'])
