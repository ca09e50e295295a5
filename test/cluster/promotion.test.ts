import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { bucketOf, Keys, SLOTS, slotOfUser } from '../../services/store/redis/keys.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { RedisCluster, type RedisClusterOptions, type RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, SECRET, serviceToken, startService, type TestClient, type TestService, temporaryFolder } from '../helper.ts'

/** Longest time without an accepted publish to users of the other masters, milliseconds. */
const OTHERS_GAP_MAX_MS = 3000
/** Longest time from the promotion, or from the master's return, to an accepted publish to its users, milliseconds. */
const RECOVERY_MAX_MS = 5000
/** Shortest time without an accepted direct write that counts as a stall of Redis, milliseconds. */
const STALL_MS = 100
/** Time for which a master accepts no write, as in a failover without a majority, milliseconds: longer than the store waits for a command. */
const HELD_BACK_MS = 2000
/** Most `CLUSTER SLOTS` calls of a node a second during a failure: 2.5 refreshes of three servers each, and some room. */
const SLOTS_CALLS_A_SECOND = 9

/** Publishes to one user without pause, on the nodes by turns, and records the time of each 202. */
class Load {
  readonly user: string
  readonly ids: string[] = []
  readonly acceptedAt: number[] = []
  readonly statuses = new Map<number, number>()
  readonly #nodes: TestService[]
  readonly #done: Promise<void>
  #stopping = false

  constructor(user: string, nodes: TestService[]) {
    this.user = user
    this.#nodes = nodes
    this.#done = this.#run()
  }

  /** Returns the longest time without an accepted publish since `since`, milliseconds. With `writes`, times in which Redis accepted none do not count. */
  longestGap(since: number, writes?: DirectWrites): number {
    const times = [since, ...this.acceptedAt.filter((at) => at >= since), performance.now()]
    const gaps = times.slice(1).map((to, index) => ({ from: times[index] as number, to }))
    return Math.max(...gaps.map(({ from, to }) => to - from - (writes?.stalled(from, to) ?? 0)))
  }

  /** Waits until a publish is accepted after `since`. Resolves with the time of the first one. */
  async acceptedAfter(since: number, ms: number): Promise<number> {
    await until(() => (this.acceptedAt.at(-1) ?? 0) > since, `a publish to ${this.user} is accepted`, ms)
    return this.acceptedAt.find((at) => at > since) as number
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#done
  }

  async #run(): Promise<void> {
    for (let number = 0; !this.#stopping; number++) {
      const node = this.#nodes[number % this.#nodes.length] as TestService
      const { status, body } = await call(node, 'POST', '/v1/notifications', { to: this.user, type: 'a', title: `n${number}` })
      this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
      if (status === 202) {
        this.acceptedAt.push(performance.now())
        this.ids.push(body.id)
      }
      await pause(20)
    }
  }
}

/** Writes to the slot of a user on each of the given servers without pause, as plain clients that follow no failover, and records when a server accepts. */
class DirectWrites {
  readonly acceptedAt: number[] = []
  readonly #done: Promise<unknown>
  #stopping = false

  constructor(user: string, servers: RedisServer[]) {
    const key = `${new Keys('belfry').due[bucketOf(user)]}:direct`
    this.#done = Promise.all(servers.map((server) => this.#write(server.client(), key)))
  }

  /** Returns how long of the time between two times no server accepted a write, milliseconds. Shorter stalls than `STALL_MS` do not count. */
  stalled(from: number, to: number): number {
    const times = [from, ...this.acceptedAt.filter((at) => at > from && at < to), to]
    const stalls = times.slice(1).map((at, index) => at - (times[index] as number))
    return stalls.filter((ms) => ms >= STALL_MS).reduce((sum, ms) => sum + ms, 0)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#done
  }

  async #write(client: Redis, key: string): Promise<void> {
    while (!this.#stopping) {
      // The replica answers MOVED until it is promoted, the old master from then on.
      const accepted = await client.set(key, '').then(
        () => true,
        () => false
      )
      if (accepted) this.acceptedAt.push(performance.now())
      await pause(10)
    }
  }
}

interface Scene {
  cluster: RedisCluster
  nodes: TestService[]
  environment: Record<string, string>
  /** A load for one user of each master, in the order of `cluster.servers`. */
  loads: Load[]
  /** The devices of each of those users: one on each node. */
  devices: TestClient[][]
}

/** Returns a user whose slot is in this third of the slots. */
function userOf(third: number): string {
  const names = Array.from({ length: 1000 }, (_, number) => `user-${number}`)
  return names.find((name) => Math.floor((slotOfUser(name) * 3) / SLOTS) === third) as string
}

/** Starts two nodes on a Cluster, and for one user of each master a publisher and a device on each node. */
async function start(t: Test, options: RedisClusterOptions): Promise<Scene> {
  const cluster = await RedisCluster.start({ appendonly: 'yes', appendfsync: 'always', ...options })
  t.teardown(() => cluster.stop())
  const environment = { REDIS_CLUSTER_NODES: cluster.nodes.join(','), RATE_LIMIT_MAX: '0' }
  const nodes = [await startService(t, environment), await startService(t, environment)]
  const users = [0, 1, 2].map(userOf)
  const devices = await Promise.all(
    users.map((user) => Promise.all(nodes.map((node, index) => ready(t, node, user, { deviceId: `d${index}`, acks: true }))))
  )
  const loads = users.map((user) => new Load(user, nodes))
  t.teardown(() => Promise.all(loads.map((load) => load.stop())))
  await Promise.all(loads.map((load) => load.acceptedAfter(performance.now(), 5000)))
  return { cluster, nodes, environment, loads, devices }
}

/** Asserts that every device received what was accepted for its user, once, in order, on its first socket. */
async function received(t: Test, { loads, devices }: Scene): Promise<void> {
  for (const [index, load] of loads.entries()) {
    for (const device of devices[index] as TestClient[]) {
      const ids = (): string[] => device.all('notification').map(({ notification }) => notification.id)
      const accepted = new Set(load.ids)
      await device.until(() => (ids().filter((id) => accepted.has(id)).length >= accepted.size ? true : undefined), `all of ${load.user}`)
      const got = ids()
      t.equal(new Set(got).size, got.length, 'nothing twice')
      t.same(
        got.filter((id) => accepted.has(id)),
        load.ids,
        'everything, in order'
      )
      t.equal(device.all('gap').length, 0, 'no gap')
      t.equal(device.closed, undefined, 'the socket stayed open')
    }
  }
}

async function readiness(node: TestService): Promise<{ status: number; store: string }> {
  const { status, body } = await call(node, 'GET', '/health/ready')
  return { status, store: body.checks.store }
}

async function allReady(nodes: TestService[]): Promise<void> {
  for (const node of nodes) await until(async () => (await readiness(node)).store === 'ok', 'ready')
}

/** Counts the `CLUSTER SLOTS` calls that the masters answered. */
async function slotsCalls(servers: RedisServer[]): Promise<number> {
  const counts = servers.map(async (server) => {
    const stats = await server.admin().info('commandstats')
    return Number(/cmdstat_cluster\|slots:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  })
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

for (const fullCoverage of [true, false]) {
  const coverage = `cluster-require-full-coverage ${fullCoverage ? 'yes' : 'no'}`
  t.test(
    `a master is killed and its replica promoted: other users are not affected, its users recover, nothing is lost (${coverage})`,
    async (t) => {
      const scene = await start(t, { replicated: true, promotes: true, fullCoverage })
      const { cluster, nodes, environment, loads, devices } = scene
      const [dead, ...others] = loads as [Load, Load, Load]
      const master = cluster.servers[0]
      await cluster.holdWrites(0)
      await master?.kill()
      const killed = performance.now()
      const asked = cluster.servers.slice(1)
      const before = await slotsCalls(asked)

      await until(async () => (await readiness(nodes[0] as TestService)).store !== 'ok', 'the node notices')
      t.ok(performance.now() - killed < 1000, 'within a second')
      t.same(await readiness(nodes[0] as TestService), { status: 200, store: 'partly away: slots 0-5461' }, 'the node stays ready')
      const began = performance.now()
      const refused = await call(nodes[1] as TestService, 'POST', '/v1/notifications', { to: dead.user, type: 'a', title: 'x' })
      t.match(refused, { status: 503, body: { code: 'BELFRY_ERR_STORE_UNAVAILABLE' } })
      t.ok(refused.headers.get('retry-after'))
      t.ok(performance.now() - began < 500, 'its users are refused at once')
      await t.rejects(connect(t, nodes[0] as TestService, dead.user), /503/, 'and so are new connections of its users')
      const late = startService(t, environment)
      if (!fullCoverage) await ready(t, await late, others[0].user)

      const { promoted } = await cluster.promotion(0)
      const promotedAt = performance.now()
      const measured = await slotsCalls(asked)
      const rate = (measured - before) / ((promotedAt - killed) / 1000)
      t.ok(rate < SLOTS_CALLS_A_SECOND * 3, `${rate.toFixed(1)} CLUSTER SLOTS a second of three nodes`)
      const back = (await dead.acceptedAfter(promotedAt, RECOVERY_MAX_MS)) - promotedAt
      t.ok(back < RECOVERY_MAX_MS, `its users recover ${Math.round(back)} ms after the promotion, ${Date.now() - promoted} ms in all`)
      const fresh = await late
      await allReady([...nodes, fresh])
      const witness = await ready(t, fresh, dead.user)
      const [, device] = devices[0] as [TestClient, TestClient]
      const seen = device.all('notification').length
      await until(() => device.all('notification').length > seen, 'wake-ups arrive on the new master')
      await witness.next('notification')
      for (const load of others) {
        const gap = load.longestGap(killed)
        t.ok(gap < OTHERS_GAP_MAX_MS, `a user of another master had no accepted publish for ${Math.round(gap)} ms`)
      }
      t.comment(
        `promoted after ${Math.round(promotedAt - killed)} ms; its users had no accepted publish for ${Math.round(dead.longestGap(killed))} ms`
      )

      await master?.run()
      await cluster.inStep(0)
      const returned = performance.now()
      await pause(2000)
      for (const load of loads) t.ok(load.longestGap(returned) < 1000, 'the return of the old master as a replica interrupts no publish')
      await Promise.all(loads.map((load) => load.stop()))
      await received(t, scene)
    }
  )
}

t.test(
  'a master hangs, its replica is promoted, and the old master resumes: its users recover, other users are not affected',
  async (t) => {
    const scene = await start(t, { replicated: true, promotes: true })
    const { cluster, loads, nodes } = scene
    const [hung, ...others] = loads as [Load, Load, Load]
    const master = cluster.servers[0]
    await cluster.holdWrites(0)
    master?.pause()
    const paused = performance.now()
    await cluster.promotion(0)
    const promotedAt = performance.now()
    const back = (await hung.acceptedAfter(promotedAt, RECOVERY_MAX_MS)) - promotedAt
    t.ok(back < RECOVERY_MAX_MS, `recovered ${Math.round(back)} ms after the promotion`)
    await pause(1000)
    master?.resume()
    await cluster.inStep(0)
    await allReady(nodes)
    for (const load of others)
      t.ok(load.longestGap(paused) < OTHERS_GAP_MAX_MS, `no accepted publish for ${Math.round(load.longestGap(paused))} ms`)
    await Promise.all(loads.map((load) => load.stop()))
    await received(t, scene)
  }
)

t.test('a planned failover and a slot that moves add little to the time in which Redis accepts no write', async (t) => {
  const scene = await start(t, { replicated: true })
  const { cluster, loads, nodes } = scene
  const [moved, user] = [loads[1] as Load, (loads[0] as Load).user]
  const writes = new DirectWrites(user, [cluster.servers[0] as RedisServer, cluster.replicas[0] as RedisServer])
  t.teardown(() => writes.stop())
  const since = performance.now()
  // As long as the failover takes, Redis holds the writes back: for 5 s if it is abandoned. A publish that waits longer than a command may is 503.
  await cluster.servers[0]?.admin().call('CLIENT', 'PAUSE', HELD_BACK_MS, 'WRITE')
  await pause(HELD_BACK_MS)
  await cluster.failover(0)
  await allReady(nodes)
  await cluster.moveSlot(slotOfUser(moved.user), 1, 2, 1)
  await Promise.all(loads.map((load) => load.acceptedAfter(performance.now(), RECOVERY_MAX_MS)))
  t.ok(writes.stalled(since, performance.now()) >= HELD_BACK_MS - STALL_MS, 'the writes were held back')
  for (const [index, load] of loads.entries()) {
    const gap = load.longestGap(since, index === 0 ? writes : undefined)
    t.ok(
      gap < OTHERS_GAP_MAX_MS,
      `the user of master ${index} had no accepted publish for ${Math.round(gap)} ms in which Redis accepted writes`
    )
  }
  await Promise.all(loads.map((load) => load.stop()))
  await received(t, scene)
})

t.test('all masters are restarted: everything works within 5 s of their return', async (t) => {
  const scene = await start(t, {})
  const { cluster, loads, nodes } = scene
  await Promise.all(cluster.servers.map((server) => server.kill()))
  for (const node of nodes) await until(async () => (await readiness(node)).status === 503, 'not ready: no user can be served')
  await Promise.all(cluster.servers.map((server) => server.run()))
  const back = performance.now()
  await allReady(nodes)
  await Promise.all(loads.map((load) => load.acceptedAfter(back, RECOVERY_MAX_MS)))
  t.ok(performance.now() - back < RECOVERY_MAX_MS, `after ${Math.round(performance.now() - back)} ms`)
  await Promise.all(loads.map((load) => load.stop()))
  await received(t, scene)
})

t.test(
  'the master of the heartbeats, without a replica, is down for longer than a node may be silent: no live node is declared dead',
  async (t) => {
    const scene = await start(t, {})
    const { cluster, loads, nodes } = scene
    const home = await cluster.ownerOf(new Keys('belfry').nodesSlot)
    const others = loads.filter((_, index) => index !== home)
    const killed = performance.now()
    await cluster.servers[home]?.kill()
    const connections = async (user: string): Promise<number> => {
      const { body } = await call(nodes[0] as TestService, 'GET', `/v1/users/${user}/connections`, undefined, {
        token: serviceToken('admin')
      })
      return body.items.length
    }
    await pause(20_000)
    t.equal(await connections((others[0] as Load).user), 2, 'connections of users of other masters are listed during the outage')
    await cluster.servers[home]?.run()
    const back = performance.now()
    await (loads[home] as Load).acceptedAfter(back, RECOVERY_MAX_MS)
    await allReady(nodes)
    for (const load of others) t.ok(load.longestGap(killed) < 1500, `no accepted publish for ${Math.round(load.longestGap(killed))} ms`)
    await pause(4000)
    for (const load of loads) t.equal(await connections(load.user), 2, 'both nodes are in the registry')
    await Promise.all(loads.map((load) => load.stop()))
    await received(t, scene)
  }
)

t.test('a node that starts and dies while the master of the heartbeats is down is removed from the registry', async (t) => {
  const { cluster, loads, nodes, environment } = await start(t, {})
  const home = await cluster.ownerOf(new Keys('belfry').nodesSlot)
  const { user } = loads.find((_, index) => index !== home) as Load
  await cluster.servers[home]?.kill()
  const brief = await ServerProcess.start({ ...environment, JWT_SECRET: SECRET, LOG_LEVEL: 'silent' }, temporaryFolder(t))
  t.teardown(() => brief.kill())
  await ready(t, brief, user, { deviceId: 'brief' })
  await brief.kill()
  await cluster.servers[home]?.run()
  await allReady(nodes)
  const woken = async (): Promise<number> => {
    const { body } = await call(nodes[0] as TestService, 'POST', '/v1/notifications', { to: user, type: 'a', title: 'x' })
    return body.results[0].nodes
  }
  t.equal(await woken(), 3, 'the dead node is still registered')
  await until(async () => (await woken()) === 2, 'the dead node has left the registry', 40_000)
})
