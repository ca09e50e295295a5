import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import { envSchema } from 'env-schema'
import { type Static, Type } from 'typebox'
import { ADMIN_PREFIX } from './services/auth/api-keys.ts'
import { publicKeyAlgorithm } from './services/auth/public-key.ts'
import { problemsOfPush, problemsOfWebhooks } from './services/reach/settings.ts'
import { parseRedisUrl } from './services/store/redis-url.ts'

/** Shortest key of HS256 (RFC 7518 §3.2). */
const MIN_SECRET_BYTES = 32

/** States of a notification that make its push unnecessary. */
const UNLESS = ['delivered', 'seen', 'read'] as const

const text = (defaultValue: string, description: string) => Type.String({ default: defaultValue, description })
const whole = (defaultValue: number, minimum: number, maximum: number, description: string) =>
  Type.Integer({ default: defaultValue, minimum, maximum, description })

/** Every environment variable that Belfry reads, with its default. `.env.example` and `docs/reference/configuration.md` list the same. */
export const environmentSchema = Type.Object({
  HOST: text('127.0.0.1', 'Address to listen on; 0.0.0.0 in a container'),
  PORT: whole(3000, 0, 65535, 'Port to listen on; 0: a free port'),
  LOG_LEVEL: Type.Union(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'fatal, error, warn, info, debug, trace or silent' }
  ),
  TRUST_PROXY: text('', 'Addresses or CIDRs of proxies whose X-Forwarded-For is trusted, comma-separated'),
  PUBLIC_URL: text('', 'Address of the service for clients, with the path prefix of a proxy; empty: derived from each request'),

  REDIS_URL: text('', 'One Redis for all nodes, redis:// or rediss://; empty: the embedded store'),
  REDIS_CLUSTER_NODES: text('', 'Redis Cluster in place of REDIS_URL: host:port of some nodes, comma-separated'),
  REDIS_SENTINELS: text('', 'Redis by Sentinel in place of REDIS_URL: host:port of the Sentinels, comma-separated'),
  REDIS_SENTINEL_NAME: text('', 'Name of the master group; needed with REDIS_SENTINELS'),
  REDIS_USERNAME: text('', 'User of a Cluster, or of the servers behind Sentinels; REDIS_URL contains its user'),
  REDIS_PASSWORD: text('', 'Password of REDIS_USERNAME'),
  REDIS_SENTINEL_PASSWORD: text('', 'Password of the Sentinels themselves'),
  REDIS_TLS: Type.Boolean({ default: false, description: 'TLS to a Cluster, or to Sentinels and the servers behind them' }),
  REDIS_TLS_CERT: text('', 'Client certificate for Redis, PEM or the path of a file; needs REDIS_TLS_KEY'),
  REDIS_TLS_KEY: text('', 'Private key of REDIS_TLS_CERT, PEM or the path of a file'),
  REDIS_TLS_CA: text('', "Authorities that sign the servers' certificates, PEM or the path of a file; empty: those of the system"),
  REDIS_KEY_PREFIX: Type.String({
    default: 'belfry',
    pattern: '^[A-Za-z0-9_.-]{1,64}$',
    description: 'Prefix of every key and channel'
  }),
  REDIS_WAIT_REPLICAS: whole(0, 0, 10, 'Replicas that must confirm a publish before it is answered'),
  DATA_DIR: text('.belfry', 'Folder of the embedded store and of the generated secret'),

  JWT_SECRET: text('', 'Secret of HS256 tokens, 32 bytes or more; if no key is set, a secret is generated under DATA_DIR'),
  JWT_PUBLIC_KEY: text('', 'PEM public key of RS256, ES256 or EdDSA tokens, or a path to it'),
  JWKS_URL: text('', 'URL of a JSON Web Key Set, for keys that rotate'),
  JWT_ISSUER: text('', 'Required iss of tokens; empty: not checked'),
  JWT_AUDIENCE: text('', 'Required aud of tokens; empty: not checked'),
  MAX_TOKEN_LIFETIME: whole(31_536_000, 60, 315_360_000, 'Longest time from iat to exp of a token, seconds; a revocation is kept as long'),
  API_KEYS: text('', 'API keys, for services that use no JWT, comma-separated; admin:<key> for the scope admin, others have publish'),
  STRICT_SCOPES: Type.Boolean({
    default: false,
    description: 'The routes under /v1/users need the scope admin; false: all but the erasure also take publish'
  }),

  ALLOWED_ORIGINS: text('', 'Origins whose pages may connect, comma-separated; empty: all'),
  CORS_ORIGIN: text('', 'Origins whose pages may call the REST API, comma-separated, or *; empty: none'),
  CONNECT_RATE_LIMIT_MAX: whole(20000, 0, 1e9, 'Connect attempts per minute and address; 0: no limit'),
  PUBLISH_RATE_LIMIT_MAX: whole(0, 0, 1e9, 'Service requests per second and publisher; 0: no limit'),

  RATE_LIMIT_MAX: whole(10, 0, 1000, 'Notifications per user in any rolling window, further ones are parked; 0: no limit'),
  RATE_LIMIT_WINDOW_MS: whole(1000, 10, 3_600_000, 'Length of the window of RATE_LIMIT_MAX, milliseconds'),
  PARKED_MAX: whole(1000, 1, 100_000, 'Parked notifications per user'),
  SCHEDULED_MAX: whole(1000, 1, 100_000, 'Scheduled notifications per user'),
  RETENTION_SECONDS: whole(604_800, 1, 2_592_000, 'Age at which a notification is trimmed, seconds'),
  LOG_MAX_ENTRIES: whole(1000, 10, 100_000, 'Notifications kept per user'),
  MAX_UNACKED: whole(100, 1, 10_000, 'Frames in flight to a connection without an acknowledgement'),

  VAPID_PUBLIC_KEY: text(
    '',
    'Public key of Web Push, from `belfry vapid`; with the embedded store and none, a pair is generated under DATA_DIR'
  ),
  VAPID_PRIVATE_KEY: text('', 'Private key of VAPID_PUBLIC_KEY'),
  VAPID_SUBJECT: text('', 'Contact that push services get, mailto: or https:; needed with VAPID_PUBLIC_KEY'),
  PUSH_ENDPOINTS: text('', 'Origins of push services to accept beside the known ones, comma-separated; http only on loopback'),
  PUSH_AFTER_SECONDS: whole(3, 0, 2_592_000, 'Time from a notification to its push, seconds'),
  PUSH_UNLESS: Type.Union(
    UNLESS.map((state) => Type.Literal(state)),
    { default: 'delivered', description: 'delivered, seen or read: what makes a push unnecessary' }
  ),
  WEBHOOK_URL: text('', 'Address that gets webhooks; empty: none are sent'),
  WEBHOOK_SECRET: text('', 'Secret that signs webhooks, whsec_ and 24 to 64 bytes in base64; two, comma-separated, while it is rotated'),
  WEBHOOK_EVENTS: text('', 'Events to send as webhooks, comma-separated; empty: all'),
  PRESENCE_GRACE_SECONDS: whole(15, 0, 3600, 'Time without a connection after which a user is offline, seconds'),

  WS_MAX_PAYLOAD_BYTES: whole(10_240, 256, 1_048_576, 'Largest frame of a client, bytes'),
  WS_PING_INTERVAL_MS: whole(25_000, 100, 300_000, 'Time between two pings, milliseconds'),
  MAX_CONNECTIONS: whole(0, 0, 10_000_000, 'Connections of this node; 0: derived from the limit of file descriptors'),
  MAX_CONNECTIONS_PER_USER: whole(100, 0, 100_000, 'Connections per user over all nodes; 0: no limit'),

  METRICS_PORT: whole(0, 0, 65535, 'Separate port of /metrics; 0: on the main port'),
  CLOSE_GRACE_SECONDS: whole(25, 1, 600, 'Longest time of a stop after DRAIN_DELAY_MS, seconds'),
  DRAIN_DELAY_MS: whole(2000, 0, 60_000, 'Time after SIGTERM in which a node still serves but is not ready, milliseconds'),
  DEMO: Type.Optional(Type.Boolean({ description: 'Serve /demo, true or false; empty: on loopback, with a generated secret' }))
})

export type Environment = Static<typeof environmentSchema>

/** Variables that are lists. */
const LIST_NAMES = [
  'TRUST_PROXY',
  'API_KEYS',
  'ALLOWED_ORIGINS',
  'CORS_ORIGIN',
  'REDIS_CLUSTER_NODES',
  'REDIS_SENTINELS',
  'PUSH_ENDPOINTS',
  'WEBHOOK_SECRET',
  'WEBHOOK_EVENTS'
] as const

/** Variables whose unit or window the name does not say. `Config` says it. */
type Unclear = 'CONNECT_RATE_LIMIT_MAX' | 'PUBLISH_RATE_LIMIT_MAX' | 'RATE_LIMIT_MAX' | 'MAX_TOKEN_LIFETIME'

/** The effective configuration: the environment with its lists split, its keys read, and a unit or a window in each name that needs one. */
export interface Config
  extends Omit<Environment, 'LOG_LEVEL' | Unclear | (typeof LIST_NAMES)[number]>,
    Record<(typeof LIST_NAMES)[number], string[]> {
  LOG_LEVEL: string
  CONNECT_RATE_LIMIT_PER_MINUTE: number
  PUBLISH_RATE_LIMIT_PER_SECOND: number
  /** Notifications per `RATE_LIMIT_WINDOW_MS`. */
  RATE_LIMIT_PER_WINDOW: number
  MAX_TOKEN_LIFETIME_SECONDS: number
}

/** Thrown if the environment cannot be used. `problems` has one line for each problem; no line shows a value that may be secret. */
export class ConfigError extends Error {
  readonly problems: string[]

  constructor(problems: string[]) {
    super(`the environment cannot be used:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * Reads the configuration.
 *
 * @param environment default: the environment of the process
 * @throws ConfigError with all problems
 */
export function readConfig(environment: Record<string, string | undefined> = process.env): Config {
  const problems = unknownNames(environment)
  const env = validate(environment, problems)
  const { CONNECT_RATE_LIMIT_MAX, PUBLISH_RATE_LIMIT_MAX, RATE_LIMIT_MAX, MAX_TOKEN_LIFETIME, ...clear } = env
  const config: Config = {
    ...clear,
    ...splitLists(env),
    CONNECT_RATE_LIMIT_PER_MINUTE: CONNECT_RATE_LIMIT_MAX,
    PUBLISH_RATE_LIMIT_PER_SECOND: PUBLISH_RATE_LIMIT_MAX,
    RATE_LIMIT_PER_WINDOW: RATE_LIMIT_MAX,
    MAX_TOKEN_LIFETIME_SECONDS: MAX_TOKEN_LIFETIME,
    PUBLIC_URL: env.PUBLIC_URL.trim().replace(/\/+$/, ''),
    REDIS_URL: env.REDIS_URL.trim(),
    REDIS_TLS_CERT: readPem('REDIS_TLS_CERT', env.REDIS_TLS_CERT, problems),
    REDIS_TLS_KEY: readPem('REDIS_TLS_KEY', env.REDIS_TLS_KEY, problems),
    REDIS_TLS_CA: readPem('REDIS_TLS_CA', env.REDIS_TLS_CA, problems),
    JWT_SECRET: readSecret(env.JWT_SECRET, problems),
    JWT_PUBLIC_KEY: readPublicKey(env.JWT_PUBLIC_KEY, problems)
  }
  check(config, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config)
}

function usesRedis({ REDIS_URL, REDIS_CLUSTER_NODES, REDIS_SENTINELS }: Config): boolean {
  return REDIS_URL !== '' || REDIS_CLUSTER_NODES.length > 0 || REDIS_SENTINELS.length > 0
}

/** Returns how the Redis of the store is reached; undefined for the embedded store. */
export function redisOptionsOf(config: Config) {
  if (!usesRedis(config)) return undefined
  const { REDIS_TLS_CERT: cert, REDIS_TLS_KEY: key, REDIS_TLS_CA: ca } = config
  return {
    ...(config.REDIS_URL === '' ? {} : { url: config.REDIS_URL }),
    ...(config.REDIS_CLUSTER_NODES.length === 0 ? {} : { clusterNodes: config.REDIS_CLUSTER_NODES }),
    ...(config.REDIS_SENTINELS.length === 0 ? {} : { sentinels: config.REDIS_SENTINELS, sentinelName: config.REDIS_SENTINEL_NAME }),
    username: config.REDIS_USERNAME,
    password: config.REDIS_PASSWORD,
    sentinelPassword: config.REDIS_SENTINEL_PASSWORD,
    tls: config.REDIS_TLS,
    certificates: { ...(cert === '' ? {} : { cert, key }), ...(ca === '' ? {} : { ca }) },
    keyPrefix: config.REDIS_KEY_PREFIX,
    waitReplicas: config.REDIS_WAIT_REPLICAS
  }
}

/** The variables that the CLI reads: the address of the service, the keys of its tokens, and the secrets of webhooks. */
type ClientConfig = Pick<Environment, (typeof CLIENT_NAMES)[number]>

const CLIENT_NAMES = [
  'HOST',
  'PORT',
  'DATA_DIR',
  'JWT_SECRET',
  'JWT_PUBLIC_KEY',
  'JWKS_URL',
  'JWT_ISSUER',
  'JWT_AUDIENCE',
  'WEBHOOK_SECRET'
] as const

/**
 * Reads the variables of the CLI. Problems of other variables are ignored.
 *
 * @throws ConfigError with all problems
 */
export function readClientConfig(environment: Record<string, string | undefined> = process.env): ClientConfig {
  const problems: string[] = []
  const config = validate(Object.fromEntries(CLIENT_NAMES.map((name) => [name, environment[name]])), problems)
  const JWT_SECRET = readSecret(config.JWT_SECRET, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return { ...config, JWT_SECRET }
}

/** Reports invalid values in `problems`, and replaces them by their defaults so that the checks across variables still run. */
function validate(environment: Record<string, string | undefined>, problems: string[]): Environment {
  const known = Object.keys(environmentSchema.properties)
  const data = Object.fromEntries(known.flatMap((name) => (isSet(environment[name]) ? [[name, environment[name]]] : [])))
  try {
    return envSchema<Environment>({ schema: structuredClone(environmentSchema), data, env: false })
  } catch (error) {
    const { errors } = error as { errors?: { instancePath: string; keyword: string; message?: string }[] }
    if (errors === undefined) throw error
    const bad = new Set<string>()
    for (const { instancePath, keyword, message } of errors) {
      if (keyword === 'const') continue
      const name = instancePath.slice(1)
      const { description = '' } = environmentSchema.properties[name as keyof Environment] as { description?: string }
      problems.push(`${name} ${keyword === 'anyOf' ? `must be ${description}` : message}`)
      bad.add(name)
    }
    return validate(Object.fromEntries(Object.entries(data).filter(([name]) => !bad.has(name))), problems)
  }
}

/** Returns a problem for each variable that begins with BELFRY_: none has that prefix, and a setting without effect must not go unnoticed. */
function unknownNames(environment: Record<string, string | undefined>): string[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith('BELFRY_'))
    .map((name) => `${name} is not a variable of Belfry's`)
}

function check(config: Config, problems: string[]): void {
  const stores = [config.REDIS_URL !== '', config.REDIS_CLUSTER_NODES.length > 0, config.REDIS_SENTINELS.length > 0]
  if (stores.filter(Boolean).length > 1) problems.push('only one of REDIS_URL, REDIS_CLUSTER_NODES and REDIS_SENTINELS may be set')
  checkRedisUrl(config.REDIS_URL, problems)
  if (config.PUBLIC_URL !== '' && !isBaseUrl(config.PUBLIC_URL))
    problems.push('PUBLIC_URL must be an http:// or https:// URL without user, query and fragment')
  for (const name of ['REDIS_CLUSTER_NODES', 'REDIS_SENTINELS'] as const) {
    if (!config[name].every(isHostAndPort)) problems.push(`${name} must be host:port, comma-separated`)
  }
  if (config.REDIS_SENTINELS.length > 0 && config.REDIS_SENTINEL_NAME === '') problems.push('REDIS_SENTINELS needs REDIS_SENTINEL_NAME')
  if (config.REDIS_SENTINEL_PASSWORD !== '' && config.REDIS_SENTINELS.length === 0)
    problems.push('REDIS_SENTINEL_PASSWORD goes with REDIS_SENTINELS')
  for (const name of ['REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_TLS'] as const) {
    if (config[name] && config.REDIS_CLUSTER_NODES.length + config.REDIS_SENTINELS.length === 0)
      problems.push(`${name} goes with REDIS_CLUSTER_NODES or REDIS_SENTINELS`)
  }
  checkCertificates(config, problems)
  if (config.REDIS_CLUSTER_NODES.length > 0 && config.REDIS_WAIT_REPLICAS > 0)
    problems.push('REDIS_WAIT_REPLICAS does not go with REDIS_CLUSTER_NODES')

  const keys = [config.JWT_SECRET, config.JWT_PUBLIC_KEY, config.JWKS_URL].filter((key) => key !== '')
  if (keys.length > 1) problems.push('only one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL may be set')
  if (keys.length === 0 && usesRedis(config)) problems.push('with Redis one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL must be set')
  if (config.JWKS_URL !== '' && !isUrl(config.JWKS_URL, ['https:', 'http:'])) problems.push('JWKS_URL must be an http:// or https:// URL')

  if (config.API_KEYS.includes(ADMIN_PREFIX)) problems.push(`API_KEYS: a key must follow ${ADMIN_PREFIX}`)

  for (const origin of config.ALLOWED_ORIGINS) {
    if (!isOrigin(origin)) problems.push(`ALLOWED_ORIGINS: ${origin} must be scheme://host[:port]`)
  }
  for (const origin of config.CORS_ORIGIN) {
    if (origin !== '*' && !isOrigin(origin)) problems.push(`CORS_ORIGIN: ${origin} must be scheme://host[:port] or *`)
  }
  for (const proxy of config.TRUST_PROXY) {
    if (!isNetwork(proxy)) problems.push(`TRUST_PROXY: ${proxy} must be an address or a CIDR`)
  }
  problems.push(...problemsOfPush(config), ...problemsOfWebhooks(config))
}

function checkRedisUrl(url: string, problems: string[]): void {
  if (url === '') return
  try {
    parseRedisUrl(url)
  } catch (error) {
    problems.push(`REDIS_URL ${(error as Error).message}`)
  }
}

/** Checks that certificate and key fit. If they do not, each connection would fail with a message about neither. */
function checkCertificates({ REDIS_TLS_CERT, REDIS_TLS_KEY, REDIS_TLS_CA, REDIS_TLS, REDIS_URL }: Config, problems: string[]): void {
  if (REDIS_TLS_CERT + REDIS_TLS_KEY + REDIS_TLS_CA === '') return
  if (!REDIS_TLS && !/^rediss:/i.test(REDIS_URL)) {
    problems.push('REDIS_TLS_CERT, REDIS_TLS_KEY and REDIS_TLS_CA go with a rediss:// REDIS_URL or with REDIS_TLS=true')
  }
  if ((REDIS_TLS_CERT === '') !== (REDIS_TLS_KEY === '')) {
    problems.push('REDIS_TLS_CERT and REDIS_TLS_KEY go together')
    return
  }
  try {
    createSecureContext({ ...(REDIS_TLS_CERT === '' ? {} : { cert: REDIS_TLS_CERT, key: REDIS_TLS_KEY }) })
  } catch {
    problems.push('REDIS_TLS_KEY must be the private key of REDIS_TLS_CERT, without a passphrase')
  }
}

/** Returns the PEM text in a value (line ends may be written \\n), or in the file whose path it is. */
function readPem(name: 'REDIS_TLS_CERT' | 'REDIS_TLS_KEY' | 'REDIS_TLS_CA', value: string, problems: string[]): string {
  if (value === '') return ''
  try {
    const pem = value.includes('-----BEGIN') ? value.replaceAll('\\n', '\n') : readFileSync(value, 'utf8')
    const kind = name === 'REDIS_TLS_KEY' ? /-----BEGIN [A-Z ]*PRIVATE KEY-----/ : /-----BEGIN CERTIFICATE-----/
    if (kind.test(pem)) return pem
  } catch {
    // The problem is reported below. It does not show the path, because a key may stand in its place.
  }
  problems.push(`${name} must be ${name === 'REDIS_TLS_KEY' ? 'a private key' : 'a certificate'} in PEM, or the path of one`)
  return ''
}

/** Returns the secret without the newline at the end of files and of values of secret stores. */
function readSecret(value: string, problems: string[]): string {
  const secret = value.replace(/[\r\n]+$/, '')
  if (value !== '' && Buffer.byteLength(secret) < MIN_SECRET_BYTES)
    problems.push(
      `JWT_SECRET must have ${MIN_SECRET_BYTES} bytes or more, as HS256 demands (RFC 7518 §3.2); \`openssl rand -hex 32\` makes one`
    )
  return secret
}

function readPublicKey(value: string, problems: string[]): string {
  if (value === '') return ''
  try {
    const pem = value.includes('-----BEGIN') ? value.replaceAll('\\n', '\n') : readFileSync(value, 'utf8')
    publicKeyAlgorithm(pem)
    return pem
  } catch {
    problems.push('JWT_PUBLIC_KEY must be an RSA, P-256 or Ed25519 public key in PEM, or the path of one')
    return ''
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== ''
}

function splitLists(env: Environment): Record<(typeof LIST_NAMES)[number], string[]> {
  const entries = LIST_NAMES.map((name) => [name, split(env[name])])
  return Object.fromEntries(entries) as Record<(typeof LIST_NAMES)[number], string[]>
}

function split(list: string): string[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

/** Accepts `host:port` without a scheme or a password before it. */
function isHostAndPort(value: string): boolean {
  const port = /^[^@/\s]+:(\d{1,5})$/.exec(value)?.[1]
  return port !== undefined && Number(port) <= 65_535
}

function isNetwork(value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/')
  const version = isIP(address)
  return (
    version !== 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)))
  )
}

function isUrl(value: string, protocols: string[]): boolean {
  return URL.canParse(value) && protocols.includes(new URL(value).protocol)
}

function isBaseUrl(value: string): boolean {
  return isUrl(value, ['https:', 'http:']) && /^https?:\/\/[^@?#\s]+$/i.test(value)
}

/** Accepts origins of any scheme: apps have their own, such as `capacitor://localhost`. */
function isOrigin(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, host } = new URL(value)
  return host !== '' && `${protocol}//${host}`.toLowerCase() === value.toLowerCase()
}
