import { once } from 'node:events'
import { Writable } from 'node:stream'
import type { Test } from 'tap'
import t from 'tap'
import { WebSocket } from 'ws'
import { ConnectionLog } from '../../services/connection/connection-log.ts'
import { errors } from '../../services/errors.ts'
import { userHash } from '../../services/users.ts'
import { rawPeer, send, upgradeRequest } from '../fixtures/raw.ts'
import { signPayload } from '../fixtures/token.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, ready, SECRET, serviceToken, startService, type TestService, userToken } from '../helper.ts'

interface Line {
  level: number
  msg: string
  [fact: string]: unknown
}

const INFO = 30
const WARN = 40

/** Starts a service and collects its log lines. */
async function startLogged(
  t: Test,
  level: string,
  environment: Record<string, string> = {}
): Promise<{ service: TestService; lines: Line[] }> {
  const lines: Line[] = []
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of String(chunk).trimEnd().split('\n')) lines.push(JSON.parse(line) as Line)
      done()
    }
  })
  const service = await startService(t, { LOG_LEVEL: level, ...environment }, { log: destination })
  return { service, lines }
}

t.test('a refused request is logged with its code, its cause and the id in its answer', async (t) => {
  const { service, lines } = await startLogged(t, 'info')
  const answer = await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 7 })
  t.equal(answer.status, 400)
  const id = answer.headers.get('x-request-id')
  t.equal(answer.body.instance, id)
  t.match(
    lines.find(({ code }) => code === 'BELFRY_ERR_INVALID_REQUEST'),
    { level: INFO, reqId: id, msg: 'request refused', cause: /^type at / }
  )
  await call(service, 'GET', '/v1/me/notifications', undefined, { token: 'none.at.all' })
  t.ok(lines.some(({ code, level }) => code === 'BELFRY_ERR_TOKEN_INVALID' && level === INFO))
  const now = Math.floor(Date.now() / 1000)
  const refused: [string, string | RegExp][] = [
    ['none.at.all', 'it is neither a JWT nor a key of API_KEYS'],
    [`${userToken('alice').slice(0, -4)}AAAA`, /signature is invalid/],
    [signPayload(SECRET, { sub: 'alice', exp: Date.now() + 60_000 }), 'exp is not a time in seconds'],
    [signPayload(SECRET, { sub: 'alice', exp: now + 60, iat: now + 50 }), 'iat is ahead of the clock of this node'],
    [signPayload(SECRET, { sub: 'alice', exp: now + 40_000_000, iat: now }), /longer than MAX_TOKEN_LIFETIME/]
  ]
  for (const [token, cause] of refused) {
    const known = lines.length
    for (const path of ['/v1/me/notifications', '/v1/sse']) await call(service, 'GET', path, undefined, { token })
    const socket = new WebSocket(`${service.url.replace('http', 'ws')}/v1/ws`, { headers: { authorization: `Bearer ${token}` } })
    await once(socket, 'close')
    const told = lines.slice(known).filter((line) => line.cause !== undefined)
    const refusal = { level: INFO, code: 'BELFRY_ERR_TOKEN_INVALID', cause }
    t.match(told, [refusal, refusal, { level: INFO, code: 4001, reason: 'token_invalid', cause, msg: 'a connection was refused' }])
    t.notOk(JSON.stringify(told).includes(token), 'no token in the log')
  }
  await send(t, service.url, upgradeRequest('/v1/ws?device_id=%00'))
  t.ok(lines.filter(({ code }) => code === 'BELFRY_ERR_INVALID_REQUEST').length >= 2, 'an upgrade too')
})

t.test('no line names a user: paths have the hash of the name', async (t) => {
  const { service, lines } = await startLogged(t, 'debug')
  const user = 'an é of a name'
  const client = await ready(t, service, user, { deviceId: 'd' })
  await call(service, 'POST', '/v1/notifications', { to: user, type: 'a', title: 'b' })
  await call(service, 'PATCH', '/v1/topics/team/members', { add: [user] })
  for (const path of ['notifications?limit=5', 'queue', 'presence', 'topics', 'nothing']) {
    await call(service, 'GET', `/v1/users/${encodeURIComponent(user)}/${path}`)
  }
  await call(service, 'DELETE', `/v1/users/${encodeURIComponent(user)}`)
  await client.whenClosed()
  await call(service, 'GET', '/v1/users/%E0%A4%A/queue')
  const log = JSON.stringify(lines)
  for (const name of [user, encodeURIComponent(user)]) t.notOk(log.includes(name))
  for (const path of ['/notifications?limit=5', '/nothing', '']) t.ok(log.includes(`"/v1/users/[${userHash(user)}]${path}"`), path)
})

t.test('a store failure is logged with its reason', async (t) => {
  const { service, lines } = await startLogged(t, 'warn')
  service.app.store.publish = async () => {
    throw new errors.StoreUnavailable({ cause: new Error('the disk is on fire') })
  }
  const answer = await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'b' })
  t.equal(answer.status, 503)
  t.match(
    lines.find(({ code }) => code === 'BELFRY_ERR_STORE_UNAVAILABLE'),
    { level: WARN, msg: 'request failed', cause: 'the disk is on fire', reqId: answer.headers.get('x-request-id') }
  )
})

t.test('a valid request id of the caller is used and returned; any other is replaced by a unique one', async (t) => {
  const [{ service }, other] = [await startLogged(t, 'info'), await startLogged(t, 'info')]
  const idOf = async (target: TestService, given?: string): Promise<string> => {
    const headers = given === undefined ? {} : { 'x-request-id': given }
    return (await call(target, 'GET', '/health/live', undefined, { headers })).headers.get('x-request-id') ?? ''
  }
  for (const sane of ['7b0c3f5e-2f0e-4a53-9a0c-3b1f6f2b8a10', '01J9ZK3M5N7P9Q1R3S5T7V9X1Z', 'a', 'x'.repeat(64)]) {
    t.equal(await idOf(service, sane), sane)
  }
  const jwt = userToken('alice')
  for (const odd of [jwt, 'x'.repeat(65), 'a b', '"quoted"', 'a,b', '<script>']) {
    const id = await idOf(service, odd)
    t.match(id, /^[\w-]{20}$/)
    t.not(id, odd)
  }
  const made = await Promise.all(Array.from({ length: 200 }, (_, n) => idOf(n % 2 === 0 ? service : other.service)))
  t.equal(new Set(made).size, made.length)
  t.match((await call(service, 'GET', '/nowhere')).headers.get('x-request-id'), /./)
  t.match((await call(service, 'GET', '/v1/%zz')).headers.get('x-request-id'), /./, 'also where no route is found')
})

t.test('connections are logged at debug with the hash of the user, the device and the close code', async (t) => {
  const { service, lines } = await startLogged(t, 'debug')
  const client = await connect(t, service, 'alice', { deviceId: 'phone' })
  await client.next('caughtUp')
  await client.close()
  const about = { user: userHash('alice'), device: 'phone' }
  const closed = await until(() => lines.find(({ msg }) => msg === 'a connection was closed'), 'the line')
  t.match(closed, { ...about, level: 20, code: 1005 })
  t.match(
    lines.find(({ msg }) => msg === 'a device connected'),
    { ...about, level: 20, connection: closed.connection }
  )
  t.notMatch(JSON.stringify(lines), /"alice"/)
})

t.test('only closes for a fault are logged at info', async (t) => {
  const { service, lines } = await startLogged(t, 'info')
  const [bad, good] = [await connect(t, service, 'alice'), await connect(t, service, 'bob')]
  for (const client of [bad, good]) await client.next('caughtUp')
  bad.socket.send('no JSON')
  await bad.whenClosed()
  await good.close()
  const about = lines.filter(({ component }) => component === 'connection')
  t.match(about, [{ level: INFO, user: userHash('alice'), code: 4006, reason: 'protocol error' }])
  t.equal(about.length, 1)
})

t.test('a client that disconnects is not logged as an error: during its body, before its answer, during its upgrade', async (t) => {
  const { service, lines } = await startLogged(t, 'info')
  const head = 'host: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n'
  const token = `authorization: Bearer ${serviceToken()}\r\n`
  for (let n = 0; n < 20; n++) {
    await abandon(t, service, `POST /v1/notifications HTTP/1.1\r\n${head}${token}\r\n{"to":`)
    await abandon(t, service, upgradeRequest('/v1/ws', { authorization: `Bearer ${userToken('alice')}` }))
    await abandon(t, service, `GET /v1/sse?token=${userToken('alice')} HTTP/1.1\r\nhost: x\r\n\r\n`)
  }
  await until(() => service.app.connections.count === 0, 'every connection to end')
  t.equal((await call(service, 'GET', '/health/live')).status, 200)
  t.same(
    lines.filter(({ level }) => level >= WARN),
    []
  )
})

/** Sends bytes, and resets the connection when the service has begun to read them. */
async function abandon(t: Test, service: TestService, request: string): Promise<void> {
  const { socket } = await rawPeer(t, service.url)
  await new Promise<void>((resolve) => socket.write(request, () => resolve()))
  socket.resetAndDestroy()
}

t.test('no user is hashed for a line that the level leaves out', async (t) => {
  const written: string[] = []
  const write = (_facts: object, message: string): void => void written.push(message)
  const log = new ConnectionLog({ level: 'info', debug: write, info: write })
  const connection = {
    local: {
      get user(): string {
        throw new Error('read')
      }
    }
  } as never
  log.opened(connection)
  log.closed(connection, 1000, '')
  t.same(written, [])
})
