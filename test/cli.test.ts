import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { WriteStream } from 'node:tty'
import t, { type Test } from 'tap'
import { readArguments } from '../cli/arguments.ts'
import { helpText } from '../cli/help.ts'
import { Output } from '../cli/output.ts'
import { bufferedText } from './fixtures/buffered-text.ts'
import { NodeProcess } from './fixtures/node-process.ts'
import { freePort } from './fixtures/redis.ts'
import { until } from './fixtures/wait.ts'
import { call, connect, SECRET, serviceToken, startService, type TestService, temporaryFolder, userToken } from './helper.ts'

const KEY = { JWT_SECRET: SECRET }
const PUBLISH = ['publish', '--to', 'alice', '--type', 't', '--title', 'x']

async function belfry(args: string[], environment: Record<string, string> = KEY, input = '') {
  const cli = new NodeProcess('cli.js', args, environment)
  cli.child.stdin?.end(input)
  return { code: await cli.exited, stdout: cli.stdout, stderr: cli.stderr }
}

function listener(t: Test, args: string[], environment: Record<string, string> = KEY): NodeProcess {
  const cli = new NodeProcess('cli.js', ['listen', ...args], environment)
  t.teardown(() => cli.kill())
  return cli
}

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '')
const titlesOf = (cli: NodeProcess) =>
  linesOf(cli.stdout).flatMap((line) => {
    const frame = JSON.parse(line)
    return frame.type === 'notification' ? [frame.notification.title] : []
  })

async function send(service: TestService, to: string, title: string) {
  return (await call(service, 'POST', '/v1/notifications', { to, type: 'a', title })).body
}

t.test('help, version, and errors of the command line', async (t) => {
  t.match(await belfry(['publish', '--help']), { code: 0, stdout: /--half-life/, stderr: '' })
  t.match(await belfry(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
  t.match(await belfry([]), { code: 2, stdout: '', stderr: /^Usage: belfry <command>/ })
  t.match(await belfry(['post']), { code: 2, stdout: '', stderr: /no command "post"/ })
  t.match(await belfry([...PUBLISH, '--data', '[1]']), { code: 2, stdout: '', stderr: /JSON object/ })
  t.match(await belfry(['listen', '--user', 'alice', '--from', 'here']), { code: 2, stderr: /--from must be/ })

  t.same(readArguments(['help', 'listen']), { name: 'help', topic: 'listen' })
  t.same(readArguments(['token', '--version']), { name: 'version' })
  t.match(helpText('listen'), /--from/)
  t.match(helpText('nothing'), /Usage: belfry <command>/)
  t.match(readArguments(['token', '--user', 'alice', '--expires', '7d']), { scope: '', seconds: 604_800, json: false })
  t.match(readArguments([...PUBLISH, '--to', 'a, b', '--url', 'https://x/y/']), { to: ['a', 'b'], url: 'https://x/y' })
  const wrong: [string[], RegExp][] = [
    [['token'], /--user is needed/],
    [['token', '--user', ''], /--user is empty/],
    [['token', '--user', 'a\nb'], /printable/],
    [['token', '--user', '..'], /not \. or \.\./],
    [['token', '--user', 'alice', '--scope', 'root'], /--scope must be publish or admin/],
    [['token', '--user', 'alice', '--expires', 'soon'], /--expires must be/],
    [['token', '--user', 'alice', 'extra'], /extra/],
    [['publish', '--to', 'alice', '--type', 't'], /--title is needed/],
    [[...PUBLISH, '--half-life', '-1'], /half-life/],
    [[...PUBLISH, '--half-life=0'], /above 0/],
    [[...PUBLISH, '--url', 'ftp://x'], /--url/],
    [[...PUBLISH, '--ttl', 'soon'], /--ttl must be like/],
    [[...PUBLISH, '--urgency', 'urgent'], /--urgency must be very-low or low or normal or high/],
    [[...PUBLISH, '--deliver-at', 'tomorrow'], /--deliver-at must be a time like/],
    [[...PUBLISH, '--deliver-at', '1754000000'], /--deliver-at/],
    [[...PUBLISH, '--action', 'approve'], /--action must be like/],
    [[...PUBLISH, '--action', '=Approve'], /--action must be like/],
    [['schedule'], /--user is needed/],
    [['topic', '--topic', 'team'], /^Unknown option '--topic'$/],
    [['schedule', '--user', 'alice', '--cancel', '--json'], /--cancel/],
    [['schedule', '--user', 'alice', '-x'], /-x/],
    [['broadcast', '--cancell', 'an-id'], /--cancell/],
    [['listen', '--user'], /--user/],
    [[...PUBLISH, '--to', Array.from({ length: 1001 }, (_, index) => `u${index}`).join()], /1000 users/],
    [['listen'], /--user is needed/],
    [[], /a command is needed/]
  ]
  // The id of one notification in 64 begins with a dash.
  const id = '-HAAY_47VYgKLJoVSTcI'
  t.match(readArguments(['schedule', '--user', '-al', '--cancel', id, '--json']), { user: '-al', cancel: id, json: true })
  t.match(readArguments([...PUBLISH, '--title', '-5 °C', '--data', '-']), { title: '-5 °C', data: '-' })
  t.match(readArguments(['topic', 'add', '--json', 'team', '--', '-bob']), { topic: 'team', users: ['-bob'] })
  t.match(readArguments(['topic', 'add', 'team', '-', '--token', '-x']), { users: ['-'], token: '-x' })
  for (const [args, message] of wrong) t.throws(() => readArguments(args), { name: 'UsageError', message }, args.join(' ').slice(0, 60))
})

t.test('token signs with the secret of the environment or of the service', async (t) => {
  const service = await startService(t, { JWT_ISSUER: 'us', JWT_AUDIENCE: 'belfry' })
  const environment = { ...KEY, JWT_ISSUER: 'us', JWT_AUDIENCE: 'belfry' }
  const { stdout, code } = await belfry(['token', '--user', 'alice'], environment)
  t.equal(code, 0)
  t.equal((await call(service, 'GET', '/v1/me/notifications', undefined, { token: stdout.trim() })).status, 200)
  const json = await belfry(['token', '--user', 'ci', '--scope', 'admin', '--expires', '15m', '--json'], environment)
  const { token, ...rest } = JSON.parse(json.stdout)
  t.same(rest, { user: 'ci', scope: 'admin', expiresInSeconds: 900 })
  t.equal((await call(service, 'GET', '/v1/users/alice/queue', undefined, { token })).status, 200)
  const { exp, iat } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
  t.equal(exp - iat, 900)

  const nothing = { DATA_DIR: temporaryFolder(t) }
  t.match(await belfry(['token', '--user', 'alice'], nothing), { code: 1, stdout: '', stderr: /no token: pass --token/ })
  t.match(await belfry(['token', '--user', 'alice'], { JWKS_URL: 'https://keys.example' }), { code: 1, stderr: /private key/ })
  t.match(await belfry(['token', '--user', 'alice'], { PORT: 'x' }), { code: 1, stderr: /PORT must be an integer from 0 to 65535/ })
})

t.test('publish prints the result for each recipient', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_WINDOW_MS: '3600000', PARKED_MAX: '1' })
  const to = (user: string, ...more: string[]) => ['publish', '--url', service.url, '--to', user, '--type', 't', '--title', 'Hi', ...more]
  const first = await belfry(to('alice', '--ref', '/x', '--half-life', '60', '--data', '-'), KEY, '{"files":12}')
  t.match(first, { code: 0, stderr: '', stdout: /^accepted {2}alice {2}\S+\.1\.\S{8} {2}\S{20}\n$/ })
  const inbox = await call(service, 'GET', '/v1/users/alice/notifications')
  t.match(inbox.body.items, [{ type: 't', title: 'Hi', ref: '/x', data: { files: 12 } }])

  const parked = await belfry(to('alice,bob', '--json'))
  t.equal(parked.code, 0)
  t.match(JSON.parse(parked.stdout).results, [
    { user: 'alice', status: 'parked' },
    { user: 'bob', status: 'accepted' }
  ])
  t.match(await belfry(to('alice,bob')), {
    code: 1,
    stdout: /rejected {2}alice {2}BELFRY_ERR_PARKED_FULL\nparked {2}bob/,
    stderr: /1 of 2/
  })
  t.match(await belfry(to('alice')), { code: 1, stdout: '', stderr: /429 BELFRY_ERR_PARKED_FULL/ })

  const keyed = await belfry(to('carol', '--key', 'once'))
  t.match(await belfry(to('carol', '--key', 'once')), { code: 0, stdout: keyed.stdout, stderr: /earlier request/ })
  t.match(await belfry(to('carol', '--token', 'wrong')), { code: 1, stderr: /401 BELFRY_ERR_TOKEN_INVALID/ })

  const port = await freePort()
  t.match(await belfry(PUBLISH, { ...KEY, PORT: String(port) }), {
    code: 1,
    stderr: new RegExp(`localhost:${port}/v1/notifications`)
  })
})

t.test('a notification that is delivered while schedule --cancel runs is not recalled, and the answer to the DELETE decides', async (t) => {
  let isDelivered = false
  const asked: string[] = []
  const service = createServer(({ method, url = '' }, response) => {
    asked.push(`${method} ${url.split('/').at(-1)}`)
    const isRefused = method === 'DELETE' && isDelivered && url.endsWith('?only=scheduled')
    response.writeHead(isRefused ? 404 : method === 'DELETE' ? 204 : 200, { 'content-type': 'application/json' })
    response.end(method === 'GET' ? JSON.stringify({ state: isDelivered && asked.length > 1 ? 'unread' : 'scheduled' }) : undefined)
    isDelivered = true
  }).listen(0, '127.0.0.1')
  await once(service, 'listening')
  t.teardown(() => service.close())
  const id = 'a'.repeat(20)
  const { port } = service.address() as AddressInfo
  const cancel = () => belfry(['schedule', '--url', `http://127.0.0.1:${port}`, '--user', 'alice', '--cancel', id, '--token', 'x'])
  t.match(await cancel(), { code: 0, stderr: /cancelled/ })
  t.match(await cancel(), { code: 1, stderr: `belfry: ${id} is not scheduled: it is unread, and was not changed` })
  t.same(asked, [`DELETE ${id}?only=scheduled`, `DELETE ${id}?only=scheduled`, `GET ${id}`])
})

t.test('publish takes the options of a notification; schedule lists and cancels', async (t) => {
  const service = await startService(t, { STRICT_SCOPES: 'true' })
  const url = ['--url', service.url]
  const publish = (...more: string[]) => belfry([...PUBLISH, ...url, ...more])
  const options = ['--ttl', '1h', '--collapse-key', 'k', '--urgency', 'low', '--action', 'approve=Approve', '--action', 'no=No = never']
  t.match(await publish(...options), { code: 0, stdout: /^accepted/ })
  const { items } = (await call(service, 'GET', '/v1/users/alice/notifications')).body
  const actions = [
    { action: 'approve', title: 'Approve' },
    { action: 'no', title: 'No = never' }
  ]
  t.match(items, [{ collapseKey: 'k', urgency: 'low', actions }])
  t.ok(Math.abs(items[0].expiresAt - Date.now() - 3_600_000) < 60_000)
  t.match(await publish('--action', 'Approve=Approve'), { code: 1, stderr: /400 BELFRY_ERR_INVALID_REQUEST/ })

  const at = new Date(Date.now() + 3_600_000)
  t.match(await publish('--deliver-at', at.toISOString()), { code: 0, stdout: `scheduled  alice  at ${at.toISOString()}  ` })
  t.match(await publish('--deliver-at', '+15m'), { code: 0, stdout: /^scheduled/ })
  const listed = await belfry(['schedule', ...url, '--user', 'alice'])
  const [first = '', second = '', ...rest] = linesOf(listed.stdout)
  t.same([listed.code, rest], [0, []])
  t.match(second, new RegExp(`^${at.toISOString()}  t  x  \\S{20}$`))
  const id = first.split('  ').at(-1) ?? ''
  t.match(await belfry(['schedule', ...url, '--user', 'alice', '--cancel', id]), { code: 0, stdout: '', stderr: /cancelled/ })
  t.match(await belfry(['schedule', ...url, '--user', 'alice', '--cancel', id]), { code: 1, stderr: /404 BELFRY_ERR_NOT_FOUND/ })
  const cancelDelivered = await belfry(['schedule', ...url, '--user', 'alice', '--cancel', items[0].id])
  t.match(cancelDelivered, { code: 1, stderr: `belfry: ${items[0].id} is not scheduled: it is unread, and was not changed` })
  t.match(
    (await call(service, 'GET', '/v1/users/alice/notifications')).body.items,
    [{ id: items[0].id }],
    'a delivered one is not recalled'
  )
  t.match(await belfry(['schedule', ...url, '--user', 'nobody']), { code: 0, stdout: '', stderr: /nothing is scheduled/ })
  const json = await belfry(['schedule', ...url, '--user', 'alice', '--json'])
  t.match(JSON.parse(json.stdout), { type: 't', title: 'x', deliverAt: at.getTime() })
  t.match(await belfry(['schedule', ...url, '--user', 'alice', '--token', serviceToken('publish')]), { code: 1, stderr: /403/ })
  for (let n = 0; n < 201; n++)
    await call(service, 'POST', '/v1/notifications', { to: 'bob', type: 'a', title: `${n}`, deliverAt: at.getTime() + n })
  t.equal(linesOf((await belfry(['schedule', ...url, '--user', 'bob'])).stdout).length, 201, 'all pages')
})

t.test('listen shows answers, and on a terminal a line answers a notification', async (t) => {
  const service = await startService(t)
  const actions = [{ action: 'approve', title: 'Approve' }]
  const ask = async () => (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'Question', actions })).body.id
  const args = ['listen', '--url', service.url, '--user', 'alice', '--device', 'cli']
  const cli = new NodeProcess('cli.js', args, KEY, undefined, { terminal: true })
  t.teardown(() => cli.kill())
  await cli.until(() => /connected as alice/.test(cli.stdout), 'the connection')
  const id = await ask()
  await cli.until(() => cli.stdout.includes(`[${id}: approve]`), 'the question')
  cli.child.stdin?.write('b\n')
  await cli.until(() => cli.stdout.includes('to answer a notification'), 'the hint')
  cli.child.stdin?.write(`a ${id.slice(0, 4)} approve\n`)
  await cli.until(() => cli.stdout.includes(`answered: ${id} approve by cli (0 unread)`), 'the answer')
  const other = await ask()
  await call(service, 'POST', `/v1/me/notifications/${other}/actions/approve`, { deviceId: 'phone' }, { token: userToken('alice') })
  await cli.until(() => cli.stdout.includes(`answered: ${other} approve by phone`), 'the answer of another device')
  cli.child.stdin?.write(`a ${other} approve\n`)
  const refusal = /BELFRY_ERR_ALREADY_ANSWERED The notification was answered before: approve by phone, \d{4}-\d\d-\d\dT/
  await cli.until(() => refusal.test(cli.stdout), 'the refusal, which names the winner')
  const replay = listener(t, ['--url', service.url, '--user', 'alice', '--device', 'late', '--from', 'earliest', '--json'])
  await replay.until(() => titlesOf(replay).length === 2, 'the replay')
  t.match(JSON.parse(linesOf(replay.stdout)[0] ?? ''), { state: 'read', answer: { action: 'approve', deviceId: 'cli' } })
})

t.test('listen prints notifications, acknowledges them, and ends with exit code 0', async (t) => {
  const service = await startService(t)
  await send(service, 'alice', 'Pending')
  const cli = listener(t, ['--url', service.url, '--user', 'alice', '--device', 'cli', '--json'])
  await cli.until(() => titlesOf(cli).length === 1, 'what was pending')
  const { id } = await send(service, 'alice', 'Live')
  await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [id], state: 'read' })
  await cli.until(() => linesOf(cli.stdout).length === 3, 'the live ones')
  t.same(titlesOf(cli), ['Pending', 'Live'])
  t.match(JSON.parse(linesOf(cli.stdout)[2] ?? ''), { type: 'state', ids: [id], state: 'read', unread: 1, unseen: 1 })
  t.match(cli.stderr, /connected as alice \(device cli\): 1 pending/)
  await until(async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices[0]?.lag === 0, 'the acknowledgement')
  cli.signal('SIGINT')
  t.equal(await cli.exited, 0)
})

t.test('listen prints one line per notification for people, without control characters', async (t) => {
  const service = await startService(t)
  const { id } = await send(service, 'alice', 'Over \u001b[31m\u0007')
  await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'b', title: 'Two', ref: '/r', data: { n: 1 } })
  await call(service, 'POST', '/v1/users/alice/notifications/mark', { ids: [id], state: 'read' })
  const cli = listener(t, ['--url', service.url, '--user', 'alice', '--from', 'earliest'], KEY)
  await cli.until(() => linesOf(cli.stdout).length >= 2, 'both')
  const live = await send(service, 'alice', 'Three')
  await call(service, 'DELETE', `/v1/users/alice/notifications/${live.id}`)
  await cli.until(() => /retracted/.test(cli.stdout), 'the recall')
  const [one = '', two = ''] = linesOf(cli.stdout)
  t.match(one, /^\d{4}-\S+Z {2}a {2}Over {2}\[31m {3}\(read\)$/)
  t.match(two, /b {2}Two {2}\/r {2}\{"n":1\}$/)
  t.notMatch(cli.stdout, '\u001b')
  cli.signal('SIGTERM')
  t.equal(await cli.exited, 0)
})

t.test('listen reconnects after an outage of the service, and misses nothing', async (t) => {
  const folder = temporaryFolder(t)
  const port = String(await freePort())
  const cli = listener(t, ['--user', 'alice', '--json', '--from', 'latest'], { ...KEY, PORT: port })
  const hint = `no answer from http://localhost:${port} (connect ECONNREFUSED 127.0.0.1:${port}): start the service there, or name its address`
  await cli.until(() => cli.stderr.includes(hint), 'what to do')
  // Then it connects by server-sent events.
  await cli.until(() => (cli.stderr.match(/again in/g) ?? []).length >= 2, 'a second failure')
  const first = await startService(t, { DATA_DIR: folder, PORT: port })
  await cli.until(() => /connected/.test(cli.stderr), 'the connection')
  await send(first, 'alice', 'Before')
  await cli.until(() => titlesOf(cli).length === 1, 'the first')
  await first.close()
  await cli.until(() => /closed with 4200/.test(cli.stderr), 'the end')
  const second = await startService(t, { DATA_DIR: folder, PORT: port })
  await send(second, 'alice', 'After')
  await cli.until(() => titlesOf(cli).length === 2, 'the second')
  t.same(titlesOf(cli), ['Before', 'After'])

  const browser = await connect(t, second, 'alice')
  await browser.next('hello')
  await call(second, 'DELETE', '/v1/users/alice/connections')
  t.equal(await cli.exited, 1)
  t.match(cli.stderr, /closed with 4003/)
})

t.test('listen that is ended before the service answers does not blame the service', async (t) => {
  const service = createServer(() => {}).listen(0, '127.0.0.1')
  await once(service, 'listening')
  const { port } = service.address() as AddressInfo
  const cli = new NodeProcess('cli.js', ['listen', '--url', `http://127.0.0.1:${port}`, '--user', 'alice'], KEY)
  t.teardown(() => {
    cli.kill()
    service.closeAllConnections()
    service.close()
  })
  await once(service, 'connection')
  cli.signal('SIGINT')
  t.same([await cli.exited, cli.stdout, cli.stderr], [0, '', ''])
})

t.test('listen stops if a reconnect would be refused again', async (t) => {
  const service = await startService(t)
  const refused = listener(t, ['--url', service.url, '--token', 'wrong'])
  t.equal(await refused.exited, 1)
  t.match(refused.stderr, /4001 token_invalid/)

  const statuses = [503, 404]
  const proxy = createServer().on('upgrade', (_request, socket) => {
    socket.end(`HTTP/1.1 ${statuses.shift()} No\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => proxy.close())
  const { port } = proxy.address() as AddressInfo
  const cli = listener(t, ['--url', `http://127.0.0.1:${port}/`, '--user', 'alice'])
  t.equal(await cli.exited, 1)
  t.match(
    cli.stderr,
    /refused the connection with 503; again in 1\.[2-8] s[\s\S]*with 404/,
    'the wait is Retry-After and a back-off of 250 to 750 ms'
  )
})

t.test('listen --from latest on an empty log gets notifications published during an outage', async (t) => {
  const folder = temporaryFolder(t)
  const port = String(await freePort())
  const first = await startService(t, { DATA_DIR: folder, PORT: port })
  const cli = listener(t, ['--user', 'alice', '--json', '--from', 'latest'], { ...KEY, PORT: port })
  await cli.until(() => /connected/.test(cli.stderr), 'the connection')
  await first.close()
  await cli.until(() => /again in/.test(cli.stderr), 'the end')
  const second = await startService(t, { DATA_DIR: folder, PORT: port })
  await send(second, 'alice', 'While away')
  await cli.until(() => titlesOf(cli).length === 1, 'the notification')
  t.same(titlesOf(cli), ['While away'])
})

t.test('listen ends silently when the reader of its pipe has ended', async (t) => {
  const service = await startService(t)
  await send(service, 'alice', 'One')
  const cli = listener(t, ['--url', service.url, '--user', 'alice', '--json'])
  await cli.until(() => titlesOf(cli).length === 1, 'the first line')
  cli.child.stdout?.destroy()
  await send(service, 'alice', 'Two')
  t.equal(await cli.exited, 0)
  t.match(cli.stderr, /^connected as [^\n]*\n$/)
})

t.test('colour is for terminals that want it', (t) => {
  const { TERM, NO_COLOR, FORCE_COLOR, CI } = process.env
  const restore = { TERM, NO_COLOR, FORCE_COLOR, CI }
  t.teardown(() => {
    for (const [name, value] of Object.entries(restore)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  delete process.env.FORCE_COLOR
  delete process.env.NO_COLOR
  delete process.env.CI
  process.env.TERM = 'xterm-256color'
  const written = (): string => {
    const terminal = Object.assign(new PassThrough(), { isTTY: true, getColorDepth: WriteStream.prototype.getColorDepth })
    const output = new Output(false, terminal, terminal)
    output.error('no')
    output.frame({ type: 'digest', eventId: 'k3f9.1.0b7d55aa', count: 1, ids: ['a'], unread: 1 })
    output.frame({ type: 'gap', reason: 'trimmed', from: 'k3f9.1', to: 'k3f9.2', count: 0 })
    return bufferedText(terminal)
  }
  const coloured = written()
  t.match(coloured, '\u001b[31mno')
  t.match(coloured, /digest: 1[\s\S]*gap: trimmed, an unknown number/)
  process.env.NO_COLOR = '1'
  t.notMatch(written(), '\u001b')
  t.end()
})

t.test('doctor: a sound folder, a damaged folder that is only examined, and a repair', async (t) => {
  const folder = temporaryFolder(t)
  const environment = { ...KEY, DATA_DIR: folder }
  for (const command of [['doctor'], ['doctor', '--repair']]) {
    t.match(await belfry(command, environment), {
      code: 1,
      stdout: /^$/,
      stderr: /There is no database in \S+: set DATA_DIR to the folder/
    })
  }
  const fill = async (): Promise<void> => {
    const service = await startService(t, { DATA_DIR: folder, RATE_LIMIT_MAX: '0' })
    for (let n = 0; n < 5; n++) await send(service, 'alice', `n${n}`)
    await service.app.close()
  }
  await fill()
  await fill()
  t.match(await belfry(['doctor'], environment), { code: 0, stdout: /: 1 user, 10 rows\nsound\n$/, stderr: '' })
  const store = join(folder, 'store')
  const table = join(store, readdirSync(store).find((name) => name.endsWith('.ldb')) as string)
  const bytes = readFileSync(table)
  bytes[60] = (bytes[60] as number) ^ 0xff
  await refusedInUse(t, folder, () => writeFileSync(table, bytes))
  const before = readdirSync(store)
  const found = await belfry(['doctor', '--json'], environment)
  t.equal(found.code, 1)
  t.match(JSON.parse(found.stdout), { sound: false, repaired: false, files: [/\.ldb at byte 0: the checksum of a block does not match/] })
  t.same(readdirSync(store), before, 'nothing is changed')
  t.match(await belfry(['doctor', '--repair'], environment), { code: 0, stdout: /repaired/ })
  t.match(await belfry(['doctor'], environment), { code: 0 })
  rmSync(join(store, 'CURRENT'))
  t.match(await belfry(['doctor'], environment), { code: 1, stdout: /damaged file: CURRENT at byte 0: the file is missing/ })
  t.match(await belfry(['doctor', '--repair'], environment), { code: 0 })
  const service = await startService(t, { DATA_DIR: folder })
  t.match(await call(service, 'GET', '/health/ready', undefined, { token: '' }), { status: 200 })
  const client = await connect(t, service, 'alice', { deviceId: 'd', lastEventId: 'earliest' })
  t.match(await client.next('gap'), { reason: 'lost' })
})

/** Checks that doctor neither examines nor changes the damaged folder of a service that runs: its repair would move files that the service writes to. */
async function refusedInUse(t: Test, folder: string, damage: () => void): Promise<void> {
  const service = await startService(t, { DATA_DIR: folder })
  damage()
  const before = readdirSync(join(folder, 'store'))
  for (const command of [['doctor'], ['doctor', '--repair']]) {
    const refused = await belfry(command, { ...KEY, DATA_DIR: folder })
    t.match(refused, { code: 1, stdout: /^$/, stderr: /is in use by another process: stop that process/ })
  }
  t.same(readdirSync(join(folder, 'store')), before, 'the files of the service are where they were')
  await service.app.close()
  const beside = readdirSync(folder).filter((name) => name.startsWith('store.'))
  t.same(beside, [], 'nothing is left beside the folder')
}
