import t from 'tap'
import { RedisSentinel } from '../fixtures/redis.ts'
import { deployedSetup } from './redis-setup.ts'
import { storeSuite } from './store.ts'
import { unbatched } from './unbatched.ts'

const group = await RedisSentinel.start()
t.teardown(() => group.stop())
await storeSuite(t, deployedSetup('publishes that a replica confirms, 2 nodes', { url: group.master.url, waitReplicas: 1 }, 2), unbatched)
