import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { rawPeer, upgradeRequest } from '../fixtures/raw.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService } from '../helper.ts'

/** Starts a service whose key set is answered only by `answer()`: clients that connect wait for it. */
async function slowKeys(t: Test) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }] })
  let answer: (() => void) | undefined
  const server = createServer((_request, response) => {
    answer = () => response.writeHead(200, { 'content-type': 'application/json' }).end(keys)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const token = await new SignJWT({ sub: 'alice' })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(privateKey)
  const service = await startService(t, {
    JWT_SECRET: '',
    JWKS_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
    CLOSE_GRACE_SECONDS: '20'
  })
  return { service, token, asked: () => answer !== undefined, answer: () => answer?.() }
}

t.test('a request that was arriving when the stop began is answered with 503, and does not delay the stop', async (t) => {
  const { service, token, asked, answer } = await slowKeys(t)
  let begun = 0
  service.app.server.on('upgrade', () => {
    begun += 1
  })
  service.app.server.on('request', () => {
    begun += 1
  })

  const requests = {
    upgrade: upgradeRequest(`/v1/ws?token=${token}`),
    stream: `GET /v1/sse?token=${token} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    late: 'GET /v1/me/notifications HTTP/1.1\r\n'
  }
  const peers = await Promise.all(
    Object.entries(requests).map(async ([name, request]) => {
      const peer = await rawPeer(t, service.url)
      peer.socket.write(request)
      return { name, ...peer }
    })
  )
  await until(() => begun === 2 && asked(), 'both wait for the keys')
  const start = Date.now()
  const closing = service.close()
  await until(() => service.app.health.draining)
  peers.at(-1)?.socket.write(`host: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`)
  answer()
  for (const { name, received } of peers) {
    await until(() => received().includes('BELFRY_ERR_DRAINING'), `the answer to the ${name}`)
    t.match(received().toString(), /^HTTP\/1\.1 503 [\s\S]*retry-after: \d/i, name)
  }
  await closing
  t.ok(Date.now() - start < 8000, `${Date.now() - start} ms`)
})

t.test('a stopping node answers /metrics and /health on open connections, and 503 to other requests', async (t) => {
  const service = await startService(t, { CLOSE_GRACE_SECONDS: '20' })
  const paths = { '/metrics?x=1': 200, '/health/live': 200, '/health/ready': 503, '/docs/json': 503, '/health/else': 503 }
  const peers = await Promise.all(
    Object.entries(paths).map(async ([path, status]) => {
      const peer = await rawPeer(t, service.url)
      peer.socket.write(`GET ${path} HTTP/1.1\r\n`)
      return { path, status, ...peer }
    })
  )
  await until(
    () => new Promise<boolean>((resolve) => service.app.server.getConnections((_, count) => resolve(count === peers.length))),
    'every connection'
  )
  const closing = service.close()
  await until(() => service.app.health.stopping)
  for (const { socket } of peers) socket.write('host: localhost\r\n\r\n')
  for (const { path, status, received } of peers) {
    await until(() => received().includes('\r\n\r\n'), `the answer to ${path}`)
    t.match(received().toString(), new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*connection: close`, 'i'), path)
  }
  await closing
})

t.test('a client that disconnects while the keys are fetched leaves no connection', async (t) => {
  const { service, token, asked, answer } = await slowKeys(t)
  for (const [begin, request] of [
    ['upgrade', upgradeRequest(`/v1/ws?token=${token}`)],
    ['request', `GET /v1/sse?token=${token} HTTP/1.1\r\nhost: localhost\r\n\r\n`]
  ] as const) {
    const begun = once(service.app.server, begin)
    const { socket } = await rawPeer(t, service.url)
    socket.write(request)
    await begun
    await until(asked, 'the keys to be asked for')
    socket.resetAndDestroy()
  }
  await until(() => new Promise<boolean>((resolve) => service.app.server.getConnections((_, count) => resolve(count === 0))))
  const own = call(service, 'GET', '/v1/me/notifications', undefined, { token })
  answer()
  t.equal((await own).status, 200, 'a waiting request is answered')
  t.equal(service.app.connections.count, 0)
})
