import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { listen } from '../../cli/listen.ts'
import { Output } from '../../cli/output.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { connect, SECRET, serviceToken, temporaryFolder, userToken } from '../helper.ts'

const PASSWORD = 'lettersAndDigits1'
const USERS = Array.from({ length: 20 }, (_, index) => `user-${index}`)
/** Concurrent publishes of the load. */
const PUBLISHERS = 4

const { services } = parse(await readFile('docker-compose.yml', 'utf8'), { merge: true }) as {
  services: { redis: { command: string[] }; node1: { environment: Record<string, string> } }
}

/** Fills in the variables that the compose file takes from its own environment. */
const filled = (text: string): string =>
  text.replace(/\$\{(\w+):\?[^}]*\}/g, (_, name: string) => ({ REDIS_PASSWORD: PASSWORD, JWT_SECRET: SECRET })[name] ?? '')

/** Starts the services of docker-compose.yml as processes, with its flags, environment and balancer configuration. Only addresses differ. */
async function startTopology(t: Test) {
  const redis = await RedisServer.start({ args: services.redis.command.slice(1).map(filled) })
  t.teardown(() => redis.stop())
  const compose = Object.fromEntries(Object.entries(services.node1.environment).map(([name, value]) => [name, filled(value)]))
  const environment = {
    ...compose,
    REDIS_URL: (compose.REDIS_URL ?? '').replace('redis:6379', `127.0.0.1:${redis.port}`),
    TRUST_PROXY: '127.0.0.1/32',
    LOG_LEVEL: 'warn',
    DATA_DIR: temporaryFolder(t)
  }
  const start = async (): Promise<ServerProcess> => {
    const node = await ServerProcess.start(environment)
    t.teardown(() => node.kill())
    return node
  }
  const node1 = await start()
  const node2 = await start()
  return { node1, node2, balancer: await startBalancer(t, [node1, node2]) }
}

async function startBalancer(t: Test, nodes: ServerProcess[]) {
  const port = await freePort()
  const file = join(temporaryFolder(t), 'haproxy.cfg')
  const addressed = nodes.reduce(
    (text, node, index) => text.replace(`node${index + 1}:3000`, `127.0.0.1:${node.port}`),
    (await readFile('deploy/haproxy.cfg', 'utf8')).replace('bind :3000', `bind 127.0.0.1:${port}`)
  )
  await writeFile(file, addressed)
  const haproxy = spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = once(haproxy, 'exit')
  t.teardown(async () => {
    haproxy.kill('SIGKILL')
    await exited
  })
  const url = `http://127.0.0.1:${port}`
  await until(
    () =>
      fetch(`${url}/health/ready`).then(
        ({ ok }) => ok,
        () => false
      ),
    'the balancer'
  )
  return { url, socketUrl: `ws://127.0.0.1:${port}` }
}

async function publish(url: string, body: unknown, key?: string) {
  const headers = { authorization: `Bearer ${serviceToken()}`, 'content-type': 'application/json', ...(key && { 'idempotency-key': key }) }
  const path = Array.isArray((body as { notifications?: unknown[] }).notifications) ? '/v1/notifications/batch' : '/v1/notifications'
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

/** Listens for a user as `belfry listen` does. Returns a list of titles that grows with each notification. */
function follow(t: Test, url: string, user: string): string[] {
  const titles: string[] = []
  const stdout = new PassThrough().on('data', (line) => {
    const frame = JSON.parse(String(line))
    titles.push(frame.type === 'notification' ? frame.notification.title : frame.type)
  })
  const controller = new AbortController()
  const command = { name: 'listen', json: true, url, user, token: undefined, device: 'laptop', from: 'earliest' } as const
  const source = { token: () => userToken(user), renewable: true }
  const done = listen(command, url, source, new Output(true, stdout, new PassThrough().resume()), controller.signal)
  t.teardown(() => {
    controller.abort()
    return done
  })
  return titles
}

t.test(
  'two nodes behind the balancer: a publish reaches the devices on both, and one node drains under load without a failed publish',
  async (t) => {
    const { node1, node2, balancer } = await startTopology(t)
    const here = await connect(t, node1, 'alice', { deviceId: 'laptop', acks: true })
    const there = await connect(t, node2, 'alice', { deviceId: 'phone', acks: true })
    await here.next('caughtUp')
    await there.next('caughtUp')
    const { status, body } = await publish(balancer.url, { to: 'alice', type: 'a', title: 'Through the balancer' })
    t.equal(status, 202)
    t.match(body, { durability: 'fsync', results: [{ status: 'accepted', nodes: 2 }] })
    t.equal((await here.next('notification')).notification.id, body.id)
    t.equal((await there.next('notification')).notification.id, body.id)
    const address = await fetch(`${balancer.url}/metrics`)
    t.equal(address.status, 404, 'metrics stay inside')

    const received = new Map(USERS.map((user) => [user, follow(t, balancer.url, user)]))
    const published = new Map(USERS.map((user) => [user, new Set<string>()]))
    const failures: unknown[] = []
    let count = 0
    let loaded = true
    const load = async (): Promise<void> => {
      while (loaded) {
        const title = `n${count++}`
        const user = USERS[count % USERS.length] as string
        const answer = await publish(balancer.url, { to: user, type: 'a', title }, title)
        if (answer.status === 202 || answer.status === 200) published.get(user)?.add(title)
        else failures.push(answer)
        await sleep(25)
      }
    }
    const publishers = Array.from({ length: PUBLISHERS }, load)
    await until(() => count > 60, 'the load')

    const witness = await connect(t, node2, 'batch-0')
    await witness.next('caughtUp')
    const notifications = Array.from({ length: 1000 }, (_, index) => ({ to: `batch-${index}`, type: 'a', title: 'In flight' }))
    const inFlight = publish(node1.url, { notifications })
    await witness.next('notification')
    const stoppedAt = performance.now()
    node1.signal('SIGTERM')

    const bye = await here.next('bye')
    t.equal(await node1.ready(), false, 'the node reported not ready before')
    t.match(bye, { code: 4200, reason: 'draining' })
    t.ok(bye.reconnectInMs >= 0 && bye.reconnectInMs <= 10_000)
    t.equal((await here.whenClosed()).code, 4200)
    const batch = await inFlight
    t.equal(batch.status, 202, 'the batch in flight was finished')
    t.equal(batch.body.results.filter((result: { id?: string }) => result.id !== undefined).length, 1000)
    t.equal(await node1.exited, 0)
    const took = (performance.now() - stoppedAt) / 1000
    t.ok(took < Number(services.node1.environment.CLOSE_GRACE_SECONDS), `the node ended in ${took.toFixed(1)} s`)
    t.equal(there.closed, undefined, 'the other node keeps its connections')

    const before = count
    await until(() => count > before + 60, 'more load')
    loaded = false
    await Promise.all(publishers)
    t.same(failures, [], 'the balancer hid the end of the node from publishers')
    for (const [user, titles] of published) {
      const got = received.get(user) ?? []
      await until(() => got.length >= titles.size, `all of ${user}`)
      t.same([...got].sort(), [...titles].sort(), `${user} got each once`)
    }
    const back = await connect(t, balancer, 'alice', { deviceId: 'laptop' })
    t.match(await back.next('hello'), { resume: { status: 'resumed' } })
  }
)
