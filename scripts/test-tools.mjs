// Checks that the programs which the tests need are installed. As root on Debian or Ubuntu the script installs missing ones with apt-get;
// elsewhere it names them and exits with 1. Arguments name the programs to check: node scripts/test-tools.mjs redis-server
import { spawnSync } from 'node:child_process'

const tools = [
  { command: 'redis-server', why: 'the Redis store is tested against real servers' },
  { command: 'nats-server', why: 'the other bus of the Redis store is tested against real servers' },
  { command: 'openssl', why: 'the tests make their certificates with it' },
  { command: 'chromium', why: 'the pages are tested in a real browser' },
  { command: 'firefox-esr', why: '`npm run test:firefox` tests the pages in it', isOptional: true },
  { command: 'haproxy', why: 'rolling restarts are tested behind it, with the configurations of deploy/' },
  { command: 'caddy', why: 'rolling restarts are tested behind it, with the configuration of deploy/' }
]

const has = (command) => spawnSync(`command -v ${command}`, { shell: true }).status === 0
const wanted = process.argv.slice(2)
const isWanted = ({ command, isOptional }) => (wanted.length === 0 ? !isOptional : wanted.includes(command))
const missing = tools.filter((tool) => isWanted(tool) && !has(tool.command))
if (missing.length === 0) process.exit(0)

const names = missing.map((tool) => tool.command).join(' ')
if (has('apt-get') && process.getuid?.() === 0) {
  console.error(`installing ${names}`)
  const options = { stdio: ['ignore', 2, 2], shell: true, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  spawnSync('apt-get update -qq', options)
  spawnSync(`apt-get install -y -qq --no-install-recommends ${names}`, options)
}

const stillMissing = missing.filter((tool) => !has(tool.command))
for (const tool of stillMissing) console.error(`missing: ${tool.command} (${tool.why}). Install its package, then run this again.`)
process.exit(stillMissing.length === 0 ? 0 : 1)
