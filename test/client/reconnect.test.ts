import t from 'tap'
import { Backoff } from '../../packages/client/src/backoff.ts'
import { Client } from '../../packages/client/src/client.ts'
import { until } from '../fixtures/wait.ts'
import { FakeClock, nodePlatform, tokenOf } from './fake-platform.ts'
import { connected, rig } from './rig.ts'

t.test('back-off: full jitter above a floor, up to a cap; a wait that the service asked for is added', async (t) => {
  const high = new Backoff(() => 0.999999)
  const waits = Array.from({ length: 12 }, () => Math.round(high.next()))
  t.same(waits, [750, 1250, 2250, 4250, 8250, 16_250, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000])
  const low = new Backoff(() => 0)
  t.equal(low.next(), 250)
  t.equal(low.next(), 250)
  low.reset()
  t.equal(low.next(1730, true), 1730, 'a slot of its own')
  t.equal(low.next(10, true), 260, 'later it is the least')
  t.equal(low.next(1730, true), 1980)
  low.reset()
  t.equal(low.next(1000), 1250, 'a wait that all clients were told is spread')
})

t.test('back-off: of 200 clients that lost their connection together fewer than 30 return within the same 25 ms', async (t) => {
  let n = 0
  const waits = Array.from({ length: 200 }, () => new Backoff(() => n++ / 200).next()).sort((a, b) => a - b)
  const crowds = waits.map((from) => waits.filter((wait) => wait >= from && wait < from + 25).length)
  t.ok(Math.max(...crowds) < 30, `${Math.max(...crowds)}`)
})

t.test('back-off grows until a connection was stable for 10 s', async (t) => {
  const { server, clock, client } = await connected(t)
  const drop = async (n: number, wait: number): Promise<void> => {
    server.last.close(4100)
    await until(() => client.state === 'connecting', 'the close')
    t.ok(clock.waits.includes(wait), `${wait} in ${clock.waits}`)
    clock.advance(wait)
    await server.connection(n)
    await until(() => client.state === 'connected', 'the next')
  }
  await drop(2, 500)
  await drop(3, 750)
  clock.advance(9_999)
  await drop(4, 1250)
  clock.advance(10_000)
  await drop(5, 500)
})

t.test('a refused upgrade is retried with back-off', async (t) => {
  const clock = new FakeClock()
  const client = new Client('http://127.0.0.1:1', { getToken: () => tokenOf('alice') }, nodePlatform(clock, { random: () => 0.5 }))
  t.teardown(() => client.disconnect())
  client.connect()
  for (const wait of [500, 750, 1250]) {
    await until(() => clock.waits.length === 1 && clock.waits[0] === wait, `a wait of ${wait}`)
    clock.advance(wait)
  }
  t.equal(client.state, 'connecting')
})

t.test('retry: names the wait, the close code and the reason before each attempt', async (t) => {
  let calls = 0
  const getToken = () => {
    if (++calls === 1) throw new Error('offline')
    return tokenOf('alice')
  }
  const { server, clock, client, heard } = await rig(t, { getToken })
  client.connect()
  await until(() => heard('retry').length === 1, 'the first wait')
  clock.advance(500)
  await client.ready()
  clock.advance(10_000)
  server.last.send({ type: 'bye', code: 4200, reason: 'draining', reconnectInMs: 1730 })
  server.last.close(4200, 'draining')
  await until(() => heard('retry').length === 2, 'the second wait')
  clock.advance(1730)
  await client.ready()
  server.last.terminate()
  await until(() => heard('retry').length === 3, 'the third wait')
  t.strictSame(heard('retry'), [
    { waitMs: 500, code: 1006, reason: 'Error: offline' },
    { waitMs: 1730, code: 4200, reason: 'draining' },
    { waitMs: 750, code: 1006, reason: '' }
  ])
  clock.advance(750)
  await client.ready()
  server.last.close(4003)
  await until(() => client.state === 'disconnected', 'the end')
  t.equal(heard('retry').length, 3, 'terminal has no retry')
})

t.test('close codes: bye names the wait, 4000-4099 and 1009 are final, after 4200-4299 the client reconnects at once', async (t) => {
  const rigged = await connected(t)
  const { server, clock, client, heard } = rigged
  server.last.send({ type: 'bye', code: 4200, reason: 'draining', reconnectInMs: 1730 })
  server.last.close(4200, 'draining')
  await until(() => client.state === 'connecting', 'the close')
  t.ok(clock.waits.includes(1730), String(clock.waits))
  clock.advance(1730)
  await server.connection(2)
  await until(() => client.state === 'connected', 'the second')
  clock.advance(10_000)
  server.last.close(4201)
  await until(() => client.state === 'connecting', 'the close')
  t.ok(clock.waits.includes(0), String(clock.waits))
  clock.advance(0)
  await server.connection(3)
  await until(() => client.state === 'connected', 'the third')
  server.last.close(4003, 'disconnected by an operator')
  await until(() => client.state === 'disconnected', 'the end')
  t.strictSame(heard('terminal'), [{ code: 4003, reason: 'disconnected by an operator', verdict: 'stop' }])
  t.same(clock.waits, [])
  client.connect()
  await client.ready()
  server.last.close(1009)
  await until(() => heard('terminal').length === 2, 'the end')
  t.equal(heard('terminal')[1]?.code, 1009)
})

t.test('close codes: 4100-4199 back off, also after a bye without a wait; repeated 4200-4299 back off too', async (t) => {
  const { server, clock, client } = await connected(t)
  const drop = async (code: number, wait: number): Promise<void> => {
    server.last.send({ type: 'bye', code, reason: 'why', reconnectInMs: 0 })
    server.last.close(code)
    await until(() => client.state === 'connecting', 'the close')
    t.ok(clock.waits.includes(wait), `${code}: ${wait} in ${clock.waits}`)
    clock.advance(wait)
    await until(() => client.state === 'connected', 'the next')
  }
  await drop(4104, 500)
  await drop(4104, 750)
  clock.advance(10_000)
  await drop(4202, 0)
  await drop(4202, 750)
})
