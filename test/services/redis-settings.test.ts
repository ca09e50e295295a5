import t, { type Test } from 'tap'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import type { StoreSettings } from '../../services/store/store.ts'
import { Follower } from '../fixtures/follower.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { command, settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'

const server = await RedisServer.start()
t.teardown(() => server.stop())
let names = 0

async function open(t: Test, keyPrefix: string, overrides: Partial<StoreSettings>, warnings: string[] = []): Promise<Follower> {
  const log = { info: () => undefined, warn: (message: string) => warnings.push(message) }
  const store = new RedisStore({ ...settings, ...overrides }, { url: server.url, keyPrefix, waitReplicas: 0, log })
  t.teardown(() => store.close())
  names += 1
  return await new Follower(`node-${names}`, store).open()
}

t.test('nodes with different settings are logged at the start and while they run; a rolling restart ends it', async (t) => {
  const first: string[] = []
  const second: string[] = []
  const one = await open(t, 'differ', { rateLimit: 10 }, first)
  const same = await open(t, 'differ', { rateLimit: 10 })
  t.equal(one.store.differingNodes(), 0)
  const two = await open(t, 'differ', { rateLimit: 20, retentionMs: 60_000 }, second)
  t.equal(two.store.differingNodes(), 2)
  const differences = 'RATE_LIMIT_MAX 10 (here 20), RETENTION_SECONDS 3600 (here 60)'
  t.match(second[0], `${one.node} has ${differences}`)
  t.match(second[0], `${same.node} has ${differences}`)
  await until(() => one.store.differingNodes() === 1, 'the others notice', 8000)
  t.match(first, [`${two.node} has RATE_LIMIT_MAX 20 (here 10), RETENTION_SECONDS 60 (here 3600)`])

  await same.store.close()
  await one.store.close()
  const again = await open(t, 'differ', { rateLimit: 20, retentionMs: 60_000 })
  t.equal(again.store.differingNodes(), 0)
  await until(() => two.store.differingNodes() === 0, 'all settings are equal', 8000)
  t.equal(second.length, 1, 'each difference is logged once')
  t.same((await server.admin().hkeys('differ:settings')).sort(), [again.node, two.node].sort(), 'no settings of nodes that ended')
})

t.test('a shorter window after a restart: parked notifications are released on the new schedule', async (t) => {
  const before = await open(t, 'window', { rateLimit: 1, rateWindowMs: 3_600_000 })
  for (const user of ['a', 'b']) {
    await before.store.publish(command(user))
    t.match(await before.store.publish(command(user)), { status: 'parked' })
  }
  await before.store.close()
  const after = await open(t, 'window', { rateLimit: 1, rateWindowMs: 1000 })
  let released = 0
  const sweep = async (): Promise<boolean> => {
    released += (await after.store.sweep()).released
    return released === 2
  }
  await until(sweep, 'both are released', 5000)
  t.match(await after.store.queue('a'), { parked: 0, head: { offset: 2 } })
})
