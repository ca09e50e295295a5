import t from 'tap'
import { RedisServer } from '../fixtures/redis.ts'
import { broadcasting } from './broadcasting.ts'
import { embeddedSetup } from './embedded-setup.ts'
import { erasingMembers } from './erasing-members.ts'
import { redisSetup } from './redis-setup.ts'
import { storeSuite } from './store.ts'

// Runs the examples of topics and broadcasts alone, against a copy of the build: `audience-mutants.test.ts` starts it. Arguments: the store, and
// `short` for the short examples.

const [, , store, length] = process.argv
const all = [...broadcasting, ...erasingMembers]
const examples = length === 'short' ? all.filter(({ long, alone }) => !long && !alone) : all
if (store === 'redis') {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  await storeSuite(t, redisSetup(server, 2), examples)
} else await storeSuite(t, embeddedSetup(), examples)
