/** Address and credentials of one Redis server. */
interface RedisAddress {
  host: string
  port: number
  username?: string
  password?: string
  /** Number of the database. */
  db: number
  tls: boolean
  /** IP version of the lookup: 4, 6, or 0 for either. */
  family: number
}

const DEFAULT_PORT = 6379

/** Highest database number that is accepted here; the server may accept fewer. */
const MAX_DATABASE = 999_999_999

/**
 * Parses a `redis://` or `rediss://` URL. Blanks around it are ignored.
 *
 * @throws Error whose message completes a sentence about the URL ("must be …"), and shows no part of it, because it may contain a password
 */
export function parseRedisUrl(value: string): RedisAddress {
  const text = value.trim()
  if (!/^rediss?:\/\//i.test(text)) throw new Error('must be a redis:// or rediss:// URL')
  if (!URL.canParse(text) || /\s/.test(text)) {
    throw new Error('must be a URL: characters such as / # ? % and blanks in the user name or password are written %2F, %23 and so on')
  }
  const url = new URL(text)
  if (url.hash !== '') throw new Error('must not have a #: in a password it is written %23')
  if (url.hostname.includes(',')) throw new Error('must name one server: several are named in REDIS_CLUSTER_NODES or REDIS_SENTINELS')
  if (url.port === '0') throw new Error('must have a port from 1 to 65535')
  return {
    host: url.hostname === '' ? '127.0.0.1' : decode(url.hostname).replace(/^\[|\]$/g, ''),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    ...(url.username === '' ? {} : { username: decode(url.username) }),
    ...(url.password === '' ? {} : { password: decode(url.password) }),
    db: databaseIn(url),
    tls: url.protocol === 'rediss:',
    family: familyIn(url)
  }
}

function databaseIn({ pathname, searchParams }: URL): number {
  const path = pathname.replace(/^\//, '')
  const text = path === '' ? (searchParams.get('db') ?? '0') : path
  if (!/^\d+$/.test(text) || Number(text) > MAX_DATABASE) throw new Error('must end with the number of a database, or with none')
  return Number(text)
}

function familyIn({ searchParams }: URL): number {
  for (const name of searchParams.keys()) {
    if (name !== 'db' && name !== 'family') throw new Error('must have no query but db and family')
  }
  const family = searchParams.get('family') ?? '0'
  if (!['0', '4', '6'].includes(family)) throw new Error('must have 4 or 6 as its family')
  return Number(family)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error('must have %25 for a % in the user name or password')
  }
}
