import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, startService } from '../helper.ts'

const HOUR = 3_600_000

t.test('a step of the wall clock stops no heartbeat, keeps no dead socket, trims no young row, and does not change the rate', async (t) => {
  const { now } = Date
  let step = 0
  Date.now = () => now() + step
  t.teardown(() => {
    Date.now = now
  })
  const service = await startService(t, { WS_PING_INTERVAL_MS: '200', RETENTION_SECONDS: '1800' }, { timeouts: { pongMs: 400 } })
  const send = async () => (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 't', title: 'x' })).body.results[0]
  const parked = async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.parked
  await send()
  const alive = await ready(t, service, 'alice', { deviceId: 'alive', acks: true })
  const dead = await connect(t, service, 'alice', { deviceId: 'dead', autoPong: false })
  await dead.next('hello')
  step = -HOUR
  await alive.next('ping')
  await alive.next('ping')
  t.match(await dead.until(() => dead.closed, 'close'), { code: 4201 }, 'a socket without a pong is closed while the clock is behind')
  step = HOUR / 2 + 60_000
  for (let n = 0; n < 14; n++) await send()
  t.equal(
    (await call(service, 'GET', '/v1/users/alice/notifications?limit=1')).body.unread >= 11,
    true,
    'the row from before the step is not trimmed'
  )
  const { items } = (await call(service, 'GET', '/v1/users/alice/notifications?limit=100')).body
  t.ok(items.length >= 11, 'the row from before the step is not trimmed')
  step = 0
  await until(async () => (await parked()) === 0, 'every parked notification is released')
})
