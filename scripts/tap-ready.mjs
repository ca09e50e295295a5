// Builds tap for the plugin list in .taprc, once after every install: a first run without it would still use the old list.
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'

const built = await readFile('node_modules/@tapjs/test/test-built/dist/esm/index.js', 'utf8').catch(() => '')
const signature = /export const signature = `([^`]*)`/.exec(built)?.[1] ?? '@tapjs/typescript'
if (signature.includes('@tapjs/typescript')) {
  process.exit(spawnSync('tap build', { stdio: 'inherit', shell: true }).status ?? 1)
}
