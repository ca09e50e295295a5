import { setImmediate, setTimeout } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { parseRedisUrl } from '../redis-url.ts'
import { gathered } from './scripts.ts'

/** Where the database is, and how this driver uses it. Exactly one of `url`, `clusterNodes` and `sentinels` says where. */
export interface RedisStoreOptions {
  /** `redis://` or `rediss://`. */
  url?: string
  /** Addresses of some Cluster nodes, `host:port` or a url. */
  clusterNodes?: string[]
  /** Addresses of the Sentinels, `host:port`, and the name of the master they watch. */
  sentinels?: string[]
  sentinelName?: string
  /** How the servers of a Cluster, or behind Sentinels, are entered; a `url` has its own. '' for none. */
  username?: string
  password?: string
  /** Of the Sentinels themselves. */
  sentinelPassword?: string
  /** Speaks TLS to all of them; a `rediss://` url implies it. */
  tls?: boolean
  /** What TLS is spoken with; the system's authorities when there is no `ca`. */
  certificates?: TlsCertificates
  /** What every key begins with; without braces. */
  keyPrefix: string
  /** Replicas that must have a publish before it is answered; 0 waits for none. */
  waitReplicas: number
  /** Told when the store comes and goes. */
  log?: { info(message: string): void; warn(message: string): void }
}

/** PEM texts: the client's certificate and its key, and the authorities that sign the servers'. */
export interface TlsCertificates {
  cert?: string
  key?: string
  ca?: string
}

export type Client = Redis | Cluster

/** The longest a command may take, milliseconds: past it its outcome is not known. */
export const COMMAND_TIMEOUT_MS = 1500

/** A client is given up for dead when a ping takes this long, milliseconds. */
export const PING_TIMEOUT_MS = 800

const CONNECT_TIMEOUT_MS = 2000
const RECONNECT_MAX_MS = 500

/**
 * A client that never runs a command twice, keeps none for later, and comes back by itself. Not connected yet.
 * Its errors are heard: the commands they concern reject, and `status` tells the rest.
 */
export function createClient(options: RedisStoreOptions, pipelining: boolean): Client {
  const client = options.clusterNodes === undefined ? createRedis(options, pipelining) : createCluster(options, pipelining)
  client.on('error', () => undefined)
  return client
}

/** Rejects when a server answers with an error, or sends nothing at all for `PING_TIMEOUT_MS`. */
export async function ping(client: Client): Promise<void> {
  await Promise.all((client instanceof Cluster ? client.nodes('master') : [client]).map(pingServer))
}

async function pingServer(client: Redis): Promise<void> {
  const { stream } = client
  const received = stream.bytesRead
  const signal = new AbortController()
  const silent = async (): Promise<void> => {
    await setTimeout(PING_TIMEOUT_MS, undefined, { signal: signal.signal })
    // What came in while this process was held up is read first.
    await setImmediate()
    if (stream.bytesRead === received) throw new Error('no answer to a ping')
  }
  const answered = client.ping()
  try {
    await Promise.race([answered, silent()])
  } finally {
    signal.abort()
    answered.catch(() => undefined)
  }
}

function createRedis(options: RedisStoreOptions, pipelining: boolean): Redis {
  const { url = '', sentinels, sentinelName, sentinelPassword = '', tls = false, certificates = {} } = options
  const common = {
    ...connectionOptions(),
    enableAutoPipelining: pipelining,
    autoPipeliningIgnoredCommands: gathered,
    lazyConnect: true,
    retryStrategy
  }
  if (sentinels === undefined) {
    const { tls: secure, ...address } = parseRedisUrl(url)
    return new Redis({ ...common, ...address, ...(secure ? { tls: certificates } : {}) })
  }
  return new Redis({
    ...common,
    ...access(options),
    ...(sentinelPassword === '' ? {} : { sentinelPassword }),
    ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: certificates } : {}),
    sentinels: sentinels.map(addressOf),
    name: sentinelName ?? 'mymaster',
    sentinelRetryStrategy: retryStrategy
  })
}

function createCluster(options: RedisStoreOptions, pipelining: boolean): Cluster {
  return new Cluster(options.clusterNodes?.map(addressOf) ?? [], {
    redisOptions: { ...connectionOptions(), ...access(options) },
    // A certificate is for the name: it is not looked up before it is checked.
    ...(options.tls ? { dnsLookup: (host, found) => found(null, host) } : {}),
    enableOfflineQueue: false,
    enableAutoPipelining: pipelining,
    lazyConnect: true,
    shardedSubscribers: true,
    clusterRetryStrategy: retryStrategy,
    slotsRefreshTimeout: COMMAND_TIMEOUT_MS,
    slotsRefreshInterval: 5000
  })
}

function access({ username = '', password = '', tls = false, certificates = {} }: RedisStoreOptions) {
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }), ...(tls ? { tls: certificates } : {}) }
}

function connectionOptions() {
  return {
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disableClientInfo: true,
    disconnectTimeout: 200,
    enableOfflineQueue: false,
    // The library's check needs INFO, which the user may not have. `checkServer` fails while the server loads its data, and is repeated.
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY')
  }
}

function retryStrategy(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 8), RECONNECT_MAX_MS) * (0.75 + Math.random() / 2)
}

function addressOf(address: string): { host: string; port: number } {
  const { hostname, port } = new URL(address.includes('://') ? address : `redis://${address}`)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port === '' ? 6379 : port) }
}
