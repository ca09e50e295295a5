import { RedisStore } from '../../services/store/redis/redis-store.ts'
import type { Store } from '../../services/store/store.ts'
import type { RedisServer } from '../fixtures/redis.ts'
import type { Setup } from './stage.ts'

let databases = 0

/** Nodes that share a redis-server. Each cluster has a key prefix of its own. */
export function redisSetup(server: RedisServer, nodes: number): Setup {
  return {
    name: `redis, ${nodes} nodes`,
    open: async (settings) => {
      databases += 1
      const keyPrefix = `database${databases}`
      const make = (): Store[] =>
        Array.from({ length: nodes }, () => new RedisStore(settings, { url: server.url, keyPrefix, waitReplicas: 0 }))
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
