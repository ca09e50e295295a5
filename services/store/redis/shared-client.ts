import { Cluster, type Redis } from 'ioredis'
import { access, addressOf, connectionOptions, createClient, quiet, type RedisStoreOptions, retryStrategy } from './clients.ts'

/** Redirections that one command of a Cluster may take. The library's 16, at 100 ms each, are longer than any command may take here. */
const MAX_REDIRECTIONS = 4

/**
 * Creates the client that is shared with plugins and with apps that embed Belfry. It has a connection of its own, so that no command of
 * theirs delays the store's. Not connected yet; it reconnects by itself, and commands reject at once while it has no connection.
 */
export function createSharedClient(options: RedisStoreOptions): Redis | Cluster {
  const { clusterNodes } = options
  if (clusterNodes === undefined) return createClient(options, false)
  return quiet(
    new Cluster(clusterNodes.map(addressOf), {
      redisOptions: { ...connectionOptions(false), ...access(options) },
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: retryStrategy,
      maxRedirections: MAX_REDIRECTIONS
    })
  )
}
