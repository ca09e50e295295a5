import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Cluster, Redis } from 'ioredis'
import type { Bus } from '../../bus/bus.ts'
import { parseRedisUrl } from '../redis-url.ts'
import { batchCommands } from './script-table.ts'

/** Address of the database and how this driver uses it. Exactly one of `url`, `clusterNodes` and `sentinels` is given. */
export interface RedisStoreOptions {
  /** `redis://` or `rediss://`. */
  url?: string
  /** Addresses of some Cluster nodes, `host:port` or a url. */
  clusterNodes?: string[]
  /** Addresses of the Sentinels, `host:port`, and the name of the master they watch. */
  sentinels?: string[]
  sentinelName?: string
  /** Credentials for the servers of a Cluster, or behind Sentinels; a `url` has its own. '' for none. */
  username?: string
  password?: string
  /** Password of the Sentinels themselves. */
  sentinelPassword?: string
  /** Use TLS for all servers; a `rediss://` url implies it. */
  tls?: boolean
  /** Certificates for TLS; without `ca`, the authorities of the system count. */
  certificates?: TlsCertificates
  /** Beginning of every key; without braces. */
  keyPrefix: string
  /** Number of replicas that must confirm a change before it is answered; 0 waits for none. */
  waitReplicas: number
  /** Carries wake-ups between the nodes; the store opens and closes it. Default: Redis sharded Pub/Sub. */
  bus?: Bus | undefined
  /** Receives a line when the store becomes available or unavailable. */
  log?: { info(message: string): void; warn(message: string): void }
}

/** PEM texts: the client's certificate and its key, and the authorities that sign the servers'. */
interface TlsCertificates {
  cert?: string
  key?: string
  ca?: string
}

/** Time limit of a command, milliseconds. The outcome of a command that exceeds it is unknown. */
const COMMAND_TIMEOUT_MS = 1500

/** Time limit of a probe, milliseconds, after which the server counts as unreachable. */
const PING_TIMEOUT_MS = 800

const CONNECT_TIMEOUT_MS = 2000
const RECONNECT_MAX_MS = 500

/** Creates a client for the server of `url`, or for the master that the Sentinels name. Not connected yet; it reconnects by itself. */
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

/** Creates a client for one server of a Cluster. Not connected yet; it reconnects by itself. */
export function createServerClient(options: RedisStoreOptions, address: string, pipelining: boolean): Redis {
  return quiet(new Redis({ ...connectionOptions(pipelining), ...access(options), ...addressOf(address), retryStrategy }))
}

/** Creates a client for one question to a server of a Cluster. It connects once and does not reconnect. */
export function createOnceClient(options: RedisStoreOptions, address: string): Redis {
  return quiet(new Redis({ ...connectionOptions(false), ...access(options), ...addressOf(address), retryStrategy: () => null }))
}

/** Ignores `error` events. The commands concerned reject, and `status` shows the rest. */
export function quiet<Client extends Redis | Cluster>(client: Client): Client {
  client.on('error', () => undefined)
  return client
}

/**
 * Sends one command and resolves when the server has answered it. Rejects with the server's error, or if no byte arrives from the server
 * for `PING_TIMEOUT_MS`.
 */
export async function probe(client: Redis, command: () => Promise<unknown>): Promise<void> {
  const { stream } = client
  // A client that lost its connection in this turn of the event loop has no stream.
  const received = stream?.bytesRead
  const signal = new AbortController()
  const silence = async (): Promise<void> => {
    await setTimeout(PING_TIMEOUT_MS, undefined, { signal: signal.signal })
    // After a pause of this process, the event loop first reads the bytes that have arrived.
    await setImmediate()
    if (stream?.bytesRead === received) throw new Error('no answer to a ping')
  }
  const reply = command()
  try {
    await Promise.race([reply, silence()])
  } finally {
    signal.abort()
    reply.catch(() => undefined)
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
    // The library's check needs INFO, which the user may not be allowed. `checkServer` fails while the server loads its data, and is retried.
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
