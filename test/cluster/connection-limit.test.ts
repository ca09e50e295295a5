import t from 'tap'
import { ServerProcess } from '../fixtures/node-process.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, SECRET, type TestService, userToken } from '../helper.ts'

const SETTINGS = { MAX_CONNECTIONS_PER_USER: '2', JWT_SECRET: SECRET, LOG_LEVEL: 'silent' }

t.test('the connection limit holds across nodes, also when one is killed', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const start = async (): Promise<ServerProcess> => {
    const node = await ServerProcess.start({ ...SETTINGS, REDIS_URL: redis.url })
    t.teardown(() => node.kill())
    return node
  }
  const [one, two] = [await start(), await start()]
  const service = two as unknown as TestService
  const devices = async (): Promise<string[]> => {
    const { body } = await call(service, 'GET', '/v1/users/alice/connections')
    return body.items.map(({ deviceId }: { deviceId: string }) => deviceId).sort()
  }

  const phone = await ready(t, one, 'alice', { deviceId: 'phone' })
  await ready(t, one, 'alice', { deviceId: 'laptop' })

  await ready(t, two, 'alice', { deviceId: 'phone' })
  t.same(await phone.whenClosed(), { code: 4004, reason: 'connection limit: a newer connection of the device took this place' })
  await until(async () => (await devices()).join() === 'laptop,phone')

  const refused = await connect(t, two, 'alice', { deviceId: 'tablet' })
  t.same(await refused.whenClosed(), { code: 4004, reason: 'connection limit' }, 'refused with 4004 while every node is alive')

  one.signal('SIGKILL')
  await one.exited
  const early = await connect(t, two, 'alice', { deviceId: 'tablet' })
  t.same(
    await early.whenClosed(),
    { code: 4105, reason: 'connection limit for now' },
    'refused with 4105 after a kill: places may become free'
  )
  t.match(early.all('bye')[0], { code: 4105 })

  await ready(t, two, 'alice', { deviceId: 'laptop' })
  t.same((await devices()).filter((device) => device === 'laptop').length, 1, 'a device of the dead node takes its own place again')
})

t.test('an event stream over the connection limit is refused', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const node = await ServerProcess.start({ ...SETTINGS, MAX_CONNECTIONS_PER_USER: '1', REDIS_URL: redis.url })
  t.teardown(() => node.kill())
  await ready(t, node, 'bob', { deviceId: 'phone' })
  const response = await fetch(`${node.url}/v1/sse?device_id=tablet&token=${userToken('bob')}`)
  t.match(await response.text(), /retry: 60000\ndata: \{"type":"bye","code":4004/)
})
