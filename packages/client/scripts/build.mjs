// Builds the package into dist or the folder given: ES modules that share their parts, belfry.global.js (minified, globalThis.Belfry), types.
// node scripts/build.mjs [folder]
import { execFileSync } from 'node:child_process'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = resolve(process.argv[2] ?? join(root, 'dist'))
const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))

// A script loads event streams from beside it, when it needs them.
const apart = {
  name: 'apart',
  setup: ({ onResolve }) => onResolve({ filter: /\/sse\.ts$/ }, () => ({ path: './sse.js', external: true }))
}

await rm(out, { recursive: true, force: true })
const common = { bundle: true, target: 'es2022', platform: 'neutral', absWorkingDir: root, logLevel: 'warning' }
await Promise.all([
  build({
    ...common,
    entryPoints: { index: 'src/index.ts', inbox: 'src/inbox.ts', react: 'src/react.ts', bell: 'src/bell/index.ts', sse: 'src/sse.ts' },
    external: ['react'],
    format: 'esm',
    splitting: true,
    outdir: out,
    chunkNames: 'chunks/[name]-[hash]',
    sourcemap: true
  }),
  build({
    ...common,
    entryPoints: ['src/global.ts'],
    format: 'esm',
    banner: { js: '(()=>{' },
    footer: { js: '})()' },
    minify: true,
    plugins: [apart],
    outfile: join(out, 'belfry.global.js')
  })
])
for (const project of ['tsconfig.json', 'tsconfig.bell.json']) {
  execFileSync(process.execPath, [tsc, '-p', join(root, project), '--outDir', join(out, 'types')], { stdio: 'inherit' })
}

// The compiler leaves `.ts` in the import paths of declarations: those files are not shipped.
for (const file of await readdir(join(out, 'types'), { recursive: true })) {
  if (!file.endsWith('.d.ts')) continue
  const path = join(out, 'types', file)
  await writeFile(path, (await readFile(path, 'utf8')).replace(/(from|import\()(\s*'\.[^']*)\.ts'/g, "$1$2.js'"))
}
