// Emits the declarations of the package, those that index.ts refers to and no others: node scripts/build-types.mjs <dist>
// The rest would declare decorators of Belfry's own context in the apps that embed it.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const target = process.argv[2]
if (target === undefined) throw new Error('usage: build-types.mjs <folder>')

const emitted = mkdtempSync(join(tmpdir(), 'belfry-types-'))
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.types.json', '--outDir', emitted], { stdio: 'inherit' })

const IMPORT = /((?:from|import)\s*\(?\s*')(\.[^']*)\.ts'/g
const folder = join(target, 'types')
rmSync(folder, { recursive: true, force: true })
const names = new Set(['index'])
for (const name of names) {
  const text = readFileSync(join(emitted, `${name}.d.ts`), 'utf8')
  for (const [, , path] of text.matchAll(IMPORT)) names.add(join(dirname(name), path))
  const file = join(folder, `${name}.d.ts`)
  mkdirSync(dirname(file), { recursive: true })
  // The compiler leaves `.ts` in the import paths: those files are not shipped.
  writeFileSync(file, text.replace(IMPORT, "$1$2.js'"))
}
rmSync(emitted, { recursive: true })
