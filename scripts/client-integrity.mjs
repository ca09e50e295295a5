// Writes the version and the integrity hashes of the built client into the guide: node scripts/client-integrity.mjs [--check]
// With --check, the script changes nothing and exits with 1 if the guide is out of date.
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'

const GUIDE = 'docs/guides/browser-sdk.md'
const FILES = {
  'index.js': 'complete/index.js',
  'inbox.js': 'complete/inbox.js',
  'bell.js': 'complete/bell.js',
  'sw.js': 'complete/sw.js',
  'belfry.global.js': 'belfry.global.js'
}

const { version } = JSON.parse(await readFile('packages/client/package.json', 'utf8'))
const before = await readFile(GUIDE, 'utf8')
let after = before
for (const [name, path] of Object.entries(FILES)) {
  const body = await readFile(`packages/client/dist/${path}`)
  const hash = `sha384-${createHash('sha384').update(body).digest('base64')}`
  const file = name.replaceAll('.', '\\.')
  after = after
    .replace(new RegExp(`(/client/${file}\\?v=)[^"']*`, 'g'), `$1${version}`)
    .replace(new RegExp(`(/client/${file}\\?v=[^"']*"\\s+integrity=")[^"]*`, 'g'), `$1${hash}`)
    .replace(new RegExp(`^(\\| \`${file}\` \\|.*\\| \`)sha384-[^\`]*`, 'gm'), `$1${hash}`)
}
if (process.argv.includes('--check')) {
  if (after !== before) console.error(`the hashes in ${GUIDE} differ from those of the build: run npm run integrity`)
  process.exit(after === before ? 0 : 1)
}
await writeFile(GUIDE, after)
