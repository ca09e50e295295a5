import { join } from 'node:path'
import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { EmbeddedStore } from '../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../services/store/redis/redis-store.ts'
import { revocationTtlMs } from '../services/store/revocation.ts'
import type { Store, StoreSettings } from '../services/store/store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
  }
}

function certificatesOf({ REDIS_TLS_CERT: cert, REDIS_TLS_KEY: key, REDIS_TLS_CA: ca }: Config) {
  return { ...(cert === '' ? {} : { cert, key }), ...(ca === '' ? {} : { ca }) }
}

/** Chooses the store's driver. It is opened by `fanout`, which has somebody to tell of wake-ups. */
export default fp(
  async (app) => {
    const { config } = app
    const settings: StoreSettings = {
      rateLimit: config.RATE_LIMIT_MAX,
      rateWindowMs: config.RATE_LIMIT_WINDOW_MS,
      parkedMax: config.PARKED_MAX,
      retentionMs: config.RETENTION_SECONDS * 1000,
      maxEntries: config.LOG_MAX_ENTRIES,
      maxConnections: config.MAX_CONNECTIONS_PER_USER,
      revocationTtlMs: revocationTtlMs(config.MAX_TOKEN_LIFETIME * 1000)
    }
    const log = app.log.child({ component: 'store' })
    const store: Store = config.redis
      ? new RedisStore(settings, {
          ...(config.REDIS_URL === '' ? {} : { url: config.REDIS_URL }),
          ...(config.REDIS_CLUSTER_NODES.length === 0 ? {} : { clusterNodes: config.REDIS_CLUSTER_NODES }),
          ...(config.REDIS_SENTINELS.length === 0 ? {} : { sentinels: config.REDIS_SENTINELS, sentinelName: config.REDIS_SENTINEL_NAME }),
          username: config.REDIS_USERNAME,
          password: config.REDIS_PASSWORD,
          sentinelPassword: config.REDIS_SENTINEL_PASSWORD,
          tls: config.REDIS_TLS,
          certificates: certificatesOf(config),
          keyPrefix: config.REDIS_KEY_PREFIX,
          waitReplicas: config.REDIS_WAIT_REPLICAS,
          log
        })
      : new EmbeddedStore({ folder: join(config.DATA_DIR, 'store'), settings, log })
    app.decorate('store', store)
    app.health.add('store', () => {
      const { available, away = [], damage = '' } = store.status()
      if (!available) return 'away'
      if (damage !== '') return damage
      return away.length === 0 ? '' : { degraded: `partly away: slots ${away.map(({ slots }) => slots).join(' ')}` }
    })
    app.metrics.gauge('belfry_store_available', 'Whether the store can be used, at least in part', () => Number(store.status().available))
    app.metrics.gauge(
      'belfry_store_parts_away',
      'Masters of a Redis Cluster that cannot be used while others can',
      () => store.status().away?.length ?? 0
    )
    app.metrics.gauge('belfry_store_differing_nodes', "Live nodes of the store whose settings differ from this node's", () =>
      store.differingNodes()
    )
    app.metrics.gauge('belfry_store_full', 'Whether publishes are refused because the store has no room', () =>
      Number(store.status().full ?? false)
    )
  },
  { name: 'store', fastify: '5.x', dependencies: ['health', 'metrics'] }
)
