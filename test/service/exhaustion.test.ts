import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { connect as dial } from 'node:net'
import t from 'tap'
import { descriptorLimit, socketLimits } from '../../services/node/descriptors.ts'
import { ServerProcess } from '../fixtures/node-process.ts'
import { isProblem } from '../fixtures/problem.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, SECRET, startService, temporaryFolder } from '../helper.ts'

const NOTE = { to: 'alice', type: 'a', title: 'x' }

t.test('if the log cannot be written, the service drops and counts its lines, works on, and stops on SIGTERM', async (t) => {
  const full = openSync('/dev/full', 'w')
  const environment = { JWT_SECRET: SECRET, DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'trace' }
  const server = await ServerProcess.start(environment, undefined, { stdoutTo: full })
  closeSync(full)
  t.teardown(() => server.kill())
  const dropped = async (): Promise<number> => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    return Number(/^belfry_log_lines_dropped_total (\d+)$/m.exec(text)?.[1])
  }
  let requests = 0
  while ((await dropped()) === 0 && requests < 5000) {
    for (let n = 0; n < 100; n++, requests++)
      if ((await fetch(`${server.url}/nowhere/${'x'.repeat(400)}`)).status !== 404) t.fail('no answer')
  }
  t.ok((await dropped()) > 0)
  t.ok((await dropped()) < 10 * requests)
  t.equal((await call(server, 'POST', '/v1/notifications', NOTE)).status, 202)
  server.signal('SIGTERM')
  t.equal(await server.exited, 0)
})

t.test('the service works on when the reader of its log stops reading', async (t) => {
  const server = await ServerProcess.start({ JWT_SECRET: SECRET, DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'trace' })
  t.teardown(() => server.kill())
  server.child.stdout?.pause()
  // Many times the capacity of a pipe.
  for (let n = 0; n < 600; n++) t.equal((await fetch(`${server.url}/nowhere/${'x'.repeat(400)}`)).status, 404)
  t.equal((await call(server, 'POST', '/v1/notifications', NOTE)).status, 202)
  server.child.stdout?.resume()
  server.signal('SIGTERM')
  t.equal(await server.exited, 0)
})

t.test('without file descriptors, the node refuses new connections, keeps the open ones, and recovers by itself', async (t) => {
  const server = await ServerProcess.start({
    JWT_SECRET: SECRET,
    DATA_DIR: temporaryFolder(t),
    CONNECT_RATE_LIMIT_MAX: '0',
    LOG_LEVEL: 'warn'
  })
  t.teardown(() => server.kill())
  const client = await connect(t, server, 'alice')
  await client.next('caughtUp')
  const { pid } = server.child
  const limit = readdirSync(`/proc/${pid}/fd`).length + 40
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:${limit}`])
  const flood = Array.from({ length: 300 }, () => dial(server.port, '127.0.0.1').on('error', () => undefined))
  t.teardown(() => {
    for (const socket of flood) socket.destroy()
  })
  await until(() => readdirSync(`/proc/${pid}/fd`).length >= limit - 1, 'no descriptor is left')
  // Longer than every timer of the process that may open a file.
  const end = performance.now() + 2500
  await until(() => performance.now() > end && server.running, 'some seconds without descriptors')
  for (const socket of flood) socket.destroy()
  await until(
    () =>
      call(server, 'POST', '/v1/notifications', NOTE).then(
        ({ status }) => status === 202,
        () => false
      ),
    'a publish'
  )
  t.match(await client.next('notification'), { notification: { title: 'x' } })
  t.ok(server.running)
})

t.test('MAX_CONNECTIONS: one more is answered with 503 on both transports, until a connection closes', async (t) => {
  const service = await startService(t, { MAX_CONNECTIONS: '3' })
  const clients = []
  for (let n = 0; n < 3; n++) clients.push(await connect(t, service, `user-${n}`))
  for (const client of clients) await client.next('caughtUp')
  await t.rejects(connect(t, service, 'late'), { message: /503/ })
  const answer = await call(service, 'GET', '/v1/sse')
  isProblem(t, answer, 503, 'OVERLOADED')
  t.ok(Number(answer.headers.get('retry-after')) >= 1)
  t.equal((await call(service, 'POST', '/v1/notifications', NOTE)).status, 202, 'the REST API has room')
  await clients[0]?.close()
  const late = await until(() => connect(t, service, 'late').catch(() => undefined), 'room')
  await late.next('caughtUp')
})

t.test('simultaneous clients do not exceed MAX_CONNECTIONS', async (t) => {
  const service = await startService(t, { MAX_CONNECTIONS: '5' })
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      connect(t, service, `user-${n}`).then(
        () => 1,
        () => 0
      )
    )
  )
  t.equal(
    outcomes.reduce<number>((sum, opened) => sum + opened, 0),
    5
  )
})

t.test('the descriptors of a process are divided between connections, callers and the store', async (t) => {
  t.ok(descriptorLimit() >= 256)
  t.same(socketLimits(1024, 0), { connections: 672, sockets: 768 })
  t.same(socketLimits(1_048_576, 0), { connections: 916_191, sockets: 1_047_076 })
  t.same(socketLimits(1024, 100), { connections: 100, sockets: 768 })
  t.same(socketLimits(Number.POSITIVE_INFINITY, 0), { connections: Number.MAX_SAFE_INTEGER, sockets: Number.MAX_SAFE_INTEGER })
})
