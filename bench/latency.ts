import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { signToken } from '../services/auth/signing.ts'
import { ServerProcess } from '../test/fixtures/node-process.ts'
import { RedisServer } from '../test/fixtures/redis.ts'
import { openLoop } from './open-loop.ts'
import { Poster } from './poster.ts'
import { openMany, type RawSocket } from './raw-socket.ts'
import { faults, type Result, Tally, table } from './tally.ts'

const usage = `Usage: npm run latency -- [options]

Measures the latency from the due time of a publish to its receipt over a WebSocket. The nodes are real processes: first two nodes on a
Redis, then one node with the embedded store.

  --users N          connected users, spread over the nodes; default 1000
  --notifications N  notifications to random users, over REST on one node; default 1000
  --rate N           notifications per second, open loop; default 200
  --warm-up N        notifications before the measured ones; default 500
  --wait S           longest wait for missing notifications, then for duplicates, seconds; default 10

Exit code 1 if a notification was lost, duplicated or refused.
`

interface Plan {
  users: number
  notifications: number
  rate: number
  warmUp: number
  waitMs: number
}

/** Milliseconds after the last receipt in which a duplicate may still arrive: lost wake-ups are found within two seconds. */
const SETTLE_MS = 2500

/** Milliseconds that all connections may take to catch up with an empty log. */
const CATCH_UP_MS = 30_000

/** Most publishes in flight; further ones wait for a socket. */
const POSTING_SOCKETS = 128

const cleanups: (() => Promise<void> | void)[] = []
/** Start of the nodes that is in progress; `cleanUp` must wait for it. */
let starting: Promise<unknown> = Promise.resolve()
let interrupted = false

/** Ends every process and removes every folder of this run, including those that are still starting. */
async function cleanUp(): Promise<void> {
  await starting.catch(() => undefined)
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}

function readPlan(argv: string[]): Plan {
  const text = { type: 'string' } as const
  const options = { users: text, notifications: text, rate: text, 'warm-up': text, wait: text }
  const { values } = parseArgs({ args: argv, options, strict: true })
  const whole = (name: keyof typeof options, fallback: number, least: number): number => {
    const value = Number(values[name] ?? fallback)
    if (!(Number.isInteger(value) && value >= least)) throw new Error(`--${name} must be a whole number of at least ${least}`)
    return value
  }
  return {
    users: whole('users', 1000, 1),
    notifications: whole('notifications', 1000, 1),
    rate: whole('rate', 200, 1),
    warmUp: whole('warm-up', 500, 0),
    waitMs: whole('wait', 10, 0) * 1000
  }
}

/** Starts nodes on a new store: two on Redis, or one embedded. Resolves when they are ready. */
async function startNodes(secret: string, redis: boolean): Promise<ServerProcess[]> {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-latency-'))
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }))
  const environment: Record<string, string> = { JWT_SECRET: secret, LOG_LEVEL: 'warn', DATA_DIR: folder }
  if (redis) {
    const server = await RedisServer.start({ appendonly: 'yes', appendfsync: 'always' })
    cleanups.push(() => server.stop())
    environment.REDIS_URL = server.url
  }
  const nodes: ServerProcess[] = []
  for (let count = redis ? 2 : 1; count > 0 && !interrupted; count--) {
    const node = await ServerProcess.start(environment)
    cleanups.push(() => node.kill())
    nodes.push(node)
  }
  return nodes
}

/** Connects all users, warms up, and measures, on nodes that are ready. */
async function measure(plan: Plan, label: string, secret: string, nodes: ServerProcess[]): Promise<Result> {
  const { users, notifications, rate, warmUp, waitMs } = plan
  const ports = nodes.map(({ port }) => port)
  const bearer = `Authorization: Bearer ${signToken(secret, 'bench', 'publish')}\r\n`
  const poster = new Poster(ports[0] as number, '/v1/notifications', bearer, POSTING_SOCKETS)
  const tallies = { warmUp: new Tally(warmUp), counted: new Tally(notifications) }
  const counts = { caughtUp: 0, closed: 0 }

  const text = (_socket: RawSocket, payload: Buffer): void => {
    const now = performance.now()
    const frame = JSON.parse(payload.toString()) as { type: string; notification: { data: { run: keyof typeof tallies; index: number } } }
    if (frame.type === 'caughtUp') counts.caughtUp += 1
    else if (frame.type === 'notification') tallies[frame.notification.data.run].received(frame.notification.data.index, now)
  }
  const fire = async (run: keyof typeof tallies, count: number): Promise<void> => {
    const tally = tallies[run]
    await openLoop(count, rate, (index, due, now) => {
      tally.sent(index, due, now)
      const to = nameOf(Math.floor(Math.random() * users))
      const notification = { to, type: 'bench', title: 'A notification of usual length', ref: '/bench/1', data: { run, index } }
      poster.post(JSON.stringify(notification), (status) => {
        if (status !== 202) tally.refused(index)
      })
    })
    await within(waitMs, () => tally.missing === 0)
  }

  const target = (index: number) => ({
    port: ports[index % ports.length] as number,
    path: '/v1/ws',
    token: signToken(secret, nameOf(index))
  })
  const sockets = await openMany(users, target, { text, close: () => (counts.closed += 1) })
  try {
    await within(CATCH_UP_MS, () => counts.caughtUp >= users)
    await fire('warmUp', warmUp)
    await fire('counted', notifications)
    await sleep(Math.min(SETTLE_MS, waitMs))
    if (counts.closed > 0) throw new Error(`${counts.closed} connections were closed during the run`)
    return tallies.counted.result(label)
  } finally {
    for (const socket of sockets) socket.destroy()
    poster.close()
  }
}

function nameOf(index: number): string {
  return `user-${index}`
}

/** Waits for the condition, for at most `ms`. */
async function within(ms: number, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + ms
  while (!condition() && performance.now() < deadline) await sleep(10)
}

async function main(argv: string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(usage)
    return 0
  }
  const plan = readPlan(argv)
  const { users, notifications, rate, warmUp } = plan
  process.stdout.write(
    `${users} users connected, ${notifications} notifications to random users at ${rate}/s after ${warmUp} to warm up,\n` +
      'published over REST on one node; times from due to received.\n\n'
  )
  const secret = randomBytes(32).toString('base64url')
  const results: Result[] = []
  for (const redis of [true, false]) {
    const label = redis ? 'Belfry, two nodes on a Redis' : 'Belfry, one embedded node'
    const nodes = startNodes(secret, redis)
    starting = nodes
    results.push(await measure(plan, label, secret, await nodes))
    await cleanUp()
  }
  const [load = 0] = loadavg()
  process.stdout.write(
    `${table(results)}\nThis machine: load average ${load.toFixed(1)} on ${availableParallelism()} cores. Its other work is part of the times.\n`
  )
  const wrong = faults(results)
  for (const fault of wrong) process.stderr.write(`${fault}\n`)
  return wrong.length === 0 ? 0 : 1
}

function interrupt(): void {
  interrupted = true
  void cleanUp().then(() => process.exit(1))
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, interrupt)
process.stdout.once('error', interrupt)

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
} finally {
  await cleanUp()
}
