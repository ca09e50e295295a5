import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import t from 'tap'
import { signToken } from '../../services/auth/signing.ts'
import { send, upgradeRequest } from '../fixtures/raw.ts'
import { call, connect, type TestService, temporaryFolder } from '../helper.ts'

/** Returns a free port, for a setting that does not accept 0. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

t.test('a real process at LOG_LEVEL=trace logs no token, key or payload; /metrics has its own port', async (t) => {
  const canary = (name: string): string => `canary-${name}-4f1d9b7c`
  const secret = canary('secret-of-more-than-32-characters')
  const keys = { right: canary('right-api-key'), wrong: canary('wrong-api-key') }
  const metricsPort = await freePort()
  const child: ChildProcess = spawn(process.execPath, [new URL('../../server.js', import.meta.url).pathname], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      LOG_LEVEL: 'trace',
      DATA_DIR: temporaryFolder(t),
      JWT_SECRET: secret,
      API_KEYS: `admin:${keys.right}`,
      METRICS_PORT: String(metricsPort),
      ALLOWED_ORIGINS: 'https://app.example'
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let log = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data) => {
      log += data
    })
  }
  const exited = once(child, 'exit')
  const base = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', () => {
      const found = /Server listening at (http:\/\/127\.0\.0\.1:\d+)/.exec(log)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('exit', () => reject(new Error(log)))
  })
  const target = { url: base, socketUrl: base.replace('http', 'ws') } as TestService

  t.equal((await call(target, 'GET', '/metrics')).status, 404)
  t.match(await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(), /belfry_connections/)
  for (const request of ['GET /v1/ws HTTP/1.1\r\nhost: x\r\n\r\n', 'nonsense\r\n\r\n'])
    t.match((await send(t, `http://127.0.0.1:${metricsPort}`, request)).body, /BELFRY_ERR_/)
  const elsewhere = await fetch(`http://127.0.0.1:${metricsPort}/elsewhere`)
  t.match(await elsewhere.json(), { status: 404, instance: /^[\w-]{20}$/ }, 'an id that is unique over all nodes')

  const jwt = signToken(secret, 'alice')
  const other = signToken(canary('another-secret'), 'alice')
  const expired = signToken(secret, 'alice', '', -5)
  for (const credential of [jwt, other, expired]) {
    await call(target, 'GET', '/v1/me/notifications', undefined, { token: credential })
    await call(target, 'GET', `/v1/me/notifications?token=${credential}`, undefined, { token: '' })
    await call(target, 'GET', `/nowhere?access_token=${credential}&%74oken=${credential}`, undefined, { token: '' })
    await call(target, 'GET', `/v1/sse?token=${credential}`, undefined, { token: '', headers: { origin: 'https://evil.example' } })
    for (const name of ['token', '%74oken', 'TOKEN', 'access_token', 'x=1&token', 'token=a&token', 'device_id[token]']) {
      await send(t, base, upgradeRequest(`/v1/ws?${name}=${credential}`))
    }
    await send(t, base, upgradeRequest('/v1/ws', { 'sec-websocket-protocol': `belfry.v1, bearer.${credential}` }))
    await send(t, base, upgradeRequest('/v1/ws', { authorization: `Bearer ${credential}`, 'sec-websocket-key': undefined }))
    await send(t, base, upgradeRequest(`/v1/ws?token=${credential}`, { origin: 'https://evil.example' }))
    await send(t, base, `GET /v1/ws?token=${credential} HTTP/1.1\r\nauthorization: Bearer ${credential}\r\nbroken\r\n\r\n`)
    await send(t, base, `GET /%zz?token=${credential} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${credential}\r\n\r\n`)
    await send(t, base, `GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${credential}\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)
  }
  const socket = await connect(t, target, 'alice', { token: jwt, acks: true })
  await socket.next('caughtUp')
  for (const credential of [signToken(secret, 'alice'), other, canary('refresh')]) {
    socket.send({ type: 'refresh', ref: 1, token: credential })
    await socket.until(() => socket.frames.filter(({ type }) => type === 'ok' || type === 'error')[0])
  }
  const note = {
    to: 'alice',
    type: canary('type'),
    title: canary('title'),
    ref: canary('ref'),
    data: { [canary('name')]: canary('value') }
  }
  const headers = { 'idempotency-key': canary('idempotency') }
  const published = await call(target, 'POST', '/v1/notifications', note, { token: keys.right, headers })
  t.equal(published.status, 202)
  t.equal((await socket.next('notification')).notification.title, note.title)
  await call(target, 'POST', '/v1/notifications', note, { token: keys.wrong, headers: { 'idempotency-key': canary('idempotency2') } })
  await call(target, 'POST', '/v1/notifications', { ...note, title: 7, more: canary('more') }, { token: keys.right })
  await call(target, 'POST', '/v1/notifications', `{"title":"${canary('broken')}`, { token: keys.right })
  await call(target, 'POST', '/v1/notifications', note, { token: keys.right, headers: { 'idempotency-key': `${canary('é')}` } })
  await call(target, 'POST', '/v1/notifications/batch', { notifications: [note, { ...note, to: 7 }] }, { token: keys.right })
  await call(target, 'DELETE', `/v1/users/alice/connections?reason=${canary('reason')}`, undefined, { token: keys.right })
  await socket.whenClosed()
  child.kill('SIGTERM')
  const [status] = await exited
  t.equal(status, 0, log.slice(-2000))

  t.ok(log.split('\n').length > 50, `the log has ${log.split('\n').length} lines`)
  t.match(log, /a request could not be read/)
  t.match(log, /"level":10|"level":20/, 'lines of the levels debug and trace')
  t.match(log, /\/v1\/ws\?token=\[redacted\]/)
  const parts = [jwt, other, expired].flatMap((credential) => [credential, credential.split('.')[2] as string])
  for (const value of ['canary-', ...parts]) {
    const bytes = Buffer.from(value)
    const forms = [value, encodeURIComponent(value), bytes.toString('hex'), bytes.toString('base64').slice(0, -4), [...bytes].join(',')]
    for (const form of forms) t.notOk(log.includes(form), `nothing of ${form.slice(0, 30)}`)
  }
})

t.test('production dependencies run no install script, except the embedded database, whose package has its binary', async (t) => {
  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { dev?: boolean; hasInstallScript?: boolean }>
  }
  const scripts = Object.entries(lock.packages).filter(([, { dev, hasInstallScript }]) => dev !== true && hasInstallScript === true)
  t.same(
    scripts.map(([path]) => path),
    ['node_modules/classic-level']
  )
})
