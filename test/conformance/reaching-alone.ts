import t from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { reaching } from './reaching.ts'
import { redisSetup } from './redis-setup.ts'
import { referenceSetup } from './reference-store.ts'
import { settling } from './settling.ts'
import { storeSuite } from './store.ts'

// Runs the examples of the outbox alone, against a copy of the build: `outbox-mutants.test.ts` starts it.

const examples = [...reaching, ...settling]

if (process.argv[2] === 'redis') {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  await storeSuite(t, { ...redisSetup(server, 1), slow: true }, examples)
} else await storeSuite(t, referenceSetup(3), examples)
