// Copies the files that tsc does not compile (Lua scripts, pages, the client) beside the compiled code, and makes the CLI executable:
// node scripts/copy-assets.mjs <dist|build>
import { chmodSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const target = process.argv[2]
if (target === undefined) throw new Error('usage: copy-assets.mjs <folder>')

for (const folder of ['services/store/redis/lua', 'pages', 'demo', 'docs']) {
  if (!existsSync(folder)) continue
  // A file that was renamed since the last build must not stay under its old name.
  rmSync(join(target, folder), { recursive: true, force: true })
  cpSync(folder, join(target, folder), { recursive: true })
}
chmodSync(join(target, 'cli.js'), 0o755)

// demo/client: the published modules, which the demo page imports. client: the complete files, which the service serves at /client.
const client = 'packages/client/dist'
if (existsSync(client)) {
  cpSync(client, join(target, 'demo/client'), {
    recursive: true,
    filter: (file) => !file.endsWith('.map') && !/(types|complete|\.global\.js)$/.test(file)
  })
  const served = join(target, 'client')
  cpSync(join(client, 'complete'), served, { recursive: true })
  cpSync(join(client, 'languages'), join(served, 'languages'), { recursive: true })
  cpSync(join(client, 'belfry.global.js'), join(served, 'belfry.global.js'))
  const { name, version } = JSON.parse(readFileSync('packages/client/package.json', 'utf8'))
  writeFileSync(join(served, 'package.json'), `${JSON.stringify({ name, version })}\n`)
}
