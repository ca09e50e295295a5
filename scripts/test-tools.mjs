// What the tests need beyond npm: installed with the system's package manager where that is possible, else named.
// With commands as arguments, sees to those alone: node scripts/test-tools.mjs redis-server
import { spawnSync } from 'node:child_process'

const tools = [
  { command: 'redis-server', why: 'the Redis store is tested against real servers' },
  { command: 'openssl', why: 'certificates of the tests are made with it' },
  { command: 'chromium', why: 'pages are tested in a real browser' },
  { command: 'haproxy', why: 'rolling restarts are tested behind it, with the configurations of deploy/' },
  { command: 'caddy', why: 'rolling restarts are tested behind it, with the configuration of deploy/' }
]

const has = (command) => spawnSync(`command -v ${command}`, { shell: true }).status === 0
const wanted = process.argv.slice(2)
const missing = tools.filter(({ command }) => (wanted.length === 0 || wanted.includes(command)) && !has(command))
if (missing.length === 0) process.exit(0)

const names = missing.map((tool) => tool.command).join(' ')
if (has('apt-get') && process.getuid?.() === 0) {
  console.error(`installing ${names}`)
  const options = { stdio: ['ignore', 2, 2], shell: true, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  spawnSync('apt-get update -qq', options)
  spawnSync(`apt-get install -y -qq --no-install-recommends ${names}`, options)
}

const still = missing.filter((tool) => !has(tool.command))
for (const tool of still) console.error(`missing: ${tool.command} (${tool.why}). Install the package of that name and run this again.`)
process.exit(still.length === 0 ? 0 : 1)
