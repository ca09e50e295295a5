// Copies what tsc leaves behind (Lua scripts, pages) beside the compiled code, and makes the CLI executable: node scripts/copy-assets.mjs <dist|build>
import { chmodSync, cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'

const target = process.argv[2]
if (target === undefined) throw new Error('usage: copy-assets.mjs <folder>')

for (const folder of ['services/store/redis/lua']) {
  if (existsSync(folder)) cpSync(folder, join(target, folder), { recursive: true })
}
chmodSync(join(target, 'cli.js'), 0o755)
