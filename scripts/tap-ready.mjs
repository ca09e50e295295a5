// Builds tap with the plugins of .taprc, once after every install: without this, the first run after an install has tap's default plugins.
// The stamp lies in node_modules, which `npm ci` empties, and names the version of tap and the configuration of the build.
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

const STAMP = 'node_modules/.cache/belfry/tap-build'

const { version } = JSON.parse(await readFile('node_modules/tap/package.json', 'utf8'))
const wanted = `tap ${version}\n${await readFile('.taprc', 'utf8')}`
const built = await readFile(STAMP, 'utf8').catch(() => '')
if (built !== wanted) {
  const { status } = spawnSync('tap build', { stdio: 'inherit', shell: true })
  if (status !== 0) process.exit(status ?? 1)
  await mkdir(dirname(STAMP), { recursive: true })
  await writeFile(STAMP, wanted)
}
