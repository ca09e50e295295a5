import t from 'tap'
import { RedisStore } from '../../services/store/redis/redis-store.ts'
import { RedisServer } from '../fixtures/redis.ts'
import type { Setup } from './stage.ts'
import { storeSuite } from './store.ts'

const NODES = 3

const server = await RedisServer.start()
let databases = 0

const setup: Setup = {
  name: `redis, ${NODES} nodes`,
  open: async (settings) => {
    databases += 1
    const keyPrefix = `conformance${databases}`
    const make = () => Array.from({ length: NODES }, () => new RedisStore(settings, { url: server.url, keyPrefix, waitReplicas: 0 }))
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

await storeSuite(t, setup)
await server.stop()
