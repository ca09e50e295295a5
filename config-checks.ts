import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Config } from './environment.ts'
import { ADMIN_PREFIX } from './services/auth/api-keys.ts'
import { problemsOfPush, problemsOfWebhooks } from './services/reach/settings.ts'
import { parseRedisUrl } from './services/store/redis-url.ts'

/** Variables that say how NATS is reached, besides its address. */
const NATS_DETAILS = [
  'NATS_TOKEN',
  'NATS_USERNAME',
  'NATS_PASSWORD',
  'NATS_CREDENTIALS',
  'NATS_NKEY_SEED',
  'NATS_TLS_CERT',
  'NATS_TLS_KEY',
  'NATS_TLS_CA'
] as const

export function usesRedis({ REDIS_URL, REDIS_CLUSTER_NODES, REDIS_SENTINELS }: Config): boolean {
  return REDIS_URL !== '' || REDIS_CLUSTER_NODES.length > 0 || REDIS_SENTINELS.length > 0
}

/** Adds a line to `problems` for each rule that the configuration breaks. No line shows a value that may be secret. */
export function check(config: Config, problems: string[]): void {
  const stores = [config.REDIS_URL !== '', config.REDIS_CLUSTER_NODES.length > 0, config.REDIS_SENTINELS.length > 0]
  if (stores.filter(Boolean).length > 1) problems.push('only one of REDIS_URL, REDIS_CLUSTER_NODES and REDIS_SENTINELS may be set')
  checkRedisUrl(config.REDIS_URL, problems)
  if (config.PUBLIC_URL !== '' && !isBaseUrl(config.PUBLIC_URL))
    problems.push('PUBLIC_URL must be an http:// or https:// URL without user, query and fragment')
  for (const name of ['REDIS_CLUSTER_NODES', 'REDIS_SENTINELS'] as const) {
    if (!config[name].every(isHostAndPort)) problems.push(`${name} must be host:port, comma-separated`)
  }
  if (config.REDIS_SENTINELS.length > 0 && config.REDIS_SENTINEL_NAME === '') problems.push('REDIS_SENTINELS needs REDIS_SENTINEL_NAME')
  for (const name of ['REDIS_SENTINEL_NAME', 'REDIS_SENTINEL_PASSWORD'] as const) {
    if (config[name] !== '' && config.REDIS_SENTINELS.length === 0) problems.push(`${name} goes with REDIS_SENTINELS`)
  }
  for (const name of ['REDIS_USERNAME', 'REDIS_PASSWORD', 'REDIS_TLS'] as const) {
    if (config[name] && config.REDIS_CLUSTER_NODES.length + config.REDIS_SENTINELS.length === 0)
      problems.push(`${name} goes with REDIS_CLUSTER_NODES or REDIS_SENTINELS`)
  }
  const isSecured = config.REDIS_TLS || /^rediss:/i.test(config.REDIS_URL)
  checkCertificates('REDIS_TLS', config, isSecured ? '' : 'a rediss:// REDIS_URL or with REDIS_TLS=true', problems)
  checkNats(config, problems)
  if (config.REDIS_CLUSTER_NODES.length > 0 && config.REDIS_WAIT_REPLICAS > 0)
    problems.push('REDIS_WAIT_REPLICAS does not go with REDIS_CLUSTER_NODES')

  const keys = [config.JWT_SECRET, config.JWT_PUBLIC_KEY, config.JWKS_URL].filter((key) => key !== '')
  if (keys.length > 1) problems.push('only one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL may be set')
  if (keys.length === 0 && usesRedis(config)) problems.push('with Redis one of JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL must be set')
  // A request to a URL with a user is refused by `fetch`.
  if (config.JWKS_URL !== '' && !(isUrl(config.JWKS_URL, ['https:', 'http:']) && new URL(config.JWKS_URL).username === ''))
    problems.push('JWKS_URL must be an http:// or https:// URL without user')
  if (config.METRICS_PORT !== 0 && config.METRICS_PORT === config.PORT)
    problems.push('METRICS_PORT must differ from PORT; 0 serves /metrics on PORT')

  if (config.API_KEYS.includes(ADMIN_PREFIX)) problems.push(`API_KEYS: a key must follow ${ADMIN_PREFIX}`)

  for (const origin of config.ALLOWED_ORIGINS) {
    if (!isOrigin(origin)) problems.push(`ALLOWED_ORIGINS: ${origin} must be scheme://host[:port], without wildcards`)
  }
  for (const origin of config.CORS_ORIGIN) {
    if (origin !== '*' && !isOrigin(origin)) problems.push(`CORS_ORIGIN: ${origin} must be scheme://host[:port] without wildcards, or *`)
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

function checkNats(config: Config, problems: string[]): void {
  const { NATS_URL, NATS_USERNAME, NATS_PASSWORD } = config
  if (NATS_URL.length === 0) {
    for (const name of NATS_DETAILS) if (config[name] !== '') problems.push(`${name} goes with NATS_URL`)
    return
  }
  if (!usesRedis(config)) {
    problems.push('NATS_URL needs Redis: the embedded store has a single node, which wakes itself')
    return
  }
  const isSecured = NATS_URL.every((url) => /^tls:/i.test(url))
  if (!NATS_URL.every((url) => /^(nats|tls):\/\/[^@/?#\s]+$/i.test(url) && URL.canParse(url))) {
    problems.push('NATS_URL must be nats://host:port or tls://host:port, comma-separated, without user and path')
  } else if (!isSecured && NATS_URL.some((url) => /^tls:/i.test(url))) problems.push('NATS_URL must be tls:// for all servers or for none')
  if ((NATS_USERNAME === '') !== (NATS_PASSWORD === '')) problems.push('NATS_USERNAME and NATS_PASSWORD go together')
  const proofs = (['NATS_TOKEN', 'NATS_USERNAME', 'NATS_CREDENTIALS', 'NATS_NKEY_SEED'] as const).filter((name) => config[name] !== '')
  if (proofs.length > 1) problems.push(`only one of ${proofs.join(' and ')} may be set`)
  checkCertificates('NATS_TLS', config, isSecured ? '' : 'a tls:// NATS_URL', problems)
}

/**
 * Checks that certificate and key fit. If they do not, each connection would fail with a message about neither.
 *
 * @param needed the setting without which TLS is not used; '' if TLS is used
 */
function checkCertificates(prefix: 'REDIS_TLS' | 'NATS_TLS', config: Config, needed: string, problems: string[]): void {
  const [cert, key, ca] = [config[`${prefix}_CERT`], config[`${prefix}_KEY`], config[`${prefix}_CA`]]
  if (cert + key + ca === '') return
  if (needed !== '') problems.push(`${prefix}_CERT, ${prefix}_KEY and ${prefix}_CA go with ${needed}`)
  if ((cert === '') !== (key === '')) {
    problems.push(`${prefix}_CERT and ${prefix}_KEY go together`)
    return
  }
  try {
    createSecureContext({ ...(cert === '' ? {} : { cert, key }) })
  } catch {
    problems.push(`${prefix}_KEY must be the private key of ${prefix}_CERT, without a passphrase`)
  }
}

/** Accepts `host:port` without a scheme or a password before it. */
function isHostAndPort(value: string): boolean {
  const port = Number(/^[^@/;\s]+:(\d{1,5})$/.exec(value)?.[1] ?? 0)
  return port >= 1 && port <= 65_535
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
  return host !== '' && !host.includes('*') && `${protocol}//${host}`.toLowerCase() === value.toLowerCase()
}
