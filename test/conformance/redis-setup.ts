import type { RedisStoreOptions } from '../../services/store/redis/clients.ts'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import type { Store } from '../../services/store/store.ts'
import { natsBus } from '../fixtures/nats.ts'
import type { RedisServer } from '../fixtures/redis.ts'
import type { Setup } from './stage.ts'

let databases = 0

/**
 * Nodes that share a redis-server. Each cluster has a key prefix of its own.
 *
 * @param natsUrl the NATS server that carries the wake-ups; default: Redis Pub/Sub does
 */
export function redisSetup(server: RedisServer, nodes: number, natsUrl?: string): Setup {
  const bus = natsUrl === undefined ? undefined : () => natsBus(natsUrl)
  return deployedSetup(`redis, ${nodes} nodes${natsUrl === undefined ? '' : ', nats'}`, { url: server.url, waitReplicas: 0 }, nodes, bus)
}

/** Nodes that share a Redis of any kind. Each cluster has a key prefix of its own. */
export function deployedSetup(
  name: string,
  redis: Omit<RedisStoreOptions, 'keyPrefix' | 'bus'>,
  nodes: number,
  bus?: () => NonNullable<RedisStoreOptions['bus']>
): Setup {
  return {
    name,
    open: async (settings) => {
      databases += 1
      const keyPrefix = `database${databases}`
      const make = (): Store[] =>
        Array.from({ length: nodes }, () => new RedisStore(settings, { ...redis, keyPrefix, ...(bus !== undefined && { bus: bus() }) }))
      let stores = make()
      const close = async (): Promise<void> => {
        await Promise.all(stores.map((store) => store.close()))
      }
      return {
        stores,
        close,
        restart: async () => {
          await close()
          stores = make()
          return stores
        }
      }
    }
  }
}
