import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  ConfigError,
  environmentSchema,
  natsSettingsOf,
  readClientConfig,
  readConfig,
  redisOptionsOf,
  servesDemo,
  withDemoReceiver
} from '../config.ts'
import { makeVapidKeys } from '../services/reach/vapid.ts'
import { parseRedisUrl } from '../services/store/redis-url.ts'
import { makeCertificates } from './fixtures/certificates.ts'
import { temporaryFolder } from './helper.ts'

const SECRET = 'a secret for tests only, and long enough'

/** Names of `Config` that say a unit or a window which the variable does not. */
const CLEAR_NAMES: Record<string, string> = {
  CONNECT_RATE_LIMIT_MAX: 'CONNECT_RATE_LIMIT_PER_MINUTE',
  PUBLISH_RATE_LIMIT_MAX: 'PUBLISH_RATE_LIMIT_PER_SECOND',
  RATE_LIMIT_MAX: 'RATE_LIMIT_PER_WINDOW',
  MAX_TOKEN_LIFETIME: 'MAX_TOKEN_LIFETIME_SECONDS'
}

function pem(key: KeyObject): string {
  return String(key.export({ type: 'spki', format: 'pem' }))
}

function problemsOf(environment: Record<string, string>): string[] {
  try {
    readConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('an empty environment gives the defaults of the schema, the embedded store and empty lists', async (t) => {
  const config = readConfig({})
  const values: Record<string, unknown> = { ...config }
  for (const [name, { default: value }] of Object.entries(environmentSchema.properties) as [string, { default?: unknown }][]) {
    const actual = values[CLEAR_NAMES[name] ?? name]
    const isList = Array.isArray(actual)
    t.same(actual, isList ? [] : value, name)
    if (isList) t.equal(value, '', `${name} is a list that is empty by default`)
  }
  t.equal(redisOptionsOf(config), undefined)
  t.match(config, { HOST: '127.0.0.1', PORT: 3000, RATE_LIMIT_PER_WINDOW: 10, RETENTION_SECONDS: 604_800, WS_MAX_PAYLOAD_BYTES: 10_240 })
  t.ok(Object.isFrozen(config))
})

t.test('an empty value counts as unset; numbers and booleans are read from text', async (t) => {
  const config = readConfig({ PORT: '0', RATE_LIMIT_MAX: '', DEMO: 'true', LOG_LEVEL: 'trace', HOME: '/root' })
  t.match(config, { PORT: 0, RATE_LIMIT_PER_WINDOW: 10, DEMO: true, LOG_LEVEL: 'trace' })
  t.equal(readConfig({ DEMO: '' }).DEMO, undefined)
})

t.test('lists are split at commas and trimmed', async (t) => {
  const config = readConfig({
    TRUST_PROXY: '10.0.0.0/8, ::1 ,192.0.2.7',
    API_KEYS: 'one,two,,',
    ALLOWED_ORIGINS: 'https://App.example, http://localhost:8080, capacitor://localhost',
    CORS_ORIGIN: '*',
    REDIS_CLUSTER_NODES: 'a:7000, b:7001',
    JWT_SECRET: SECRET
  })
  t.same(config.TRUST_PROXY, ['10.0.0.0/8', '::1', '192.0.2.7'])
  t.same(config.API_KEYS, ['one', 'two'])
  t.same(config.ALLOWED_ORIGINS, ['https://App.example', 'http://localhost:8080', 'capacitor://localhost'])
  t.same(config.CORS_ORIGIN, ['*'])
  t.same(config.REDIS_CLUSTER_NODES, ['a:7000', 'b:7001'])
  t.match(redisOptionsOf(config), { clusterNodes: ['a:7000', 'b:7001'], keyPrefix: 'belfry' })
  t.match(redisOptionsOf(readConfig({ REDIS_URL: 'rediss://cache', JWT_SECRET: SECRET })), { url: 'rediss://cache' })
  const sentinels = readConfig({ REDIS_SENTINELS: 's:26379', REDIS_SENTINEL_NAME: 'mymaster', JWT_SECRET: SECRET })
  t.match(redisOptionsOf(sentinels), { sentinels: ['s:26379'], sentinelName: 'mymaster' })
})

t.test('an API key follows the prefix of the scope admin', async (t) => {
  t.same(readConfig({ API_KEYS: 'one,admin:two' }).API_KEYS, ['one', 'admin:two'])
  t.same(problemsOf({ API_KEYS: 'one,admin:' }), ['API_KEYS: a key must follow admin:'])
})

t.test('all problems are reported together, without values that may be secret', async (t) => {
  const environment = {
    PORT: '70000',
    LOG_LEVEL: 'loud',
    RATE_LIMIT_MAX: 'ten',
    REDIS_KEY_PREFIX: 'a{b}',
    BELFRY_PORT: '1',
    BELFRY_X: '',
    REDIS_URL: 'http://:hunter2@cache',
    REDIS_CLUSTER_NODES: 'redis://:hunter2@cache:6379',
    REDIS_SENTINELS: 'sentinel',
    JWT_SECRET: 'hunter2',
    JWT_PUBLIC_KEY: 'hunter2',
    JWKS_URL: 'ftp://keys',
    ALLOWED_ORIGINS: 'app.example,https://user@app.example,capacitor://localhost/,file://',
    CORS_ORIGIN: 'https://app.example/',
    TRUST_PROXY: '10.0.0.0/33,fe80::/129,everyone,10.0.0.0/8/8,10.0.0.0/'
  }
  const problems = problemsOf(environment)
  for (const expected of [
    /^PORT must be an integer from 0 to 65535$/,
    /^LOG_LEVEL must be fatal, error, warn, info, debug, trace or silent$/,
    /^RATE_LIMIT_MAX must be an integer from 0 to 1000$/,
    /^REDIS_KEY_PREFIX must match \^/,
    /^BELFRY_PORT is not a variable/,
    /^BELFRY_X is not a variable/,
    /^only one of REDIS_URL, REDIS_CLUSTER_NODES and REDIS_SENTINELS/,
    /^REDIS_URL must be a redis/,
    /^REDIS_CLUSTER_NODES must be host:port/,
    /^REDIS_SENTINELS must be host:port/,
    /^REDIS_SENTINELS needs REDIS_SENTINEL_NAME/,
    /^JWT_SECRET must have 32 bytes or more/,
    /^only one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL/,
    /^JWT_PUBLIC_KEY must be an RSA, P-256 or Ed25519/,
    /^JWKS_URL must be an http/,
    /^ALLOWED_ORIGINS: app.example must be/,
    /^ALLOWED_ORIGINS: https:\/\/user@app.example must be/,
    /^ALLOWED_ORIGINS: capacitor:\/\/localhost\/ must be/,
    /^ALLOWED_ORIGINS: file:\/\/ must be/,
    /^CORS_ORIGIN: https:\/\/app.example\/ must be/,
    /^TRUST_PROXY: 10.0.0.0\/33 must be/,
    /^TRUST_PROXY: fe80::\/129 must be/,
    /^TRUST_PROXY: everyone must be/,
    /^TRUST_PROXY: 10.0.0.0\/8\/8 must be/,
    /^TRUST_PROXY: 10.0.0.0\/ must be/
  ]) {
    t.equal(problems.filter((problem) => expected.test(problem)).length, 1, String(expected))
  }
  t.equal(problems.length, 25, problems.join('\n'))
  t.notMatch(problems.join('\n'), /hunter2/)
  t.throws(() => readConfig(environment), { name: 'ConfigError', message: /PORT must be[\s\S]*TRUST_PROXY/ })
})

t.test('each setting that would have no effect, or fail later, is refused at the start', async (t) => {
  const redis = { REDIS_URL: 'rediss://cache', JWT_SECRET: SECRET }
  const folder = temporaryFolder(t)
  const truncated = join(folder, 'truncated.crt')
  writeFileSync(truncated, readFileSync((await makeCertificates(folder)).ca, 'utf8').slice(0, 200))
  const wrong: [Record<string, string>, string][] = [
    [{ REDIS_TLS: 'yes' }, 'REDIS_TLS must be true or false'],
    [{ DEMO: '1' }, 'DEMO must be true or false'],
    [{ PUSH_UNLESS: 'Read' }, 'PUSH_UNLESS must be delivered, seen or read'],
    [{ PORT: '3001', METRICS_PORT: '3001' }, 'METRICS_PORT must differ from PORT; 0 serves /metrics on PORT'],
    [{ REDIS_CLUSTER_NODES: ' , ' }, 'REDIS_CLUSTER_NODES has no item between its commas'],
    [{ ALLOWED_ORIGINS: ',' }, 'ALLOWED_ORIGINS has no item between its commas'],
    [{ REDIS_CLUSTER_NODES: 'a:0', JWT_SECRET: SECRET }, 'REDIS_CLUSTER_NODES must be host:port, comma-separated'],
    [{ REDIS_CLUSTER_NODES: 'a:1;b:2', JWT_SECRET: SECRET }, 'REDIS_CLUSTER_NODES must be host:port, comma-separated'],
    [{ REDIS_SENTINEL_NAME: 'm' }, 'REDIS_SENTINEL_NAME goes with REDIS_SENTINELS'],
    [{ JWKS_URL: 'https://user:hunter2@keys.example' }, 'JWKS_URL must be an http:// or https:// URL without user'],
    [
      { ALLOWED_ORIGINS: 'https://*.app.example' },
      'ALLOWED_ORIGINS: https://*.app.example must be scheme://host[:port], without wildcards'
    ],
    [{ CORS_ORIGIN: 'https://*.app.example' }, 'CORS_ORIGIN: https://*.app.example must be scheme://host[:port] without wildcards, or *'],
    [{ ...redis, REDIS_TLS_CA: truncated }, 'REDIS_TLS_CA must be a certificate in PEM, or the path of one']
  ]
  for (const [environment, problem] of wrong) t.same(problemsOf(environment), [problem], JSON.stringify(environment))
})

t.test('blanks around a value are ignored, except in a secret', async (t) => {
  const config = readConfig({ JWT_ISSUER: ' https://issuer.example\n', HOST: ' ::1 ', JWT_AUDIENCE: '  ', JWT_SECRET: ` ${SECRET} ` })
  t.match(config, { JWT_ISSUER: 'https://issuer.example', HOST: '::1', JWT_AUDIENCE: '', JWT_SECRET: ` ${SECRET} ` })
})

t.test('PUBLIC_URL has no user, query or fragment', async (t) => {
  t.equal(readConfig({ PUBLIC_URL: ' https://example.com/tools/belfry/ ' }).PUBLIC_URL, 'https://example.com/tools/belfry')
  t.equal(readConfig({ PUBLIC_URL: 'http://localhost:8080' }).PUBLIC_URL, 'http://localhost:8080')
  for (const PUBLIC_URL of [
    'example.com',
    'ftp://example.com',
    'https://user:pw@example.com',
    'https://example.com/?a',
    'https://a/#b',
    '/belfry'
  ])
    t.same(problemsOf({ PUBLIC_URL }), ['PUBLIC_URL must be an http:// or https:// URL without user, query and fragment'], PUBLIC_URL)
})

t.test('Redis requires a key of tokens, which all nodes share', async (t) => {
  t.same(problemsOf({ REDIS_URL: 'redis://cache' }), ['with Redis one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL must be set'])
  t.same(problemsOf({ REDIS_URL: 'redis://cache', JWKS_URL: 'https://keys.example/jwks' }), [])
})

t.test('REDIS_WAIT_REPLICAS is refused with a Cluster', async (t) => {
  const cluster = { REDIS_CLUSTER_NODES: 'a:7000', JWT_SECRET: SECRET }
  t.same(problemsOf({ ...cluster, REDIS_WAIT_REPLICAS: '1' }), ['REDIS_WAIT_REPLICAS does not go with REDIS_CLUSTER_NODES'])
  t.same(problemsOf(cluster), [])
})

t.test('a secured Cluster or Sentinel: credentials beside the addresses, never beside a URL that has its own', async (t) => {
  const access = { REDIS_USERNAME: 'belfry', REDIS_PASSWORD: 'hunter2', REDIS_TLS: 'true' }
  const sentinels = { REDIS_SENTINELS: 's:26379', REDIS_SENTINEL_NAME: 'm', REDIS_SENTINEL_PASSWORD: 'hunter3', JWT_SECRET: SECRET }
  t.match(readConfig({ ...sentinels, ...access }), { ...sentinels, ...access, REDIS_SENTINELS: ['s:26379'], REDIS_TLS: true })
  t.same(problemsOf({ REDIS_CLUSTER_NODES: 'a:7000', JWT_SECRET: SECRET, ...access }), [])
  t.same(problemsOf({ REDIS_URL: 'redis://cache', JWT_SECRET: SECRET, ...access, REDIS_SENTINEL_PASSWORD: 'hunter3' }), [
    'REDIS_SENTINEL_PASSWORD goes with REDIS_SENTINELS',
    ...Object.keys(access).map((name) => `${name} goes with REDIS_CLUSTER_NODES or REDIS_SENTINELS`)
  ])
})

t.test('public keys: a path or PEM with escaped line ends; only the three families', async (t) => {
  const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
  const p256 = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
  const ed25519 = generateKeyPairSync('ed25519')
  const path = join(temporaryFolder(t), 'key.pem')
  writeFileSync(path, rsa)
  t.equal(readConfig({ JWT_PUBLIC_KEY: path }).JWT_PUBLIC_KEY, rsa)
  t.equal(readConfig({ JWT_PUBLIC_KEY: p256.replaceAll('\n', '\\n') }).JWT_PUBLIC_KEY, p256)
  t.equal(readConfig({ JWT_PUBLIC_KEY: pem(ed25519.publicKey) }).JWT_PUBLIC_KEY, pem(ed25519.publicKey))
  const problem = ['JWT_PUBLIC_KEY must be an RSA, P-256 or Ed25519 public key in PEM, or the path of one']
  t.same(problemsOf({ JWT_PUBLIC_KEY: pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey) }), problem)
  t.same(problemsOf({ JWT_PUBLIC_KEY: pem(generateKeyPairSync('x25519').publicKey) }), problem)
  t.same(problemsOf({ JWT_PUBLIC_KEY: String(ed25519.privateKey.export({ type: 'pkcs8', format: 'pem' })) }), problem, 'a private key')
  t.same(problemsOf({ JWT_PUBLIC_KEY: join(path, 'nowhere') }), problem)
})

t.test('REDIS_URL: its parts, and one sentence for each problem', async (t) => {
  const good: Record<string, object> = {
    'redis://cache': { host: 'cache', port: 6379, db: 0, tls: false },
    ' redis://127.0.0.1:6380/3\n': { host: '127.0.0.1', port: 6380, db: 3 },
    'REDISS://belfry:p%3Dw%2F%2B%25%3A%40%23@cache/1': { username: 'belfry', password: 'p=w/+%:@#', db: 1, tls: true },
    'redis://:secret@[::1]:7000?family=6&db=2': { password: 'secret', host: '::1', port: 7000, db: 2, family: 6 }
  }
  for (const [url, expected] of Object.entries(good)) {
    t.match(parseRedisUrl(url), expected, url)
    t.equal(readConfig({ REDIS_URL: url, JWT_SECRET: SECRET }).REDIS_URL, url.trim())
  }
  const bad: Record<string, RegExp> = {
    '127.0.0.1:6379': /redis:\/\/ or rediss:\/\/ URL/,
    'unix:///tmp/redis.sock': /redis:\/\/ or rediss:\/\/ URL/,
    'redis+sentinel://s:26379/m': /redis:\/\/ or rediss:\/\/ URL/,
    'redis://:hunter2/x@cache': /%2F/,
    'redis://:hunter2#x@cache': /%2/,
    'redis://:hunter2%@cache': /%25/,
    'redis://ca che': /blanks/,
    'redis://a:1,b:2': /%2F|one server/,
    'redis://a,b': /one server/,
    'redis://cache/first': /number of a database/,
    'redis://cache/-1': /number of a database/,
    'redis://cache/1/2': /number of a database/,
    'redis://cache:0': /port/,
    'redis://cache:66000': /URL/,
    'redis://cache?tls=true': /no query/,
    'redis://cache?family=5': /family/
  }
  for (const [url, expected] of Object.entries(bad)) {
    const problems = problemsOf({ REDIS_URL: url, JWT_SECRET: SECRET })
    t.equal(problems.length, 1, url)
    t.match(problems[0], expected, url)
    t.match(problems[0], /^REDIS_URL must [^\n]+$/, url)
    t.notMatch(problems[0], /hunter2/)
  }
})

t.test('certificates for Redis: paths or PEM, a pair, and only with TLS', async (t) => {
  const made = await makeCertificates(temporaryFolder(t))
  const tls = { REDIS_URL: 'rediss://cache', JWT_SECRET: SECRET }
  const paths = { REDIS_TLS_CERT: made.client.cert, REDIS_TLS_KEY: made.client.key, REDIS_TLS_CA: made.ca }
  const config = readConfig({ ...tls, ...paths })
  t.equal(config.REDIS_TLS_CERT, readFileSync(made.client.cert, 'utf8'))
  t.same(problemsOf({ ...tls, ...paths, REDIS_TLS_KEY: config.REDIS_TLS_KEY.replaceAll('\n', '\\n') }), [], 'a key in one line')
  t.same(problemsOf({ REDIS_CLUSTER_NODES: 'a:7000', REDIS_TLS: 'true', JWT_SECRET: SECRET, ...paths }), [])
  t.match(problemsOf({ REDIS_URL: 'redis://cache', JWT_SECRET: SECRET, ...paths }), [/go with a rediss:/])
  t.match(problemsOf({ ...tls, REDIS_TLS_CERT: made.client.cert }), [/go together/])
  t.match(problemsOf({ ...tls, ...paths, REDIS_TLS_KEY: made.server.key }), [/must be the private key of REDIS_TLS_CERT/])
  t.match(problemsOf({ ...tls, REDIS_TLS_CA: '/hunter2/nowhere' }), [/^REDIS_TLS_CA must be a certificate in PEM, or the path of one$/])
  t.match(problemsOf({ ...tls, REDIS_TLS_CA: made.client.key }), [/^REDIS_TLS_CA must be a certificate/])
})

t.test('NATS goes with Redis: addresses without a user, one kind of credentials, TLS with tls://', async (t) => {
  const redis = { REDIS_URL: 'redis://cache', JWT_SECRET: SECRET }
  t.equal(natsSettingsOf(readConfig(redis)), undefined)
  const nats = { ...redis, NATS_URL: 'nats://a:4222, nats://b' }
  t.match(natsSettingsOf(readConfig({ ...nats, NATS_TOKEN: 'hunter2' })), { servers: ['nats://a:4222', 'nats://b'], token: 'hunter2' })
  t.same(problemsOf({ NATS_URL: 'nats://a', NATS_TOKEN: 'hunter2' }), [
    'NATS_URL needs Redis: the embedded store has a single node, which wakes itself'
  ])
  t.same(problemsOf({ ...redis, NATS_TOKEN: 'hunter2', NATS_TLS_CA: '' }), ['NATS_TOKEN goes with NATS_URL'])
  for (const NATS_URL of ['nats://u:hunter2@a', 'http://a', 'a:4222', 'nats://a/x', 'nats://a:99999', 'nats://a?tls', 'nats://a, b:4222'])
    t.same(problemsOf({ ...redis, NATS_URL }), [
      'NATS_URL must be nats://host:port or tls://host:port, comma-separated, without user and path'
    ])
  t.same(problemsOf({ ...redis, NATS_URL: 'tls://a,nats://b' }), ['NATS_URL must be tls:// for all servers or for none'])
  t.same(problemsOf({ ...nats, NATS_USERNAME: 'u' }), ['NATS_USERNAME and NATS_PASSWORD go together'])
  t.same(problemsOf({ ...nats, NATS_USERNAME: 'u', NATS_PASSWORD: 'hunter2', NATS_TOKEN: 'hunter3' }), [
    'only one of NATS_TOKEN and NATS_USERNAME may be set'
  ])
  const folder = temporaryFolder(t)
  const seed = `SU${'A'.repeat(56)}`
  const file = '-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nSUA\n'
  for (const [name, text] of [
    ['NATS_NKEY_SEED', seed],
    ['NATS_CREDENTIALS', file]
  ] as const) {
    const path = join(folder, name)
    writeFileSync(path, `${text}\n`)
    for (const value of [text, path]) t.equal(readConfig({ ...nats, [name]: value })[name], text.trim(), name)
    t.match(problemsOf({ ...nats, [name]: 'hunter2' }), [new RegExp(`^${name} must be .*, or the path of one$`)])
  }
  const made = await makeCertificates(folder)
  const paths = { NATS_TLS_CERT: made.client.cert, NATS_TLS_KEY: made.client.key, NATS_TLS_CA: made.ca }
  const secured = readConfig({ ...redis, NATS_URL: 'tls://a', ...paths })
  t.match(natsSettingsOf(secured)?.certificates, { cert: /CERTIFICATE/, key: /PRIVATE KEY/, ca: /CERTIFICATE/ })
  t.same(problemsOf({ ...nats, ...paths }), ['NATS_TLS_CERT, NATS_TLS_KEY and NATS_TLS_CA go with a tls:// NATS_URL'])
  t.same(problemsOf({ ...redis, NATS_URL: 'tls://a', ...paths, NATS_TLS_KEY: made.server.key }), [
    'NATS_TLS_KEY must be the private key of NATS_TLS_CERT, without a passphrase'
  ])
})

t.test('a secret has 32 bytes or more, without the newline of the file it came from', async (t) => {
  for (const weak of ['a', 'secret', '        x', 'your-256-bit-secret', 'x'.repeat(31), `${'x'.repeat(31)}\n`, '\n']) {
    t.match(problemsOf({ JWT_SECRET: weak })[0], /^JWT_SECRET must have 32 bytes or more/, JSON.stringify(weak))
    t.throws(() => readClientConfig({ JWT_SECRET: weak }), ConfigError)
  }
  t.equal(readConfig({ JWT_SECRET: `${SECRET}\r\n` }).JWT_SECRET, SECRET)
  t.equal(readClientConfig({ JWT_SECRET: `${SECRET}\n` }).JWT_SECRET, SECRET)
  t.equal(readConfig({ JWT_SECRET: 'é'.repeat(16) }).JWT_SECRET, 'é'.repeat(16), 'bytes, not characters')
})

t.test('VAPID keys go together, fit, and have a contact', async (t) => {
  const { publicKey, privateKey } = makeVapidKeys()
  const keys = { VAPID_PUBLIC_KEY: publicKey, VAPID_PRIVATE_KEY: privateKey }
  const subject = { VAPID_SUBJECT: 'mailto:ops@example.com' }
  t.same(problemsOf({ ...keys, ...subject }), [])
  t.same(problemsOf(subject), [])
  t.same(problemsOf(keys), ['VAPID_PUBLIC_KEY needs VAPID_SUBJECT, a contact such as mailto:ops@your-domain'])
  t.same(problemsOf({ ...subject, VAPID_PRIVATE_KEY: privateKey }), [
    'VAPID_PUBLIC_KEY and VAPID_PRIVATE_KEY go together; `belfry vapid` makes a pair'
  ])
  const other = problemsOf({ ...keys, ...subject, VAPID_PRIVATE_KEY: makeVapidKeys().privateKey })
  t.match(other, [/^VAPID_PRIVATE_KEY must be the private key of VAPID_PUBLIC_KEY/])
  t.same(problemsOf({ ...keys, VAPID_SUBJECT: 'http://example.com' }), ['VAPID_SUBJECT must be a mailto: or https: address'])
})

t.test('PUSH_ENDPOINTS are origins, http only on loopback', async (t) => {
  t.same(readConfig({ PUSH_ENDPOINTS: 'https://push.example, http://localhost:9000' }).PUSH_ENDPOINTS, [
    'https://push.example',
    'http://localhost:9000'
  ])
  t.same(problemsOf({ PUSH_ENDPOINTS: 'http://push.example,https://push.example/x' }), [
    'PUSH_ENDPOINTS: http://push.example must be https://host[:port], or http:// on loopback',
    'PUSH_ENDPOINTS: https://push.example/x must be https://host[:port], or http:// on loopback'
  ])
})

t.test('webhooks need a secret; two while it is rotated; events that exist', async (t) => {
  const secret = (byte: number): string => `whsec_${Buffer.alloc(32, byte).toString('base64')}`
  const url = { WEBHOOK_URL: 'http://127.0.0.1:4000/hooks?tenant=1' }
  t.same(readConfig({ ...url, WEBHOOK_SECRET: `${secret(1)}, ${secret(2)}` }).WEBHOOK_SECRET, [secret(1), secret(2)])
  t.same(problemsOf(url), ['WEBHOOK_URL needs WEBHOOK_SECRET; `echo whsec_$(openssl rand -base64 32)` makes one'])
  t.same(problemsOf({ ...url, WEBHOOK_SECRET: [1, 2, 3].map(secret).join() }), ['WEBHOOK_SECRET may have 2 secrets'])
  const short = problemsOf({ ...url, WEBHOOK_SECRET: 'whsec_hunter2' })
  t.match(short, [/^WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes/])
  t.notMatch(short, /hunter2/)
  for (const WEBHOOK_URL of ['hooks.example', 'ftp://hooks.example', 'https://user:pw@hooks.example', 'https://hooks.example/#a'])
    t.same(problemsOf({ WEBHOOK_URL, WEBHOOK_SECRET: secret(1) }), [
      'WEBHOOK_URL must be an http:// or https:// URL without user and fragment'
    ])
  t.match(problemsOf({ WEBHOOK_EVENTS: 'user.online,user.asleep' }), [
    /^WEBHOOK_EVENTS: user.asleep must be one of notification.fallback, /
  ])
  t.same(problemsOf({ PUSH_UNLESS: 'never' }), ['PUSH_UNLESS must be delivered, seen or read'])
})

t.test('the receiver of the demo takes the place of no WEBHOOK_URL', async (t) => {
  const [own, demo] = [1, 2].map((byte) => `whsec_${Buffer.alloc(32, byte).toString('base64')}`) as [string, string]
  const receiver = { url: 'http://127.0.0.1:4001/', secrets: [demo] }
  t.match(withDemoReceiver(readConfig({}), receiver), { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: [demo] })
  const named = readConfig({ WEBHOOK_URL: 'https://hooks.example/', WEBHOOK_SECRET: own })
  t.equal(withDemoReceiver(named, receiver), named)

  t.equal(servesDemo(readConfig({}), 'generated'), true)
  t.equal(servesDemo(readConfig({}), ''), false, 'with a key of the operator')
  t.equal(servesDemo(readConfig({ HOST: '0.0.0.0' }), 'generated'), false)
  t.equal(servesDemo(readConfig({ HOST: '0.0.0.0', DEMO: 'true' }), 'generated'), true)
  t.equal(servesDemo(readConfig({ DEMO: 'false' }), 'generated'), false)
})
