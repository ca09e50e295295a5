import t from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { redisSetup } from './redis-setup.ts'
import { storeSuite } from './store.ts'

const server = await RedisServer.start()
t.teardown(() => server.stop())
await storeSuite(t, redisSetup(server, 3))
