import t from 'tap'
import { redisSetup } from '../conformance/redis-setup.ts'
import { referenceSetup } from '../conformance/reference-store.ts'
import { RedisServer } from '../fixtures/redis.ts'
import { equality } from './equality.ts'

const server = await RedisServer.start()
t.teardown(() => server.stop())

t.test('a node on Redis equals the bare machine', (t) => equality(t, referenceSetup(1), redisSetup(server, 1), 40))
