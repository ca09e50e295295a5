import t, { type Test } from 'tap'
import { Balancer, type BalancerName } from '../fixtures/balancer.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { send } from '../fixtures/raw.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { connect, SECRET, serviceToken } from '../helper.ts'

const PUBLISHES = 500
const PUBLISH_INTERVAL_MS = 20

interface Ground {
  environment: Record<string, string>
  nodes: [ServerProcess, ServerProcess]
  balancer: Balancer
}

async function startGround(t: Test, name: BalancerName): Promise<Ground> {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const environment = { REDIS_URL: redis.url, JWT_SECRET: SECRET, LOG_LEVEL: 'warn', RATE_LIMIT_MAX: '0', TRUST_PROXY: '127.0.0.1' }
  const nodes: [ServerProcess, ServerProcess] = [await ServerProcess.start(environment), await ServerProcess.start(environment)]
  t.teardown(() => Promise.all(nodes.map((node) => node.kill())))
  const balancer = await Balancer.start(name, [nodes[0].port, nodes[1].port])
  t.teardown(() => balancer.stop())
  return { environment, nodes, balancer }
}

/** Publishes at a steady rate until `isDone` and at least `PUBLISHES` were sent. Resolves with the answers that were not 202. */
async function publishSteadily(url: string, isDone: () => boolean): Promise<{ sent: number; failures: string[] }> {
  const failures: string[] = []
  const answers: Promise<void>[] = []
  const token = serviceToken()
  const publish = async (n: number): Promise<void> => {
    try {
      const answer = await fetch(`${url}/v1/notifications`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ to: `user-${n % 10}`, type: 't', title: String(n) })
      })
      await answer.arrayBuffer()
      if (answer.status !== 202) failures.push(`${n}: ${answer.status}`)
    } catch (error) {
      failures.push(`${n}: ${String((error as Error).cause ?? error)}`)
    }
  }
  while (answers.length < PUBLISHES || !isDone()) {
    answers.push(publish(answers.length))
    await new Promise((resolve) => setTimeout(resolve, PUBLISH_INTERVAL_MS))
  }
  await Promise.all(answers)
  return { sent: answers.length, failures }
}

/** Stops each node with SIGTERM and starts it again, one after the other. */
async function restartEach({ environment, nodes }: Ground): Promise<void> {
  for (const index of [0, 1] as const) {
    const { port } = nodes[index]
    nodes[index].signal('SIGTERM')
    const code = await nodes[index].exited
    if (code !== 0) throw new Error(`the node ended with ${code}: ${nodes[index].stderr}`)
    const node = new ServerProcess(port, environment)
    nodes[index] = node
    await node.until(() => node.ready(), 'ready')
    // As an orchestrator does: the next node is stopped only after the balancer had time to notice that this one is ready.
    await new Promise((resolve) => setTimeout(resolve, 3500))
  }
}

for (const name of ['haproxy.cfg', 'haproxy-tcp.cfg', 'Caddyfile'] as const) {
  t.test(`${name}: no publish fails in a rolling restart, and a WebSocket works`, async (t) => {
    const ground = await startGround(t, name)
    const { balancer } = ground
    const client = await connect(t, { socketUrl: balancer.url.replace('http', 'ws') }, 'user-0', { acks: true })
    await client.next('caughtUp')
    let isDone = false
    const restarting = restartEach(ground).finally(() => {
      isDone = true
    })
    const { sent, failures } = await publishSteadily(balancer.url, () => isDone)
    await restarting
    t.comment(`${sent} publishes, ${failures.length} failed`)
    t.ok(sent >= PUBLISHES)
    t.same(failures.slice(0, 5), [])
    t.equal(failures.length, 0, `of ${sent}`)
    t.equal((await client.whenClosed()).code, 4200, 'the node closed the socket with 4200 (draining)')
    t.ok(client.all('notification').length > 0)
  })
}

for (const name of ['haproxy.cfg', 'Caddyfile'] as const) {
  t.test(`${name}: /metrics is hidden, however it is written; a user of that name is not`, async (t) => {
    const { balancer, nodes } = await startGround(t, name)
    const paths = [
      '/metrics',
      '/%6detrics',
      '/%6D%65trics',
      '//metrics',
      '///metrics',
      '/%2fmetrics',
      '/./metrics',
      '/%2e/metrics',
      '/x/../metrics',
      '/x/%2e%2e/metrics',
      '/../metrics',
      '/metrics/',
      '/metrics?x=1',
      '/metrics#x',
      '/metrics%3fx',
      '/metrics;x',
      '/METRICS',
      'http://x/metrics',
      'http://x/%6detrics'
    ]
    for (const path of paths) {
      const answer = await send(t, balancer.url, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
      t.not(answer.status, 200, path)
      t.notMatch(answer.body, /belfry_/, path)
    }
    t.match(await (await fetch(`${nodes[0].url}/metrics`)).text(), /belfry_/, 'a node itself has it')
    const headers = { authorization: `Bearer ${serviceToken()}` }
    for (const user of ['metrics', 'a%2F..%2Fb', 'a%2F%2Fb', 'x%2Fmetrics'])
      t.equal((await fetch(`${balancer.url}/v1/users/${user}/queue`, { headers })).status, 200, user)
  })
}

t.test('a draining node is not ready and answers; a stopping one answers health and metrics', async (t) => {
  const { nodes } = await startGround(t, 'haproxy.cfg')
  const [node] = nodes
  node.signal('SIGTERM')
  await until(async () => !(await node.ready()), 'the node to drain')
  const start = Date.now()
  t.match(await (await fetch(`${node.url}/health/ready`)).json(), { ready: false, checks: { node: 'draining' } })
  const headers = { authorization: `Bearer ${serviceToken()}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ to: 'late', type: 't', title: 'x' })
  const answer = await fetch(`${node.url}/v1/notifications`, { method: 'POST', headers, body })
  t.equal(answer.status, 202)
  t.equal(answer.headers.get('connection'), 'close', 'its client goes elsewhere')
  t.equal((await fetch(`${node.url}/metrics`)).status, 200)
  const client = await connect(t, node, 'late')
  t.match(await client.next('notification'), { notification: { title: 'x' } })
  t.equal((await client.whenClosed()).code, 4200)
  t.ok(Date.now() - start > 1000, 'after DRAIN_DELAY_MS')
  t.equal(await node.exited, 0)
})
