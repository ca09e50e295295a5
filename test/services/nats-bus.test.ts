import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { nkeys } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import type { Bus, BusListener, Outgoing } from '../../services/bus/bus.ts'
import { type MessageReader, readMessages } from '../../services/bus/messages.ts'
import { natsAccess } from '../../services/bus/nats-access.ts'
import { NatsBus } from '../../services/bus/nats-bus.ts'
import type { NatsSettings } from '../../services/bus/nats-settings.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { makeCertificates, textsOf } from '../fixtures/certificates.ts'
import { Follower } from '../fixtures/follower.ts'
import { NatsServer, natsBus } from '../fixtures/nats.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { command, settings } from '../fixtures/redis-ground.ts'
import { until } from '../fixtures/wait.ts'
import { temporaryFolder } from '../helper.ts'

const NONE: NatsSettings = { servers: [], token: '', username: '', password: '', credentials: '', seed: '', certificates: {} }
const silentListener: BusListener = { onMessage: () => undefined, onInterruption: () => undefined }

const redis = await RedisServer.start()
t.teardown(() => redis.stop())

async function serverOf(t: Test, config = ''): Promise<NatsServer> {
  const server = await NatsServer.start(config)
  t.teardown(() => server.stop())
  return server
}

/** Opens a bus with these settings. Resolves after its first attempt. */
async function opened(t: Test, own: Partial<NatsSettings>, lines: string[] = []): Promise<NatsBus> {
  const log = { info: (line: string) => lines.push(line), warn: (line: string) => lines.push(line) }
  const bus = new NatsBus({ access: natsAccess({ ...NONE, ...own }, 'test'), prefix: 'test', log })
  t.teardown(() => bus.close())
  await bus.open('one', silentListener)
  return bus
}

let databases = 0

/** Opens nodes of one database, each with a bus of its own. */
async function nodesOf(t: Test, buses: Bus[], overrides: { waitReplicas?: number } = {}): Promise<Follower[]> {
  const keyPrefix = `nats${++databases}`
  const nodes = buses.map((bus, index) => {
    const store = new RedisStore(settings, { url: redis.url, keyPrefix, waitReplicas: 0, bus, ...overrides })
    t.teardown(() => store.close())
    return new Follower(`node-${index}`, store)
  })
  return await Promise.all(nodes.map((node) => node.open()))
}

const close = { user: 'alice', connectionId: undefined, reason: 'bye', revoke: false }

t.test('one message for each node and call: wake-ups, kicks, batches, and publishes that wait for replicas', async (t) => {
  const server = await serverOf(t)
  for (const waitReplicas of [0, 1]) {
    const [a, b, c] = (await nodesOf(t, [natsBus(server.url), natsBus(server.url), natsBus(server.url)], { waitReplicas })) as [
      Follower,
      Follower,
      Follower
    ]
    for (const user of ['alice', 'bob']) await a.follow(user)
    await b.follow('alice')
    const commands = Array.from({ length: 40 }, (_, n) => command(n % 2 === 0 ? 'alice' : 'bob'))
    await Promise.all(commands.map((each) => c.store.publish(each)))
    const idsOf = (user: string): string[] => commands.filter((each) => each.user === user).map(({ id }) => id)
    await until(() => a.ids('alice').length === 20 && a.ids('bob').length === 20 && b.ids('alice').length === 20, 'all arrive')
    t.same(a.ids('alice'), idsOf('alice'))
    t.same(b.ids('alice'), idsOf('alice'))
    t.equal(a.suspicions + b.suspicions, 0, 'every message was heard')

    const began = performance.now()
    t.equal(await c.store.disconnect(close), 2)
    await until(() => a.kicks.length === 1 && b.kicks.length === 1, 'both are told to close')
    t.ok(performance.now() - began < 900, 'by a message, before the counters are compared')
    await Promise.all([a, b, c].map(({ store }) => store.close()))
  }
})

t.test('a bus that drops kicks is noticed: the store finds them by its counters, and the check above fails', async (t) => {
  const server = await serverOf(t)
  const dropping = natsBus(server.url)
  const { publish } = dropping
  const isKick = ({ message }: Outgoing): boolean => message[0] === 'k'.charCodeAt(0)
  Object.assign(dropping, { publish: (messages: Outgoing[]) => publish(messages.filter((message) => !isKick(message))) })
  const [a, b] = (await nodesOf(t, [natsBus(server.url), dropping])) as [Follower, Follower]
  await a.follow('alice')
  const began = performance.now()
  await b.store.disconnect(close)
  await until(() => a.kicks.length === 1, 'the attach after the suspicion finds the order')
  t.ok(performance.now() - began > 900)
  t.equal(a.suspicions, 1)
})

t.test('after a gap the users who missed a wake-up are suspect, and no others', async (t) => {
  const server = await serverOf(t)
  const [a, b] = (await nodesOf(t, [natsBus(server.url), natsBus(server.url)])) as [Follower, Follower]
  for (const user of ['alice', 'bob']) await a.follow(user)
  const affected: boolean[] = []
  const suspect = a.suspect.bind(a)
  a.suspect = (isAffected) => {
    affected.push(isAffected('alice'), isAffected('bob'))
    suspect(isAffected)
  }
  await server.kill()
  const missed = command('alice')
  await b.store.publish(missed)
  await server.run()
  await until(() => a.ids('alice').includes(missed.id), 'the missed one')
  t.same(affected, [true, false])
  const next = command('bob')
  await until(async () => (await b.store.publish(command('bob'))).status === 'accepted' && a.ids('bob').length > 0, 'wake-ups arrive again')
  await b.store.publish(next)
  await until(() => a.ids('bob').includes(next.id), 'the next one')
})

t.test('a server that accepts connections and says nothing: the bus keeps no socket to it, and uses the other server', async (t) => {
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
  }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const address = silent.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const lines: string[] = []
  const alone = await opened(t, { servers: [`nats://127.0.0.1:${address.port}`] }, lines)
  t.match(alone.status(), { available: false, reason: /^the server sends no greeting: check NATS_URL/ })
  await alone.close()
  await until(() => sockets.size === 0, 'no socket is left')
  t.match(lines, [/^NATS is not available: the server sends no greeting: check NATS_URL/])
  t.equal(lines.length, 1)

  const server = await serverOf(t)
  const both = await opened(t, { servers: [`nats://127.0.0.1:${address.port}`, server.url] })
  await until(() => both.status().available, 'the other server')
  await until(() => sockets.size === 0, 'no socket is left')
})

t.test('a token, a user and password, an NKey: a wrong one is named once in the log, and retried', async (t) => {
  const user = nkeys.createUser()
  const seed = new TextDecoder().decode(user.getSeed())
  const other = new TextDecoder().decode(nkeys.createUser().getSeed())
  const cases: [config: string, right: Partial<NatsSettings>, wrong: Partial<NatsSettings>][] = [
    ['authorization { token: "s3cret" }', { token: 's3cret' }, { token: 'other' }],
    [
      'authorization { user: belfry, password: "s3cret" }',
      { username: 'belfry', password: 's3cret' },
      { username: 'belfry', password: 'x' }
    ],
    [`authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`, { seed }, { seed: other }]
  ]
  for (const [config, right, wrong] of cases) {
    const server = await serverOf(t, config)
    const servers = [server.url]
    t.equal((await opened(t, { servers, ...right })).status().available, true, config)
    const lines: string[] = []
    const refused = await opened(t, { servers, ...wrong }, lines)
    t.match(refused.status(), { available: false, reason: /Authorization Violation/ })
    await server.kill()
    await until(() => /ECONNREFUSED/.test(refused.status().reason), 'it is tried again')
    t.equal(lines.filter((line) => /Authorization/.test(line)).length, 1)
  }
})

t.test('a credentials file: the JWT of a user of an account', async (t) => {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()]
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const jwt = (issuer: typeof operator, subject: typeof operator, nats: object): string => {
    const body = {
      jti: 'x',
      iat: Math.floor(Date.now() / 1000),
      iss: issuer.getPublicKey(),
      name: 'test',
      sub: subject.getPublicKey(),
      nats
    }
    const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode(body)}`
    return `${signed}.${Buffer.from(issuer.sign(new TextEncoder().encode(signed))).toString('base64url')}`
  }
  const unlimited = { subs: -1, conn: -1, leaf: -1, imports: -1, exports: -1, data: -1, payload: -1, wildcards: true }
  const operatorJwt = jwt(operator, operator, { type: 'operator', version: 2 })
  const accountJwt = jwt(operator, account, { type: 'account', version: 2, limits: unlimited })
  const userJwt = jwt(account, user, { type: 'user', version: 2, subs: -1, data: -1, payload: -1 })
  const config = `operator: "${operatorJwt}"\nresolver: MEMORY\nresolver_preload: { ${account.getPublicKey()}: "${accountJwt}" }`
  const server = await serverOf(t, config)
  const seed = new TextDecoder().decode(user.getSeed())
  const credentials = [
    '-----BEGIN NATS USER JWT-----',
    userJwt,
    '------END NATS USER JWT------',
    '',
    '-----BEGIN USER NKEY SEED-----',
    seed,
    '------END USER NKEY SEED------',
    ''
  ].join('\n')
  const lines: string[] = []
  t.equal((await opened(t, { servers: [server.url], credentials }, lines)).status().available, true, lines.join())
  t.match((await opened(t, { servers: [server.url] })).status(), { available: false, reason: /Authorization Violation/ })
})

t.test('TLS: the authority, the client certificate, and a server without TLS', async (t) => {
  const made = await makeCertificates(temporaryFolder(t))
  const { cert, key } = made.server
  const server = await serverOf(t, `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${made.ca}", verify: true }`)
  const servers = [`tls://127.0.0.1:${server.port}`]
  const lines: string[] = []
  const secured = await opened(t, { servers, certificates: await textsOf(made.client, made.ca) }, lines)
  t.equal(secured.status().available, true, lines.join())
  const untrusted = await opened(t, {
    servers,
    certificates: { ...(await textsOf(made.client, made.ca)), ca: await readFile(made.stranger.cert, 'utf8') }
  })
  t.match(untrusted.status(), { available: false, reason: /certificate/ })
  const plain = await serverOf(t)
  const refused = await opened(t, { servers: [`tls://127.0.0.1:${plain.port}`] })
  t.match(refused.status(), { available: false, reason: 'the server does not speak TLS: write nats:// in NATS_URL' })
  const unverified = await opened(t, { servers: [server.url] })
  t.match(unverified.status(), { available: false, reason: /certificate: set NATS_TLS_CA .*, and write tls:\/\/ in NATS_URL$/ })
})

t.test('a user without permission for the subjects: the bus is unavailable, and says why', async (t) => {
  const server = await serverOf(
    t,
    'authorization { users: [ { user: u, password: p, permissions: { publish: "other.>", subscribe: "other.>" } } ] }'
  )
  const bus = await opened(t, { servers: [server.url], username: 'u', password: 'p' })
  t.match(bus.status(), { available: false, reason: /Permissions Violation/i })
})

t.test('a message over the limit of the server is dropped, and logged once', async (t) => {
  const server = await serverOf(t, 'max_payload: 1000')
  const lines: string[] = []
  const bus = await opened(t, { servers: [server.url] }, lines)
  bus.publish([
    { node: 'one', message: Buffer.alloc(1001) },
    { node: 'one', message: Buffer.alloc(1001) }
  ])
  t.same([bus.sent, bus.dropped], [0, 2])
  t.equal(lines.filter((line) => /refuses a message of 1001 bytes/.test(line)).length, 1)
})

t.test('a bus that is closed before it ever connected', async (t) => {
  const bus = await opened(t, { servers: [`nats://127.0.0.1:${await freePort()}`] })
  const began = performance.now()
  await bus.close()
  t.ok(performance.now() - began < 500)
})

t.test('messages of others on the subject are ignored', async (t) => {
  const seen: unknown[] = []
  const reader: MessageReader = { onWake: (...args) => seen.push(args), onKick: (...args) => seen.push(args) }
  for (const text of ['', 'x', 'w', 'wx 1 e 1 u', 'w1 x e 1 u', 'w1 1 e', 'k1 0', 'q1 0 * 1 a', 'm', 'm-5 w1 1 e 1 u', 'm9', 'mx w1'])
    readMessages(Buffer.from(text), reader)
  t.same(seen, [])
  readMessages(Buffer.from('m12 w7 3 ep 1 ur14 k8 1 c 2 ébye'), reader)
  t.match(seen, [
    [7, { user: 'u', epoch: 'ep', offset: 3, row: Buffer.from('r') }],
    [8, { user: 'é', connectionId: 'c', reason: 'bye', revoked: true }]
  ])
})
