import { IncomingMessage } from 'node:http'
import v8 from 'node:v8'
import t, { type Test } from 'tap'
import { writeCalls } from '../../bench/cpu.ts'
import { openMany, type RawSocket } from '../../bench/raw-socket.ts'
import { storeSettings } from '../../bench/store-settings.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { type MonitoredCommand, monitorCommands } from '../fixtures/redis-monitor.ts'
import { until } from '../fixtures/wait.ts'
import { call, ready, SECRET, serviceToken, startService, type TestService, userToken } from '../helper.ts'

// Counts of the benchmark. They do not depend on the machine, so they must not grow.

async function watch(t: Test, redis: RedisServer): Promise<{ commands: MonitoredCommand[]; settled: () => Promise<void> }> {
  const client = redis.client()
  const commands: MonitoredCommand[] = []
  const marks = new Set<string>()
  await monitorCommands(t, redis, (command) => {
    if (command.name === 'echo') marks.add(command.args[0] ?? '')
    else commands.push(command)
  })
  let count = 0
  const settled = async (): Promise<void> => {
    const mark = `mark-${count++}`
    await client.echo(mark)
    await until(() => marks.has(mark), 'the monitor has seen everything')
  }
  return { commands, settled }
}

function publish(service: Pick<TestService, 'url'>, to: string, title = 'A'): Promise<{ status: number }> {
  return call(service as TestService, 'POST', '/v1/notifications', { to, type: 'a', title })
}

/** Returns the round trips that concern a user. */
function tripsOf(commands: MonitoredCommand[], user: string): MonitoredCommand[] {
  return commands.filter(({ isInScript, args }) => !isInScript && args.some((arg) => arg.includes(user)))
}

t.test('a publish is one round trip, wakes the nodes that hold the user, and no other', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const [one, two, idle] = [
    await startService(t, { REDIS_URL: redis.url }),
    await startService(t, { REDIS_URL: redis.url }),
    await startService(t, { REDIS_URL: redis.url })
  ]
  const here = await ready(t, one, 'alice', { deviceId: 'a' })
  const there = await ready(t, two, 'alice', { deviceId: 'b' })
  await publish(one, 'alice')
  await there.next('notification')
  const { commands, settled } = await watch(t, redis)
  const count = 8
  for (let n = 0; n < count; n++) await publish(one, 'alice', `Number ${n}`)
  await until(() => [here, there].every((client) => client.all('notification').length === count + 1))
  await settled()
  t.same(
    tripsOf(commands, 'alice').map(({ name }) => name),
    Array(count).fill('evalsha')
  )
  const channels = commands.filter(({ name }) => name === 'spublish').map(({ args }) => args[0] ?? '')
  t.equal(channels.filter((channel) => channel.endsWith(`:${one.app.node}`)).length, count)
  t.equal(channels.filter((channel) => channel.endsWith(`:${two.app.node}`)).length, count)
  t.equal(channels.length, 2 * count)
  t.equal(idle.app.counters.wakeUps, 0)

  const options = [{ ttl: 3600 }, { collapseKey: 'k' }, { collapseKey: 'k' }, { ttl: 3600, collapseKey: 'k', urgency: 'high' }]
  for (const each of options) await call(one, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: 'A', ...each })
  await settled()
  t.same(
    tripsOf(commands, 'bob').map(({ name }) => name),
    options.map(() => 'evalsha'),
    'also with a lifetime or a collapse key'
  )
})

t.test('the presence of online users is renewed by a sweep, in no more commands for 500 users than for one', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const checkMs = 15_000
  let now = Date.now()
  const presence = { graceMs: checkMs, checkMs }
  const settings = { ...storeSettings, webhookEvents: ['user.offline' as const], presence, clock: () => now }
  const store = new RedisStore(settings, { url: redis.url, keyPrefix: 'belfry', waitReplicas: 0 })
  t.teardown(() => store.close())
  await store.open('one', { wake() {}, kick() {}, suspect() {}, status() {} })
  const { commands, settled } = await watch(t, redis)
  const renew = async (): Promise<{ checked: number; scripts: number }> => {
    now += checkMs
    await settled()
    const before = commands.length
    const { checked } = await store.sweep()
    await settled()
    // Only the commands of the sweep carry this time: heartbeats come in between.
    const ofSweep = commands.slice(before).filter(({ isInScript, args }) => !isInScript && args.includes(String(now)))
    return { checked, scripts: ofSweep.length }
  }
  const arrive = async (user: string): Promise<void> => {
    const connections = [{ connectionId: user, deviceId: 'tab', connectedAt: now, node: 'one', address: '' }]
    await store.attach({ user, deviceId: 'tab', start: { at: 'latest' }, connections, issuedAt: now, seen: undefined, limit: 1 })
    await store.outbox.notePresence(user, 'arrived')
  }
  await arrive('user-0')
  await renew()
  const one = await renew()
  t.equal(one.checked, 1)
  t.ok(one.scripts > 0)
  for (let number = 1; number < 500; number++) await arrive(`user-${number}`)
  const many = await renew()
  t.equal(many.checked, 500)
  t.ok(many.scripts <= one.scripts, `${many.scripts} commands, and ${one.scripts} for one`)
})

t.test('a resume is one read: registering, the backlog and the states come in one round trip', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const service = await startService(t, { REDIS_URL: redis.url, RATE_LIMIT_MAX: '0' })
  const first = await ready(t, service, 'alice', { deviceId: 'a', acks: true })
  await first.close()
  await until(() => service.app.connections.count === 0)
  for (let n = 0; n < 20; n++) await publish(service, 'alice', `Number ${n}`)
  const { commands, settled } = await watch(t, redis)
  const { reads } = service.app.counters
  const again = await ready(t, service, 'alice', { deviceId: 'a' })
  await settled()
  t.equal(again.all('notification').length, 20)
  t.equal(service.app.counters.reads - reads, 1)
  t.same(
    tripsOf(commands, 'alice').map(({ name }) => name),
    ['evalsha']
  )
})

t.test(
  'writes: three for a single publish, and one for all frames a socket gets at once',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const redis = await RedisServer.start()
    t.teardown(() => redis.stop())
    const environment = { JWT_SECRET: SECRET, REDIS_URL: redis.url, RATE_LIMIT_MAX: '0', LOG_LEVEL: 'silent' }
    const node = await ServerProcess.start(environment)
    t.teardown(() => node.kill())
    const pid = node.child.pid ?? 0
    const client = await ready(t, node, 'alice', { deviceId: 'a' })

    // Timers of the node add calls, more of them on a busy machine: the smallest of some rounds is the cost of a publish.
    const count = 50
    const rounds: number[] = []
    for (let round = 0; round < 5; round++) {
      const before = writeCalls(pid)
      for (let n = 0; n < count / 5; n++) {
        await publish(node, 'alice', `Number ${n}`)
        await until(() => client.all('notification').length === (round * count) / 5 + n + 1)
      }
      rounds.push((writeCalls(pid) - before) / (count / 5))
    }
    const singles = Math.min(...rounds)
    t.ok(singles >= 2 && singles <= 3.5, `to Redis, to the publisher, to the socket: ${singles} (${rounds.join(', ')})`)

    const notifications = Array.from({ length: count }, () => ({ to: 'alice', type: 'a', title: 'In a batch' }))
    const beforeBatch = writeCalls(pid)
    await call(node as unknown as TestService, 'POST', '/v1/notifications/batch', { notifications }, { token: serviceToken() })
    await until(() => client.all('notification').length === 2 * count)
    const batch = writeCalls(pid) - beforeBatch
    t.ok(batch > 0 && batch <= 20, `${count} in a batch: ${batch} writes`)
  }
)

t.test('an idle connection keeps no object of its upgrade request', async (t) => {
  const service = await startService(t)
  const count = 50
  let caughtUp = 0
  const text = (_socket: RawSocket, payload: Buffer): void => {
    if (payload.includes('"caughtUp"')) caughtUp += 1
  }
  const port = Number(new URL(service.url).port)
  const target = (index: number) => ({ port, path: '/v1/ws', token: userToken(`user-${index}`) })
  const sockets = await openMany(count, target, { text, close: () => undefined })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await until(() => caughtUp === count)
  t.equal(service.app.connections.count, count)
  const { queryObjects } = v8 as unknown as { queryObjects(kind: unknown, options: { format: 'count' }): number }
  await until(() => queryObjects(IncomingMessage, { format: 'count' }) === 0, 'no IncomingMessage is left')
})
