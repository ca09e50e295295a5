import t from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { broadcasting } from './broadcasting.ts'
import { embeddedSetup, restartingSetup } from './embedded-setup.ts'
import { redisSetup } from './redis-setup.ts'
import { referenceSetup } from './reference-store.ts'
import { storeSuite } from './store.ts'

// Runs the examples of topics and broadcasts alone, against a copy of the build: `audience-mutants.test.ts` starts it.

const store = process.argv[2]
if (store === 'redis') {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  await storeSuite(t, redisSetup(server, 2), broadcasting)
} else if (store === 'embedded') await storeSuite(t, embeddedSetup(), broadcasting)
else if (store === 'reopened') await storeSuite(t, restartingSetup(), broadcasting)
else await storeSuite(t, referenceSetup(3), broadcasting)
