// Starts two nodes, a Redis and a balancer on free ports, and prints the address of the demo: node scripts/demo-cluster.mjs [dist|build]
// The demo page can kill a node with SIGKILL; the node starts again by itself. The environment variable PORT names the port of the balancer, and
// PUSH_ENDPOINTS is passed on to the nodes.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const RESTART_MS = 2500
const READY_MS = 30_000

const folder = process.argv[2] ?? 'dist'
const load = (file) => import(pathToFileURL(join(resolve(folder), 'services', file)).href)
const [{ isFromThisMachine }, { makeVapidKeys }, { WebhookJournal }] = await Promise.all(
  ['auth/loopback.js', 'reach/vapid.js', 'reach/webhook-journal.js'].map(load)
)

const secret = randomBytes(32).toString('hex')
const vapid = makeVapidKeys()
/** Receives the webhooks of both nodes: it outlives each of them. */
const journal = await WebhookJournal.start()
const data = mkdtempSync(join(tmpdir(), 'belfry-demo-'))
const children = new Set()
let isStopping = false

function run(command, args, env = process.env) {
  const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  children.add(child)
  child.on('exit', () => children.delete(child))
  return child
}

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(data, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(0))

function stop(message) {
  if (!isStopping) process.stderr.write(`${message}\n`)
  isStopping = true
  process.exit(1)
}

async function freePort() {
  const server = createTcpServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

async function until(probe, what) {
  const end = Date.now() + READY_MS
  while (!(await probe().catch(() => false))) {
    if (Date.now() > end) stop(`${what} did not start within ${READY_MS / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const accepts = async (port) => {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
  return true
}

const redisPort = await freePort()
const redisArgs = ['--port', String(redisPort), '--bind', '127.0.0.1', '--dir', data, '--save', '', '--loglevel', 'warning']
const redis = run('redis-server', redisArgs)
redis.on('error', () => stop('redis-server is not installed: install the package redis-server (Debian, Ubuntu) or redis (Homebrew)'))
redis.on('exit', () => stop('redis-server ended'))
await until(() => accepts(redisPort), 'redis-server')

/** One node of Belfry. It starts again after each end. */
class DemoNode {
  name
  port
  id = ''
  isUp = false
  #child

  constructor(name, port) {
    this.name = name
    this.port = port
  }

  async start() {
    const { PATH, HOME, PUSH_ENDPOINTS = '' } = process.env
    const env = {
      ...{ PATH, HOME, JWT_SECRET: secret, REDIS_URL: `redis://127.0.0.1:${redisPort}` },
      ...{ PORT: String(this.port), DATA_DIR: data, DEMO: 'true', LOG_LEVEL: 'fatal' },
      ...{ VAPID_PUBLIC_KEY: vapid.publicKey, VAPID_PRIVATE_KEY: vapid.privateKey, VAPID_SUBJECT: 'mailto:belfry@example.com' },
      ...{ PUSH_ENDPOINTS, WEBHOOK_URL: journal.url, WEBHOOK_SECRET: journal.secrets.join() }
    }
    this.#child = run(process.execPath, [join(import.meta.dirname, 'demo-node.mjs'), folder], env)
    this.#child.on('exit', () => {
      this.isUp = false
      this.id = ''
      if (!isStopping) setTimeout(() => this.start(), RESTART_MS)
    })
    await until(async () => (await fetch(`http://127.0.0.1:${this.port}/health/ready`)).ok, `node ${this.name}`)
    this.id = (await (await fetch(`http://127.0.0.1:${this.port}/demo/cluster`)).json()).node
    this.isUp = true
  }

  kill() {
    this.isUp = false
    this.#child.kill('SIGKILL')
  }
}

const nodes = [new DemoNode('A', await freePort()), new DemoNode('B', await freePort())]
await Promise.all(nodes.map((node) => node.start()))

let turn = 0
/** Returns the live nodes, beginning with the one whose turn it is. */
function inTurn() {
  turn++
  return nodes.map((_, index) => nodes[(turn + index) % nodes.length]).filter(({ isUp }) => isUp)
}

async function bodyOf(incoming) {
  const chunks = []
  for await (const chunk of incoming) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function answer(outgoing, status, body) {
  outgoing.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body))
}

/** Sends a request to a node. Resolves with the answer of the node, or rejects if the node is dead. */
function ask(node, { method, url, headers }, body) {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: node.port, method, path: url, headers, agent: false }, resolve).on('error', reject).end(body)
  })
}

async function forward(incoming, outgoing) {
  const body = await bodyOf(incoming)
  for (const node of inTurn()) {
    try {
      const reply = await ask(node, incoming, body)
      outgoing.writeHead(reply.statusCode, reply.headers)
      reply.on('error', () => outgoing.destroy())
      return void reply.pipe(outgoing)
    } catch {
      // The node died. A read is repeated on the other one. A write may have been carried out: its sender repeats it with the same key.
      if (incoming.method !== 'GET') break
    }
  }
  answer(outgoing, 502, { detail: 'no node answered' })
}

/** The routes of the balancer itself. They are for pages of this machine only, as those of the nodes. */
const own = {
  'GET /demo/cluster': async (_incoming, outgoing) =>
    answer(outgoing, 200, { nodes: nodes.map(({ name, id, isUp }) => ({ name, id, isUp })) }),
  'POST /demo/cluster/kill': async (incoming, outgoing) => {
    const { node: name } = JSON.parse(String(await bodyOf(incoming)))
    const node = nodes.find((node) => node.name === name && node.isUp)
    node?.kill()
    answer(outgoing, node === undefined ? 404 : 200, { killed: node !== undefined })
  },
  'GET /demo/webhooks': async ({ url }, outgoing) => {
    const { searchParams } = new URL(url, 'http://demo')
    answer(outgoing, 200, { receiver: 'here', entries: journal.after(Number(searchParams.get('after'))) })
  },
  'POST /demo/webhooks/fail': async (_incoming, outgoing) => {
    journal.failNextFallback()
    outgoing.writeHead(204).end()
  },
  'POST /demo/webhooks/forge': async (incoming, outgoing) => {
    const { user } = JSON.parse(String(await bodyOf(incoming)))
    answer(outgoing, 200, { id: await journal.forge(user) })
  },
  // The connection to cut is on one of the nodes.
  'POST /demo/cut': async (incoming, outgoing) => {
    const body = await bodyOf(incoming)
    await Promise.all(
      inTurn().map((node) =>
        ask(node, incoming, body).then(
          (reply) => reply.resume(),
          () => undefined
        )
      )
    )
    answer(outgoing, 200, {})
  }
}

const balancer = createServer((incoming, outgoing) => {
  const route = own[`${incoming.method} ${incoming.url.split('?')[0]}`]
  if (route !== undefined && !isFromThisMachine(incoming)) return answer(outgoing, 404, { detail: 'The demo is for its own machine alone' })
  ;(route ?? forward)(incoming, outgoing).catch(() => outgoing.destroy())
})

balancer.on('upgrade', ({ method, url, rawHeaders }, socket, head) => {
  const [node] = inTurn()
  if (node === undefined) return socket.destroy()
  const lines = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1]}`] : []))
  const upstream = connect(node.port, '127.0.0.1')
  upstream.write(`${method} ${url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  upstream.write(head)
  upstream.pipe(socket).pipe(upstream)
  // A node that was killed ends its connections without a close frame, and so does the balancer.
  for (const [end, other] of [
    [socket, upstream],
    [upstream, socket]
  ]) {
    end.on('error', () => other.destroy())
    end.on('close', () => other.destroy())
  }
})

balancer.on('error', ({ message }) => stop(`PORT must be free: ${message}`))
balancer.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  process.stdout.write(
    `\nTwo nodes, a Redis and a balancer are up. Ctrl-C ends them.\n\nDemo: http://localhost:${balancer.address().port}/demo\n\n`
  )
})
