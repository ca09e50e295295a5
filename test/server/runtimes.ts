import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Receiver } from '../fixtures/receiver.ts'
import { call, startService } from '../helper.ts'

// Runs the built @belfry/server against a real Belfry in each runtime that is installed: npm run test:runtimes
// A runtime that is not on the PATH is skipped, and the result says so.

const KEY = 'the-key-of-the-tests'
const PROGRAM = 'test/server/runtime-program.mjs'
const LIMIT_MS = 60_000

/** The command of each runtime, and the way to get it. */
const RUNTIMES = {
  node: { command: [process.execPath], install: '' },
  bun: { command: ['bun', 'run'], install: 'npm install --global bun' },
  deno: { command: ['deno', 'run', '--allow-net', '--allow-read', '--allow-env'], install: 'npm install --global deno' }
}

/** Runs a program without tap's environment, which hooks tap into children. */
async function run(command: string[]): Promise<string> {
  const path = [process.env.PATH, join(process.cwd(), 'node_modules/.bin')].join(delimiter)
  const { stdout } = await promisify(execFile)('env', ['-i', `PATH=${path}`, `HOME=${process.env.HOME}`, ...command], { timeout: LIMIT_MS })
  return stdout
}

/**
 * Starts a way to a service whose first answers to publishes are lost, or refused: the first is not sent back after the service has carried it
 * out, the second is a 503.
 */
async function faultyWay(t: Test, url: string): Promise<Receiver> {
  const way = await Receiver.start(t)
  let publishes = 0
  const forward = async (path: string, body: Buffer): Promise<Response> => {
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
    return await fetch(url + path, { method: 'POST', headers, body: new Uint8Array(body) })
  }
  way.behaviour = async (response, { path, body }, request) => {
    publishes += 1
    if (publishes === 2) return void response.writeHead(503, { 'retry-after': '1' }).end()
    const answer = await forward(path, body)
    if (publishes === 1) return void request.socket.destroy()
    const text = await answer.text()
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(text)
  }
  return way
}

/** Returns the versions that the guide and the README say the package was tried on. Throws if they differ. */
async function toldVersions(): Promise<{ bun: string; deno: string }> {
  const texts = await Promise.all(['docs/guides/publishing.md', 'packages/server/README.md'].map((file) => readFile(file, 'utf8')))
  const told = texts.map((text) => / on Node 20\.19 and later, Bun (\d+\.\d+) and Deno (\d+\.\d+)/.exec(text)?.slice(1).join(' '))
  const [bun = '', deno = ''] = told[0]?.split(' ') ?? []
  if (told[0] === undefined || told[0] !== told[1]) throw new Error(`the versions in the guide and in the README: ${told.join(', ')}`)
  return { bun, deno }
}

for (const [name, { command, install }] of Object.entries(RUNTIMES)) {
  const version = await run([...command.slice(0, 1), '--version']).catch(() => undefined)
  const skip = version === undefined && `${name} is not installed: ${install}`

  t.test(`${name}: publishes, batches, topics, broadcasts, retries, tracing and webhooks`, { skip }, async (t) => {
    const service = await startService(t, { RATE_LIMIT_MAX: '0', API_KEYS: `admin:${KEY}` })
    const way = await faultyWay(t, service.url)
    const seen = JSON.parse(await run([...command, PROGRAM, service.url, way.origin, KEY]))
    t.comment(seen.runtime)
    const told = await toldVersions()
    const tried = `${name} ${told[name as keyof typeof told]}.`
    t.ok(name === 'node' || seen.runtime.startsWith(tried), `the guide and the README name ${tried}x`)
    const { runtime, retried, ...rest } = seen
    t.same(rest, {
      status: 'accepted',
      burst: 3000,
      refused: 'BELFRY_ERR_INVALID_REQUEST',
      changed: { added: 1200, removed: 0 },
      members: 1200,
      broadcast: { status: 'done', accepted: 1199 },
      cancelled: 'cancelled',
      presence: 1200,
      webhook: 'user.online',
      forged: 'BELFRY_SDK_WEBHOOK'
    })
    t.same(new Set(retried), new Set(['accepted']))
    const titlesOf = async (user: string): Promise<string[]> => {
      const { body } = await call(service, 'GET', `/v1/users/${user}/notifications?limit=200`)
      return (body.items as { title: string }[]).map(({ title }) => title).reverse()
    }
    const retriedTitles = Array.from({ length: 50 }, (_, n) => `retried ${n}`)
    t.same(await titlesOf('bob'), retriedTitles, 'none is lost, doubled or out of order')
    t.same(
      await titlesOf('user-7'),
      Array.from({ length: 100 }, (_, n) => `burst ${30 * n + 7}`)
    )
    t.same(await titlesOf('alice'), [], 'the first one was recalled')
    t.ok(way.received.length >= 4, 'requests were repeated')
    const traced = way.received.filter(({ headers }) => headers.traceparent !== undefined)
    t.same(
      traced.map(({ body }) => JSON.parse(body.toString()).notifications[0].title),
      ['traced']
    )
  })
}
