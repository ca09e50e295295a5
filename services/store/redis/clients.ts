import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Cluster, Redis } from 'ioredis'
import { parseRedisUrl } from '../redis-url.ts'
import { batchCommands } from './script-table.ts'

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

/** The longest a command may take, milliseconds: past it its outcome is not known. */
export const COMMAND_TIMEOUT_MS = 1500

/** A client is given up for dead when a ping takes this long, milliseconds. */
export const PING_TIMEOUT_MS = 800

const CONNECT_TIMEOUT_MS = 2000
const RECONNECT_MAX_MS = 500

/** A client for the server of `url`, or for the master that the Sentinels name. Not connected yet; it reconnects by itself. */
export function createClient(options: RedisStoreOptions, pipelining: boolean): Redis {
  const { url = '', sentinels, sentinelName, sentinelPassword = '', tls = false, certificates = {} } = options
  const common = { ...connectionOptions(pipelining), retryStrategy }
  if (sentinels === undefined) {
    const { tls: secure, ...address } = parseRedisUrl(url)
    return quiet(new Redis({ ...common, ...address, ...(secure ? { tls: certificates } : {}) }))
  }
  return quiet(
    new Redis({
      ...common,
      ...access(options),
      ...(sentinelPassword === '' ? {} : { sentinelPassword }),
      ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: certificates } : {}),
      sentinels: sentinels.map(addressOf),
      name: sentinelName ?? 'mymaster',
      sentinelRetryStrategy: retryStrategy
    })
  )
}

/** A client for one server of a Cluster. Not connected yet; it reconnects by itself. */
export function createServerClient(options: RedisStoreOptions, address: string, pipelining: boolean): Redis {
  return quiet(new Redis({ ...connectionOptions(pipelining), ...access(options), ...addressOf(address), retryStrategy }))
}

/** A client for one question to a server of a Cluster. It connects once and does not reconnect. */
export function createOnceClient(options: RedisStoreOptions, address: string): Redis {
  return quiet(new Redis({ ...connectionOptions(false), ...access(options), ...addressOf(address), retryStrategy: () => null }))
}

/** Handles `error` events: the commands they concern reject, and `status` tells the rest. */
export function quiet<Client extends Redis | Cluster>(client: Client): Client {
  client.on('error', () => undefined)
  return client
}

/**
 * Sends one command and resolves when the server has answered it. Rejects with the server's error, or when the server sends
 * nothing at all for `PING_TIMEOUT_MS`.
 */
export async function probe(client: Redis, command: () => Promise<unknown>): Promise<void> {
  const { stream } = client
  // A client that lost its connection in this turn of the event loop has no stream.
  const received = stream?.bytesRead
  const signal = new AbortController()
  const silent = async (): Promise<void> => {
    await setTimeout(PING_TIMEOUT_MS, undefined, { signal: signal.signal })
    // After a pause of this process, the bytes that arrived meanwhile are read first.
    await setImmediate()
    if (stream?.bytesRead === received) throw new Error('no answer to a ping')
  }
  const answered = command()
  try {
    await Promise.race([answered, silent()])
  } finally {
    signal.abort()
    answered.catch(() => undefined)
  }
}

export function access({ username = '', password = '', tls = false, certificates = {} }: RedisStoreOptions) {
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }), ...(tls ? { tls: certificates } : {}) }
}

export function connectionOptions(pipelining: boolean) {
  return {
    lazyConnect: true,
    enableAutoPipelining: pipelining,
    autoPipeliningIgnoredCommands: batchCommands,
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

export function retryStrategy(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 8), RECONNECT_MAX_MS) * (0.75 + Math.random() / 2)
}

/** Reads `host:port`, a url, or an IPv6 address without brackets as Redis writes it (`::1:6379`). */
export function addressOf(address: string): { host: string; port: number } {
  const bare = /^([0-9a-f:]*:[0-9a-f:]*):(\d+)$/i.exec(address)
  if (bare !== null) return { host: bare[1] as string, port: Number(bare[2]) }
  const { hostname, port } = new URL(address.includes('://') ? address : `redis://${address}`)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port === '' ? 6379 : port) }
}
