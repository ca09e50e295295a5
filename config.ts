import { envSchema } from 'env-schema'
import { check, usesRedis } from './config-checks.ts'
import { readNatsCredentials, readPem, readPublicKey, readSecret, split } from './config-values.ts'
import { type Config, type Environment, environmentSchema, LIST_NAMES, type ListName } from './environment.ts'
import { isLoopback } from './services/auth/loopback.ts'
import type { NatsSettings } from './services/bus/nats-settings.ts'

export { type Config, environmentSchema } from './environment.ts'

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
  for (const name of LIST_NAMES)
    if (env[name] !== '' && split(env[name]).length === 0) problems.push(`${name} has no item between its commas`)
  const config: Config = {
    ...clear,
    ...splitLists(env),
    CONNECT_RATE_LIMIT_PER_MINUTE: CONNECT_RATE_LIMIT_MAX,
    PUBLISH_RATE_LIMIT_PER_SECOND: PUBLISH_RATE_LIMIT_MAX,
    RATE_LIMIT_PER_WINDOW: RATE_LIMIT_MAX,
    MAX_TOKEN_LIFETIME_SECONDS: MAX_TOKEN_LIFETIME,
    PUBLIC_URL: env.PUBLIC_URL.replace(/\/+$/, ''),
    REDIS_TLS_CERT: readPem('REDIS_TLS_CERT', env.REDIS_TLS_CERT, problems),
    REDIS_TLS_KEY: readPem('REDIS_TLS_KEY', env.REDIS_TLS_KEY, problems),
    REDIS_TLS_CA: readPem('REDIS_TLS_CA', env.REDIS_TLS_CA, problems),
    NATS_TLS_CERT: readPem('NATS_TLS_CERT', env.NATS_TLS_CERT, problems),
    NATS_TLS_KEY: readPem('NATS_TLS_KEY', env.NATS_TLS_KEY, problems),
    NATS_TLS_CA: readPem('NATS_TLS_CA', env.NATS_TLS_CA, problems),
    NATS_CREDENTIALS: readNatsCredentials('NATS_CREDENTIALS', env.NATS_CREDENTIALS, problems),
    NATS_NKEY_SEED: readNatsCredentials('NATS_NKEY_SEED', env.NATS_NKEY_SEED, problems),
    JWT_SECRET: readSecret(env.JWT_SECRET, problems),
    JWT_PUBLIC_KEY: readPublicKey(env.JWT_PUBLIC_KEY, problems)
  }
  check(config, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config)
}

/** Returns true if /demo is served: as `DEMO` says; without it, on a loopback `HOST` with a secret that Belfry generated. */
export function servesDemo({ DEMO, HOST }: Config, generatedSecret: string): boolean {
  return DEMO ?? (generatedSecret !== '' && isLoopback(HOST))
}

/** Returns the configuration with the receiver of the demo for webhooks. An environment that names a `WEBHOOK_URL` keeps it. */
export function withDemoReceiver(config: Config, { url, secrets }: { url: string; secrets: string[] }): Config {
  return config.WEBHOOK_URL === '' ? Object.freeze({ ...config, WEBHOOK_URL: url, WEBHOOK_SECRET: secrets }) : config
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

/** Returns how NATS is reached; undefined if Redis Pub/Sub is the bus. */
export function natsSettingsOf(config: Config): NatsSettings | undefined {
  if (config.NATS_URL.length === 0) return undefined
  const { NATS_TLS_CERT: cert, NATS_TLS_KEY: key, NATS_TLS_CA: ca } = config
  return {
    servers: config.NATS_URL,
    token: config.NATS_TOKEN,
    username: config.NATS_USERNAME,
    password: config.NATS_PASSWORD,
    credentials: config.NATS_CREDENTIALS,
    seed: config.NATS_NKEY_SEED,
    certificates: { ...(cert === '' ? {} : { cert, key }), ...(ca === '' ? {} : { ca }) }
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
  const data = Object.fromEntries(known.map((name) => [name, textOf(name, environment[name])] as const).filter(([, text]) => text !== ''))
  try {
    return envSchema<Environment>({ schema: structuredClone(environmentSchema), data, env: false })
  } catch (error) {
    const { errors } = error as { errors?: { instancePath: string; keyword: string }[] }
    if (errors === undefined) throw error
    const bad = new Set<string>()
    for (const { instancePath, keyword } of errors) {
      if (keyword === 'const') continue
      const name = instancePath.slice(1)
      problems.push(`${name} must ${requirementOf(name as keyof Environment)}`)
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

/** Returns the text of a variable, without the blanks around it unless it is a secret or PEM; '' if it is not set. */
function textOf(name: string, value = ''): string {
  return /SECRET$|PASSWORD$|TOKEN$/.test(name) || value.includes('-----BEGIN') ? value : value.trim()
}

/** Returns what a value of a variable must be, to follow "must". */
function requirementOf(name: keyof Environment): string {
  const { type, anyOf, pattern, minimum, maximum } = environmentSchema.properties[name] as {
    type?: string
    anyOf?: { const: string }[]
    pattern?: string
    minimum?: number
    maximum?: number
  }
  if (type === 'boolean') return 'be true or false'
  if (anyOf !== undefined)
    return `be ${new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(anyOf.map((literal) => literal.const))}`
  return pattern === undefined ? `be an integer from ${minimum} to ${maximum}` : `match ${pattern}`
}

function splitLists(env: Environment): Record<ListName, string[]> {
  const entries = LIST_NAMES.map((name) => [name, split(env[name])])
  return Object.fromEntries(entries) as Record<ListName, string[]>
}
