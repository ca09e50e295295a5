import { execFile } from 'node:child_process'

import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { WebSocket } from 'ws'
import { NodeProcess, ServerProcess } from '../fixtures/node-process.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { SECRET, TestClient, temporaryFolder } from '../helper.ts'

t.test('a first start needs no configuration, and prints commands that work when pasted', async (t) => {
  const folder = temporaryFolder(t)
  const first = await ServerProcess.start({ LOG_LEVEL: 'silent' }, folder)
  t.teardown(() => first.kill())
  await first.until(() => first.stdout.includes('/docs'), 'the greeting')
  const secretFile = join(folder, '.belfry', 'jwt-secret')
  t.match(first.stdout, `Generated a secret for tokens: ${join('.belfry', 'jwt-secret')} (mode 0600)`)
  t.equal(statSync(secretFile).mode & 0o777, 0o600)
  t.equal(statSync(join(folder, '.belfry')).mode & 0o777, 0o700)
  const secret = readFileSync(secretFile, 'utf8').trim()
  t.ok(Buffer.from(secret, 'base64url').length >= 32)
  t.notMatch(first.stdout, secret)

  t.notMatch(first.stdout, /eyJ/, 'what goes to a pipe may be kept: no token is printed')

  const run = async (line: RegExp): Promise<string> => {
    const [, args = ''] = line.exec(first.stdout) ?? []
    const words = [...args.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
    const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, '..', '..', 'cli.js'), ...words], {
      cwd: folder
    })
    return stdout.trim()
  }
  const token = await run(/npx belfry (token .*)/)
  const socket = new WebSocket(`${first.url.replace('http', 'ws')}/v1/ws?token=${token}`)
  t.teardown(() => socket.terminate())
  const client = new TestClient(socket, false)
  t.match(await client.next('hello'), { user: 'alice' })
  await run(/npx belfry (publish .*)/)
  t.match(await client.next('notification'), { notification: { title: 'Hello from Belfry' } })
  const [docs = ''] = /http:\/\/\S+\/docs/.exec(first.stdout) ?? []
  t.equal((await fetch(docs)).status, 200)

  const [, args = ''] = /npx belfry (listen .*)/.exec(first.stdout) ?? []
  const cli = new NodeProcess('cli.js', [...args.split(' '), '--from', 'earliest'], {}, folder)
  t.teardown(() => cli.kill())
  await cli.until(() => cli.stdout.includes('Hello from Belfry'), 'what was published')
  cli.signal('SIGINT')
  t.equal(await cli.exited, 0)

  first.signal('SIGTERM')
  t.equal((await client.whenClosed()).code, 4200)
  t.equal(await first.exited, 0)
  t.equal(first.stderr, '')

  const second = await ServerProcess.start({ LOG_LEVEL: 'silent' }, folder)
  t.teardown(() => second.kill())
  await second.until(() => second.stdout.includes('/docs'), 'the greeting')
  t.match(second.stdout, 'Tokens are signed with the secret in')
  t.equal(readFileSync(secretFile, 'utf8').trim(), secret)
  const again = await fetch(`${second.url}/v1/me/notifications`, {
    headers: { authorization: `Bearer ${token}` }
  })
  t.match(await again.json(), { items: [{ title: 'Hello from Belfry' }] })
  second.signal('SIGINT')
  t.equal(await second.exited, 0)
})

t.test('on a terminal a first start prints commands with tokens that work when pasted', async (t) => {
  const folder = temporaryFolder(t)
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent' }, folder, { terminal: true })
  t.teardown(() => server.kill())
  await server.until(() => server.stdout.includes('/docs'), 'the greeting')
  const printed = server.stdout.replaceAll('\r', '')
  const [address = ''] = /ws:\/\/\S+/.exec(printed) ?? []
  const socket = new WebSocket(address)
  t.teardown(() => socket.terminate())
  const client = new TestClient(socket, false)
  t.match(await client.next('hello'), { user: 'alice' })
  const [curl = ''] = /^ *curl(?:.*\\\n)+.*$/m.exec(printed) ?? []
  const { stdout } = await promisify(execFile)('sh', ['-c', curl.trim()])
  t.match(JSON.parse(stdout), { durability: 'fsync', results: [{ user: 'alice', status: 'accepted' }] })
  t.match(await client.next('notification'), { notification: { title: 'Hello from Belfry' } })
})

t.test('the log has one line with the signal that stops the process', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const environment = { LOG_LEVEL: 'info', JWT_SECRET: SECRET, DRAIN_DELAY_MS: '0' }
    const server = await ServerProcess.start(environment, temporaryFolder(t))
    t.teardown(() => server.kill())
    server.signal(signal)
    t.equal(await server.exited, 0)
    const lines = server.stdout.split('\n').filter((line) => line.includes(`"signal":"${signal}"`))
    t.match(
      lines.map((line) => JSON.parse(line)),
      [{ level: 30, msg: `stopping: ${signal} was received` }]
    )
    t.equal(lines.length, 1)
  }
})

t.test('a fault in native code ends the process', async (t) => {
  const server = await ServerProcess.start({ LOG_LEVEL: 'silent', JWT_SECRET: SECRET }, temporaryFolder(t))
  t.teardown(() => server.kill())
  server.signal('SIGSEGV')
  await server.exited
  t.equal(server.child.signalCode, 'SIGSEGV')
})

t.test('a damaged generated secret stops the start with one sentence, and the file stays unchanged', async (t) => {
  for (const damaged of ['', 'a', 'Zm9vYm', '\0'.repeat(43), '\0'.repeat(44), `${'A'.repeat(43)}\n`]) {
    const folder = temporaryFolder(t)
    mkdirSync(join(folder, '.belfry'))
    const secretFile = join(folder, '.belfry', 'jwt-secret')
    writeFileSync(secretFile, damaged, { mode: 0o644 })
    const server = new NodeProcess('server.js', [], { PORT: '0', LOG_LEVEL: 'silent' }, folder)
    t.teardown(() => server.kill())
    t.equal(await server.exited, 1)
    t.match(server.stderr, /^the secret in .*jwt-secret is damaged: expected 32 random bytes/)
    t.equal(server.stderr.trim().split('\n').length, 1)
    t.equal(readFileSync(secretFile, 'utf8'), damaged)
    t.equal(statSync(secretFile).mode & 0o077, 0, 'only its owner may read it now')
  }
})

t.test('an invalid environment stops the start with all errors', async (t) => {
  const folder = temporaryFolder(t)
  const start = async (environment: Record<string, string>) => {
    const server = new NodeProcess('server.js', [], environment, folder)
    t.teardown(() => server.kill())
    return { code: await server.exited, stdout: server.stdout, stderr: server.stderr }
  }
  const redis = await start({ REDIS_URL: 'http://127.0.0.1', PORT: '-1', LOG_LEVEL: 'loud', BELFRY_PORT: '3000', RATE_LIMIT_MAX: 'ten' })
  t.equal(redis.code, 1)
  t.equal(redis.stdout, '')
  for (const problem of [
    'REDIS_URL must be a redis:// or rediss:// URL',
    'with Redis one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL must be set',
    'PORT must be an integer from 0 to 65535',
    'LOG_LEVEL must be fatal, error,',
    'BELFRY_PORT is not a variable',
    'RATE_LIMIT_MAX must be an integer from 0 to 1000'
  ]) {
    t.match(redis.stderr, problem)
  }
  t.notMatch(redis.stderr, /\n +at /, 'no stack')
  t.throws(() => statSync(join(folder, '.belfry')), 'nothing was made')

  const holder = await ServerProcess.start({ LOG_LEVEL: 'silent', JWT_SECRET: 'x'.repeat(32) }, folder)
  t.teardown(() => holder.kill())
  const taken = await start({ PORT: String(holder.port), DATA_DIR: temporaryFolder(t), LOG_LEVEL: 'silent' })
  t.match(taken, { code: 1, stderr: /EADDRINUSE.*\. Stop the process that listens there, or set another PORT\n$/ })
})

t.test('an unusable store stops the start with one sentence, and leaves nothing in Redis', async (t) => {
  const folder = temporaryFolder(t)
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const admin = redis.admin()
  const keys = async (): Promise<string[]> => (await admin.keys('*')).sort()
  const refused = async (environment: Record<string, string>, expected: RegExp): Promise<void> => {
    const server = new NodeProcess('server.js', [], { PORT: '0', LOG_LEVEL: 'silent', JWT_SECRET: SECRET, ...environment }, folder)
    t.teardown(() => server.kill())
    t.equal(await server.exited, 1)
    t.match(server.stderr, expected)
    t.match(server.stderr, /^[^\n]+\n$/, 'one line')
    t.equal(server.stdout, '')
  }
  const file = join(folder, 'file')
  writeFileSync(file, '')
  await refused({ DATA_DIR: file }, /DATA_DIR must be a folder .*: ENOTDIR/)
  await refused({ DATA_DIR: file, JWT_SECRET: '' }, /DATA_DIR must be a folder/)
  // Node's recursive mkdir would never return there.
  for (const more of [{}, { JWT_SECRET: '' }])
    await refused({ DATA_DIR: '/proc/belfry/data', ...more }, /DATA_DIR must be a folder .*: ENOENT/)

  const holder = await ServerProcess.start({ LOG_LEVEL: 'silent', JWT_SECRET: SECRET, REDIS_URL: redis.url }, folder)
  t.teardown(() => holder.kill())
  await holder.until(() => holder.ready(), 'ready')
  const before = await keys()
  const fields = async (): Promise<number[]> => [await admin.zcard('belfry:nodes'), await admin.hlen('belfry:{0}:w')]
  t.same(await fields(), [1, 1])
  await refused({ REDIS_URL: redis.url, PORT: String(holder.port) }, /HOST and PORT must be an address to listen on: .*EADDRINUSE/)
  t.same(await keys(), before)
  t.same(await fields(), [1, 1], 'the node that could not listen has left')

  await refused({ REDIS_URL: redis.url, HOST: '192.0.2.1' }, /HOST and PORT/)
  t.same(await fields(), [1, 1])
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await refused({ REDIS_URL: redis.url }, /noeviction, it is allkeys-lru/)
  await admin.config('SET', 'maxmemory-policy', 'noeviction')
  await admin.set('other:buckets', '64')
  await refused({ REDIS_URL: redis.url, REDIS_KEY_PREFIX: 'other' }, /64 buckets/)
  t.same(
    (await keys()).filter((key) => key !== 'other:buckets'),
    before
  )

  const wrong = new ServerProcess(await freePort(), { JWT_SECRET: SECRET, REDIS_URL: redis.url.replace('//', '//:nope@') }, folder)
  t.teardown(() => wrong.kill())
  await admin.config('SET', 'requirepass', 'hunter2')
  await wrong.until(() => wrong.stdout.includes('refused the user name or the password'), 'the sentence in the log')
  t.notMatch(wrong.stdout + wrong.stderr, /hunter2|nope|\n +at /)
  t.ok(wrong.running, 'a password can be put right while it waits')
})
