import t from 'tap'
import { embeddedSetup } from '../conformance/embedded-setup.ts'
import { redisSetup } from '../conformance/redis-setup.ts'
import { referenceSetup } from '../conformance/reference-store.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { audienceEquality } from './audience-equality.ts'

t.test('topics and broadcasts of the embedded store equal the reference', (t) =>
  audienceEquality(t, referenceSetup(1, { forgetsConnections: true }), embeddedSetup(), 20)
)

t.test('topics and broadcasts in Redis equal the reference', async (t) => {
  const server = await RedisServer.start()
  t.teardown(() => server.stop())
  await audienceEquality(t, referenceSetup(1), redisSetup(server, 1), 40)
})
