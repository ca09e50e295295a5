import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { type BroadcastCommand, type PublishCommand, readArguments, type TopicCommand } from '../../cli/arguments.ts'
import { barOf, broadcast } from '../../cli/broadcast.ts'
import { reasonOf, remedyFor } from '../../cli/call-service.ts'
import { Output } from '../../cli/output.ts'
import { publish } from '../../cli/publish.ts'
import { topic } from '../../cli/topic.ts'
import { bufferedText } from '../fixtures/buffered-text.ts'
import { NodeProcess } from '../fixtures/node-process.ts'
import { until } from '../fixtures/wait.ts'
import { SECRET, serviceToken, startService, type TestService } from '../helper.ts'

const PUBLISH = ['publish', '--type', 't', '--title', 'Hi']

interface Printed {
  stdout: string
  stderr: string
}

/** Runs a command of the command line in this process. */
async function run(service: TestService, args: string[], input = '', token = serviceToken()): Promise<Printed> {
  const command = readArguments(args) as TopicCommand | BroadcastCommand | PublishCommand
  const [stdout, stderr] = [new PassThrough({ highWaterMark: 1_000_000 }), new PassThrough()]
  const output = new Output(command.json, stdout, stderr)
  const readInput = async (): Promise<string> => input
  if (command.name === 'topic') await topic(command, service.url, token, readInput, output)
  else if (command.name === 'broadcast') await broadcast(command, service.url, token, output)
  else await publish(command, service.url, token, readInput, output)
  return { stdout: bufferedText(stdout), stderr: bufferedText(stderr) }
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')

t.test('topic changes and lists members; publish reaches a topic or everyone; broadcast shows progress and cancels', async (t) => {
  const service = await startService(t, { RATE_LIMIT_MAX: '0' })
  const cli = new NodeProcess('cli.js', ['topic', 'add', 'team', 'alice', 'bob', 'alice', '--url', service.url], { JWT_SECRET: SECRET })
  const many = Array.from({ length: 10_001 }, (_, n) => `user-${n}`)
  t.same(await run(service, ['topic', 'add', 'team', '-'], `${many.join('\r\n')}\n\n`), { stdout: 'added 10001\n', stderr: '' })
  t.equal(await cli.exited, 0)
  t.same([cli.stdout, cli.stderr], ['added 2\n', ''])
  t.match(await run(service, ['topic', 'remove', 'team', 'bob', 'carol', '--json']), { stdout: '{"added":0,"removed":1}\n' })
  t.same(linesOf((await run(service, ['topic', 'members', 'team'])).stdout).sort(), ['alice', ...many].sort(), 'all pages')
  t.same(await run(service, ['topic', 'members', 'none', '--json']), { stdout: '', stderr: '' })
  await t.rejects(run(service, ['topic', 'add', 'team', '-'], 'alice\n..\n'), { name: 'UsageError', message: /line 2/ })
  await t.rejects(run(service, ['topic', 'members', 'team'], '', serviceToken('publish')), { message: /403/ })

  await run(service, ['topic', 'add', 'small', 'alice', 'bob', 'carol'])
  const toSmall = [...PUBLISH, '--topic', 'small', '--except', 'bob, dan', '--key', 'k']
  const sent = await run(service, toSmall)
  t.match(sent, { stdout: /^running {2}\S{22} {2}\S{20}\n$/, stderr: '' })
  const id = sent.stdout.split('  ')[1] ?? ''
  t.match(linesOf((await run(service, ['broadcast', id])).stdout).at(-1), /^done {2}accepted 2 {2}parked 0 {2}rejected 0 .*in \d+\.\d s$/)
  t.match(await run(service, toSmall), { stdout: `done  ${id}`, stderr: /an earlier request/ })
  const json = linesOf((await run(service, ['broadcast', id, '--json'])).stdout)
  t.match(JSON.parse(json.at(-1) ?? ''), { id, to: { topic: 'small' }, status: 'done', accepted: 2 })
  t.match(await run(service, ['broadcast', id, '--cancel']), { stdout: '', stderr: /cancelled/ })
  t.match((await run(service, ['broadcast', id])).stdout, /^cancelled {2}accepted 2/)
  await t.rejects(run(service, ['broadcast', 'none']), { message: /404 BELFRY_ERR_NOT_FOUND/ })
  t.match(JSON.parse((await run(service, [...PUBLISH, '--everyone', '--json'])).stdout), { results: [], broadcast: { id: String } })
})

t.test('errors of the command line', async (t) => {
  const wrong: [string[], RegExp][] = [
    [['topic'], /topic takes add, remove or members/],
    [['topic', 'list', 'team'], /topic takes add, remove or members/],
    [['topic', 'add'], /the topic is needed/],
    [['topic', 'add', '..', 'alice'], /a topic is 1 to 128/],
    [['topic', 'add', 'team', '..'], /a user is 1 to 128/],
    [['topic', 'add', 'team'], /add takes a topic and its users/],
    [['topic', 'members', 'team', 'alice'], /members takes a topic and no users/],
    [['broadcast'], /the id of one broadcast is needed/],
    [['broadcast', 'a', 'b'], /the id of one broadcast is needed/],
    [[...PUBLISH, '--to', 'alice', '--topic', 'team'], /only one of them/],
    [[...PUBLISH, '--topic', 'team', '--everyone'], /only one of them/],
    [[...PUBLISH, '--to', 'alice', '--except', 'bob'], /--except goes with/],
    [PUBLISH, /--to is needed, or --topic, or --everyone/]
  ]
  for (const [args, message] of wrong) t.throws(() => readArguments(args), { name: 'UsageError', message }, args.join(' '))
})

t.test('the progress of a broadcast is a bar on a terminal', async (t) => {
  t.equal(barOf({ members: 1000, accepted: 480, parked: 15, rejected: 5 }), `[${'='.repeat(15)}${' '.repeat(15)}] 500 of 1,000`)
  t.equal(barOf({ members: 0, accepted: 0, parked: 0, rejected: 0 }), `[${'='.repeat(30)}] 0 of 0`)
  t.equal(barOf({ members: null, accepted: 1, parked: 0, rejected: 0 }), '1 members so far')
  const answers = [
    { status: 'running', members: 4, accepted: 2, parked: 0, rejected: 0, startedAt: 0, finishedAt: null },
    { status: 'done', members: 4, accepted: 4, parked: 0, rejected: 0, startedAt: 0, finishedAt: 1500 }
  ]
  const server = createServer((_request, response) => response.end(JSON.stringify(answers.shift())))
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await until(() => server.listening)
  const { port } = server.address() as AddressInfo
  const stdout = new PassThrough()
  const stderr = Object.assign(new PassThrough(), { isTTY: true })
  const command = { name: 'broadcast' as const, json: false, url: undefined, token: undefined, id: 'x', cancel: false }
  await broadcast(command, `http://127.0.0.1:${port}`, 'token', new Output(false, stdout, stderr))
  // The control characters of the terminal are part of the output under test.
  t.equal(bufferedText(stderr), `\r\u001b[K[${'='.repeat(15)}${' '.repeat(15)}] 2 of 4\r\u001b[K`)
  t.equal(bufferedText(stdout), 'done  accepted 4  parked 0  rejected 0  of 4  in 1.5 s\n')
})

t.test('a broadcast is shown through a short outage of the service, and not before the service has answered once', async (t) => {
  const running = { status: 'running', members: 4, accepted: 2, parked: 0, rejected: 0, startedAt: 0, finishedAt: null }
  const answers: [number, object][] = [
    [200, running],
    [503, { code: 'BELFRY_ERR_STORE_UNAVAILABLE', detail: 'The store cannot be reached' }],
    [200, { ...running, status: 'done', accepted: 4, finishedAt: 1500 }]
  ]
  const server = createServer((_request, response) => {
    const [status, body] = answers.shift() ?? [200, {}]
    response.writeHead(status, { connection: 'close' }).end(JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await until(() => server.listening)
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { stdout, stderr } = await run({ url } as TestService, ['broadcast', '00id'])
  t.match(stdout, /^running .*\ndone {2}accepted 4 .*\n$/)
  t.match(stderr, /^503 BELFRY_ERR_STORE_UNAVAILABLE The store cannot be reached; the broadcast may go on, looking again\n$/)
  server.close()
  await until(() => !server.listening)
  await t.rejects(run({ url } as TestService, ['broadcast', '00id']), {
    message: `no answer from ${url}/v1/broadcasts/00id (connect ECONNREFUSED ${url.slice(7)}): start the service there, or name its address with --url, or with HOST and PORT`
  })
})

t.test('a request without an answer is told with its address and what to do', async (t) => {
  const remedies: [string, string, RegExp][] = [
    ['connect ECONNREFUSED 127.0.0.1:3000', 'http:', /^start the service there/],
    ['getaddrinfo ENOTFOUND nowhere', 'https:', /^start the service there/],
    ['wrong version number', 'https:', /does not speak TLS there, write http:\/\//],
    ['self-signed certificate in certificate chain', 'https:', /NODE_EXTRA_CA_CERTS/],
    ["Hostname/IP does not match certificate's altnames", 'https:', /NODE_EXTRA_CA_CERTS/],
    ['read ECONNRESET', 'https:', /speaks TLS/]
  ]
  for (const [reason, protocol, remedy] of remedies) t.match(remedyFor(reason, protocol), remedy, reason)
  const openssl = '80FC:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/ssl3_record.c:350:\n'
  t.equal(reasonOf({ message: openssl }), 'wrong version number', 'without the addresses of the source of OpenSSL')
  t.equal(reasonOf({ code: 'ECONNREFUSED' }), 'ECONNREFUSED')
})

t.test('an answer that is no JSON is told in one sentence', async (t) => {
  const server = createServer((_request, response) => response.end('<!doctype html><title>Welcome</title>')).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await until(() => server.listening)
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const commands = [
    ['topic', 'members', 'team'],
    ['topic', 'add', 'team', 'alice'],
    ['broadcast', '00id'],
    [...PUBLISH, '--to', 'alice']
  ]
  for (const args of commands) {
    await t.rejects(
      run({ url } as TestService, args),
      { message: `${url} did not answer with JSON: is it the address of a Belfry service?` },
      args.join(' ')
    )
  }
})
