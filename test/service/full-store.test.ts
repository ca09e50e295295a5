import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import t from 'tap'
import { endWithProcess } from '../fixtures/children.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { call, connect, SECRET, startService, type TestService, temporaryFolder } from '../helper.ts'

const SERVER = join(import.meta.dirname, '..', '..', 'server.js')
const NOTIFICATION = { to: 'alice', type: 't', title: 'x', data: { text: 'x'.repeat(4000) } }

/** A data folder on a disk of 8 MiB, or with files of 1 MiB at most, and a function that makes room in it. */
interface Confined {
  folder: string
  /** The command that runs the service, and its first arguments. */
  command: [string, ...string[]]
  makeRoom(pid: number): void
}

/** Returns a data folder on a small tmpfs. Without the right to mount, limits the size of files: writes then fail with EFBIG, not ENOSPC. */
function confinedFolder(t: Test): Confined {
  const folder = join(temporaryFolder(t), 'disk')
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder], { stdio: 'ignore' })
    t.teardown(() => execFileSync('umount', ['-l', folder]))
    writeFileSync(join(folder, 'filler'), Buffer.alloc(7 * 1024 * 1024))
    return { folder, command: [process.execPath], makeRoom: () => rmSync(join(folder, 'filler')) }
  } catch {
    t.comment('no tmpfs can be mounted: the size of files is limited instead')
    const command: Confined['command'] = ['bash', '-c', 'ulimit -S -f 1024; exec "$@"', 'bash', process.execPath]
    return { folder, command, makeRoom: (pid) => execFileSync('prlimit', ['--pid', String(pid), '--fsize=unlimited']) }
  }
}

/** Fills a store. Asserts that the service refuses publishes then, and nothing else, and recovers after `makeRoom`. `keepFull` is called at the first refusal. */
async function assertFullAndRecovering(
  t: Test,
  service: Pick<TestService, 'url' | 'socketUrl'>,
  makeRoom: () => void | Promise<void>,
  keepFull: () => void | Promise<void> = () => undefined
): Promise<number> {
  const before = await connect(t, service, 'alice', { deviceId: 'before', acks: true })
  await before.next('hello')
  let accepted = 0
  let refused: Awaited<ReturnType<typeof call>> | undefined
  for (let n = 0; n < 4000 && refused === undefined; n++) {
    const answer = await call(service, 'POST', '/v1/notifications', NOTIFICATION)
    if (answer.status === 202) accepted += 1
    else refused = answer
  }
  t.match(refused, { status: 507, body: { code: 'BELFRY_ERR_STORE_FULL' } })
  t.ok(accepted > 0)
  await keepFull()
  await until(async () => (await call(service, 'GET', '/metrics', undefined, { token: '' })).body.includes('belfry_store_full 1'))
  t.match(await call(service, 'GET', '/health/ready', undefined, { token: '' }), { status: 200 })
  t.match(await call(service, 'POST', '/v1/notifications', NOTIFICATION), { status: 507 })
  t.match(await call(service, 'GET', '/v1/users/alice/notifications?limit=1'), { status: 200, body: { unread: accepted } })
  const after = await connect(t, service, 'alice', { deviceId: 'after', lastEventId: 'earliest', acks: true })
  t.match(await after.next('hello'), { resume: { pending: accepted } })
  await after.next('caughtUp')
  t.match(await (await connect(t, service, 'newcomer', { deviceId: 'd' })).next('hello'), { type: 'hello' })
  await makeRoom()
  await until(async () => (await call(service, 'POST', '/v1/notifications', NOTIFICATION)).status === 202)
  await until(async () => (await call(service, 'GET', '/metrics', undefined, { token: '' })).body.includes('belfry_store_full 0'))
  return accepted + 1
}

t.test('on a full data disk publishes get 507, everything else works, and the node recovers by itself without a loss', async (t) => {
  const { folder, command, makeRoom } = confinedFolder(t)
  const port = await freePort()
  const environment = {
    PATH: process.env.PATH ?? '',
    JWT_SECRET: SECRET,
    DATA_DIR: folder,
    PORT: String(port),
    RATE_LIMIT_MAX: '0',
    LOG_MAX_ENTRIES: '100000'
  }
  const [file, ...args] = command
  const start = async (): Promise<{ child: ReturnType<typeof spawn>; output: () => string; ended: Promise<void> }> => {
    const child = spawn(file, [...args, SERVER], { env: environment })
    endWithProcess(child)
    let output = ''
    child.stdout.on('data', (data) => {
      output += data
    })
    const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
    await until(async () => (await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined))?.ok === true)
    return { child, output: () => output, ended }
  }
  const service = { url: `http://127.0.0.1:${port}`, socketUrl: `ws://127.0.0.1:${port}` }
  const first = await start()
  const accepted = await assertFullAndRecovering(t, service, () => makeRoom(first.child.pid as number))
  t.equal(first.output().split('the store is full').length - 1, 1, 'one log line a minute')
  first.child.kill('SIGKILL')
  await first.ended
  const second = await start()
  t.match(await call(service, 'GET', '/v1/users/alice/notifications?limit=1'), { body: { unread: accepted } })
  const client = await connect(t, service, 'alice', { deviceId: 'new', lastEventId: 'earliest', acks: true })
  await client.next('caughtUp')
  t.notMatch(second.output(), /damaged/)
  second.child.kill('SIGKILL')
  await second.ended
})

t.test('with Redis at maxmemory publishes get 507, everything else works, and the node recovers by itself without a loss', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const admin = redis.client()
  const used = Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1])
  const service = await startService(t, { REDIS_URL: redis.url, RATE_LIMIT_MAX: '0', LOG_MAX_ENTRIES: '100000' })
  await admin.config('SET', 'maxmemory', String(used + 2 * 1024 * 1024))
  const limit = (bytes: number) => async (): Promise<void> => {
    await admin.config('SET', 'maxmemory', String(bytes))
  }
  // The buffers of Redis count as well, and shrink by more than a notification after the first refusal.
  await assertFullAndRecovering(t, service, limit(0), limit(used))
})
