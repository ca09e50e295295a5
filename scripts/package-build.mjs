// Parts of the builds of packages/*, which each package's scripts/build.mjs calls.
import { execFileSync } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))

/** esbuild names sources by their paths in this repository, in comments and source maps: names them as if the package held all of them. */
export async function hideRepositoryPaths(root, out) {
  const before = new RegExp(`^.*/(?:services(?=/protocol/)|${basename(root)}/src|\\.\\./src)/`)
  for (const file of await readdir(out, { recursive: true })) {
    const path = join(out, file)
    if (file.endsWith('.js')) {
      await writeFile(path, (await readFile(path, 'utf8')).replace(/^\/\/ (\.\.\/)+services\/protocol\//gm, '// src/protocol/'))
    } else if (file.endsWith('.map')) {
      const map = JSON.parse(await readFile(path, 'utf8'))
      await writeFile(path, JSON.stringify({ ...map, sources: map.sources.map((source) => source.replace(before, '../src/')) }))
    }
  }
}

/**
 * Emits the declarations of the projects into `types`. The compiler writes them at their paths in this repository; the package has those of the
 * protocol in `types/protocol`.
 */
export async function buildTypes(root, out, projects) {
  const emitted = await mkdtemp(join(tmpdir(), 'belfry-types-'))
  for (const project of projects) {
    execFileSync(process.execPath, [tsc, '-p', join(root, project), '--outDir', emitted], { stdio: 'inherit' })
  }
  const types = join(out, 'types')
  await cp(join(emitted, 'packages', basename(root), 'src'), types, { recursive: true })
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
