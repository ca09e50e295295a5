import t from 'tap'
import type { BelfryOptions } from '../../packages/client/src/types.ts'
import { until } from '../fixtures/wait.ts'
import { tokenOf } from './fake-platform.ts'
import { FakeServer, helloFrame } from './fake-server.ts'
import { connected, rig } from './rig.ts'

t.test('4001 fetches one new token; a second 4001 in a row is terminal and names the reason', async (t) => {
  const asked: string[] = []
  const rigged = await rig(t, {
    getToken: ({ reason }) => {
      asked.push(reason)
      return tokenOf('alice', { no: asked.length })
    }
  })
  const { server, client, clock, heard } = rigged
  const good = server.greet
  server.greet = (connection) => connection.close(4001, 'token_expired')
  client.connect()
  await server.connection(1)
  await until(() => clock.waits.includes(500), 'the wait')
  server.greet = good
  clock.advance(500)
  await client.ready()
  t.same(asked, ['connect', 'unauthorized'])
  t.not(server.connections[0]?.token, server.connections[1]?.token)
  server.greet = (connection) => connection.close(4001, 'token_revoked')
  server.last.close(4001, 'token_revoked')
  await until(() => clock.waits[0] === 1750, 'the wait, a second longer')
  clock.advance(1750)
  await until(() => client.state === 'disconnected', 'the end')
  t.strictSame(heard('terminal'), [{ code: 4001, reason: 'token_revoked', verdict: 'stop' }])
  t.same(asked, ['connect', 'unauthorized', 'unauthorized'])
  t.equal(server.connections.length, 3)
  server.greet = good
  client.connect()
  await client.ready()
  t.equal(server.connections.length, 4)
})

t.test('a token fetched for an earlier attempt and revoked since is not terminal', async (t) => {
  const asked: string[] = []
  const { server, client, clock, heard } = await rig(t, {
    getToken: ({ reason }) => {
      asked.push(reason)
      return tokenOf('alice', { no: asked.length })
    }
  })
  const good = server.greet
  const ends: [code: number, reason: string][] = [
    [4001, 'token_revoked'],
    [4100, 'server error'],
    [4001, 'token_revoked']
  ]
  server.greet = (connection) => {
    const [code, reason] = ends.shift() as [number, string]
    connection.close(code, reason)
  }
  client.connect()
  for (let number = 1; number <= 3; number++) {
    await server.connection(number)
    await until(() => clock.waits.length === 1 && (clock.waits[0] as number) < 10_000, 'the wait')
    if (number === 3) server.greet = good
    clock.advance(10_000)
  }
  await client.ready()
  t.same(asked, ['connect', 'unauthorized', 'unauthorized'])
  t.same(heard('terminal'), [])
})

t.test('20 clients whose key was rotated make two attempts each, and connect with a good token', async (t) => {
  const server = await FakeServer.start(t)
  const good = server.greet
  let key = 'old'
  server.greet = (connection) =>
    connection.token.includes(tokenOf('alice', { key: 'new' })) ? good(connection) : connection.close(4001, 'token_invalid')
  const rigs = await Promise.all(Array.from({ length: 20 }, () => rig(t, { getToken: () => tokenOf('alice', { key }) }, {}, server)))
  for (const { client } of rigs) client.connect()
  await until(() => server.connections.length === 20 && rigs.every(({ clock }) => clock.waits[0] === 500), '20 refusals')
  for (const { clock } of rigs) clock.advance(500)
  await until(() => rigs.every(({ client }) => client.state === 'disconnected'), '20 ends')
  t.equal(server.connections.length, 40)
  key = 'new'
  for (const { client } of rigs) client.connect()
  await Promise.all(rigs.map(({ client }) => client.ready()))
  t.equal(server.connections.length, 60)
})

t.test('a getToken that throws fires error and is called again', async (t) => {
  let calls = 0
  const rigged = await rig(t, {
    getToken: async () => {
      if (++calls === 1) throw new Error('offline')
      return calls === 2 ? '' : tokenOf('alice')
    }
  })
  const { client, clock, heard, server } = rigged
  client.connect()
  for (const wait of [500, 750]) {
    await until(() => clock.waits[0] === wait, `a wait of ${wait}`)
    clock.advance(wait)
  }
  await client.ready()
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN', message: 'Error: offline' }, { message: /gave no token/ }])
  t.equal(server.connections.length, 1)
})

t.test('a getToken that gives no token fires error each time, warns once, and is called again', async (t) => {
  const html = '<!doctype html><title>Sign in</title>'
  const kinds: unknown[] = [html, { token: 'x' }, 'Bearer abc.def.ghi', '{"token":"x"}', 'not a token', undefined, 7, '[object Object]']
  const warnings: string[] = []
  let calls = 0
  const getToken = () => (calls < kinds.length ? kinds[calls++] : ` ${tokenOf('alice')}\n`) as string
  const { client, clock, heard, server } = await rig(t, { getToken }, { random: () => 0, warn: (text) => void warnings.push(text) })
  client.connect()
  for (let n = 1; n <= kinds.length; n++) {
    await until(() => heard('error').length === n && clock.waits[0] === 250, `error ${n}`)
    clock.advance(250)
  }
  await client.ready()
  t.ok(heard('error').every(({ code, temporary }) => code === 'BELFRY_CLIENT_TOKEN' && temporary))
  t.match(heard('error')[0]?.message, /getToken gave no token: expected a JWT as a string, got other text/)
  t.match(heard('error')[1]?.message, /got object/)
  t.notMatch(JSON.stringify(heard('error')), /abc\.def/, 'what it gave is not repeated')
  t.equal(warnings.length, 1)
  t.match(warnings[0], /^Belfry: getToken gave no token/)
  t.equal(server.last.token, tokenOf('alice'), 'blanks around a token do not matter')
})

t.test('a getToken that does not settle times out after 10 s and is called again; its late token is ignored', async (t) => {
  let late: (token: string) => void = () => {}
  let calls = 0
  const getToken = () => (++calls === 1 ? new Promise<string>((resolve) => (late = resolve)) : tokenOf('alice', { no: calls }))
  const { client, clock, heard, server } = await rig(t, { getToken })
  client.connect()
  const rest = client.token()
  rest.catch(() => {})
  await until(() => clock.waits[0] === 10_000, 'the deadline')
  clock.advance(10_000)
  await t.rejects(rest, { message: /did not settle in 10 s/ })
  await until(() => clock.waits[0] === 500, 'the wait')
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN', message: 'Error: getToken did not settle in 10 s', temporary: true }])
  late(tokenOf('alice', { no: 1 }))
  clock.advance(500)
  await client.ready()
  t.equal(server.last.token, tokenOf('alice', { no: 2 }))
  t.equal(await client.token(), tokenOf('alice', { no: 2 }))
})

t.test('a refresh whose getToken does not settle keeps the connection, and tries again', async (t) => {
  let calls = 0
  const getToken = () => (++calls === 2 ? new Promise<string>(() => {}) : tokenOf('alice', { no: calls }))
  const rigged = await rig(t, { getToken })
  const { server, client, clock, heard } = rigged
  const heartbeat = { intervalMs: 100_000, timeoutMs: 10_000 }
  server.greet = (connection) => connection.hello({ heartbeat, tokenExpiresAt: helloFrame().serverTime + 600_000 })
  client.connect()
  await client.ready()
  for (let left = 570_000; left > 0; left -= 50_000) {
    server.last.send({ type: 'ping', time: 1 })
    const pongs = server.last.of('pong').length
    await until(() => server.last.of('pong').length > pongs, 'a pong')
    clock.advance(Math.min(left, 50_000))
  }
  await until(() => calls === 2, 'the refresh')
  clock.step(-3600_000)
  clock.advance(10_000)
  await until(() => heard('error').length === 1 && clock.waits.some((wait) => wait > 10_000 && wait <= 20_000), 'another try in time')
  t.equal(client.state, 'connected')
})

t.test('an opaque token: the user comes from hello', async (t) => {
  const rigged = await connected(t, { getToken: () => 'opaque' })
  const { server, storage } = rigged
  server.publish()
  await until(() => storage.ending(':last') !== undefined, 'a row')
  t.match(
    [...storage.values.keys()].find((key) => key.endsWith(':last')),
    /:alice:d1:last$/
  )
})

t.test('refreshes the token in band', async (t) => {
  const asked: string[] = []
  const getToken: BelfryOptions['getToken'] = ({ reason }) => {
    asked.push(reason)
    return tokenOf('alice', { no: asked.length })
  }
  const rigged = await connected(t, { getToken })
  const { server, clock, client, heard } = rigged
  t.ok(clock.waits.includes(3_570_000), '30 s before the end of an hour')
  const tick = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 20_000) {
      server.last.send({ type: 'ping', time: clock.now })
      const pongs = server.last.of('pong').length
      await until(() => server.last.of('pong').length > pongs, 'a pong')
      clock.advance(Math.min(left, 20_000))
    }
  }
  await tick(3_570_000)
  await until(() => server.last.of('refresh').length === 1, 'the refresh')
  t.equal(server.last.of('refresh')[0]?.token, tokenOf('alice', { no: 2 }))
  t.same(asked, ['connect', 'refresh'])
  t.equal(server.connections.length, 1)
  t.same(heard('error'), [])

  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  server.greet = (connection) => connection.hello({ tokenExpiresAt: helloFrame().serverTime + 60_000 })
  clock.advance(500)
  await client.ready()
  t.equal(server.last.token, tokenOf('alice', { no: 2 }), 'the new token is used from now on')
  t.ok(clock.waits.includes(48_000), '80 % of a minute is later than 30 s before its end')
  server.answer = (connection, frame) => {
    if (frame.type === 'refresh')
      connection.send({ type: 'error', ref: frame.ref ?? 0, code: 'BELFRY_ERR_TOKEN_INVALID', message: 'no', temporary: false })
  }
  await tick(48_000)
  await until(() => client.state === 'connecting', 'a refresh that failed')
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN' }])
  clock.advance(1000)
  await client.ready()
  t.equal(server.last.token, tokenOf('alice', { no: 4 }), 'reconnects with another token')
})

t.test('a refresh whose getToken throws is tried again while the token in use lasts', async (t) => {
  let calls = 0
  const rigged = await rig(t, {
    getToken: () => {
      if (++calls === 2) throw new Error('offline')
      return tokenOf('alice', { no: calls })
    }
  })
  const { server, client, clock, heard } = rigged
  const heartbeat = { intervalMs: 100_000, timeoutMs: 10_000 }
  server.greet = (connection) => connection.hello({ heartbeat, tokenExpiresAt: helloFrame().serverTime + 60_000 })
  client.connect()
  await client.ready()
  clock.advance(48_000)
  await until(() => clock.waits.includes(9_600), 'another try')
  t.match(heard('error'), [{ code: 'BELFRY_CLIENT_TOKEN', message: 'Error: offline', temporary: true }])
  clock.advance(9_600)
  await until(() => server.last.of('refresh').length === 1, 'the refresh')
  t.equal(server.last.of('refresh')[0]?.token, tokenOf('alice', { no: 3 }))
  t.same([client.state, server.connections.length, heard('error').length], ['connected', 1, 1])
})

t.test('an expired token is not used', async (t) => {
  let exp = 1_754_000_100
  const rigged = await connected(t, { getToken: () => tokenOf('alice', { exp }) })
  const { server, clock, client } = rigged
  server.last.terminate()
  await until(() => client.state === 'connecting', 'the loss')
  exp += 3600
  clock.step(99_000)
  clock.advance(500)
  await until(() => client.state === 'connected', 'the next')
  t.equal(server.last.token, tokenOf('alice', { exp }))
})
