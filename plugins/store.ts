import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { redisOptionsOf } from '../config.ts'
import { presenceTimesOf, pushRuleOf, webhookEventsOf } from '../services/reach/settings.ts'
import { EmbeddedStore } from '../services/store/embedded/embedded-store.ts'
import { RedisStore } from '../services/store/redis/redis-store.ts'
import { revocationTtlMs } from '../services/store/revocation.ts'
import type { Store, StoreSettings } from '../services/store/store.ts'
import { StoreListeners } from '../services/store/store-listeners.ts'

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
    /** Listeners to the store's wake-ups, kicks, suspicions and changes of status. */
    storeListeners: StoreListeners
  }
}

/** Period at which a store that stays full is logged again, milliseconds. */
const FULL_LOG_MS = 60_000

/**
 * Opens the store and closes it, after every plugin that uses it. A connection can only be registered after `fanout` has attached its
 * listener, so no wake-up of a registered connection is lost.
 */
export default fp(
  async (app) => {
    const { config } = app
    const settings: StoreSettings = {
      rateLimit: config.RATE_LIMIT_PER_WINDOW,
      rateWindowMs: config.RATE_LIMIT_WINDOW_MS,
      parkedMax: config.PARKED_MAX,
      scheduledMax: config.SCHEDULED_MAX,
      retentionMs: config.RETENTION_SECONDS * 1000,
      maxEntries: config.LOG_MAX_ENTRIES,
      maxConnections: config.MAX_CONNECTIONS_PER_USER,
      revocationTtlMs: revocationTtlMs(config.MAX_TOKEN_LIFETIME_SECONDS * 1000),
      push: app.vapid === undefined ? undefined : pushRuleOf(config),
      webhookEvents: webhookEventsOf(config),
      presence: presenceTimesOf(config)
    }
    const log = app.log.child({ component: 'store' })
    const redis = redisOptionsOf(config)
    const store: Store = redis
      ? new RedisStore(settings, { ...redis, bus: app.bus, log })
      : new EmbeddedStore({ folder: join(config.DATA_DIR, 'store'), settings, log })
    const listeners = new StoreListeners()
    app.decorate('store', store)
    app.decorate('storeListeners', listeners)
    app.health.add('store', () => {
      const { available, away = [], damage = '' } = store.status()
      if (!available) return 'away'
      if (damage !== '') return damage
      return away.length === 0 ? '' : { degraded: `partly away: slots ${away.map(({ slots }) => slots).join(' ')}` }
    })
    app.metrics.gauge('belfry_store_available', '1 if the store can be used, at least in part; else 0', () =>
      Number(store.status().available)
    )
    app.metrics.gauge(
      'belfry_store_parts_away',
      'Masters of a Redis Cluster that cannot be used while others can',
      () => store.status().away?.length ?? 0
    )
    app.metrics.gauge('belfry_store_differing_nodes', "Live nodes of the store whose settings differ from this node's", () =>
      store.differingNodes()
    )
    app.metrics.gauge('belfry_store_full', '1 if publishes are refused because the store has no room; else 0', () =>
      Number(store.status().full ?? false)
    )
    logStatus(app, store, listeners)
    await store.open(app.node, listeners)
    app.addHook('onClose', () => store.close())
  },
  { name: 'store', fastify: '5.x', dependencies: ['vapid', 'bus', 'health', 'metrics'] }
)

/** Logs when the store becomes available or cannot be reached, and when it becomes full, repeated once a minute while it stays full. */
function logStatus(app: FastifyInstance, store: Store, listeners: StoreListeners): void {
  let loggedFullAt = Number.NEGATIVE_INFINITY
  const logFull = (): void => {
    if (!store.status().full || performance.now() - loggedFullAt < FULL_LOG_MS) return
    loggedFullAt = performance.now()
    app.log.warn('the store is full: publishes are refused with 507 until there is room')
  }
  const logging = setInterval(logFull, FULL_LOG_MS / 60).unref()
  app.addHook('onClose', async () => clearInterval(logging))
  listeners.attach({
    status({ available, full, reason, durability }) {
      if (full) logFull()
      else if (available) app.log.info({ durability }, 'the store is available')
      else app.log.warn({ reason }, 'the store is away')
    }
  })
}
