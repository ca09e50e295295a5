import t from 'tap'
import { NatsServer } from '../fixtures/nats.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { redisSetup } from './redis-setup.ts'
import { examples, storeSuite } from './store.ts'

// The examples in which nodes wake each other. `npm run test:nats` runs all of them.
const list = process.env.TEST_BUS === undefined ? examples.filter(({ nodes = 1 }) => nodes > 1) : examples
const server = await RedisServer.start()
t.teardown(() => server.stop())
const nats = await NatsServer.start()
t.teardown(() => nats.stop())
await storeSuite(t, redisSetup(server, 3, nats.url), list)
