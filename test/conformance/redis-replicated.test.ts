import t from 'tap'
import { NatsServer, natsBus } from '../fixtures/nats.ts'
import { RedisSentinel } from '../fixtures/redis.ts'
import { deployedSetup } from './redis-setup.ts'
import { examples, storeSuite } from './store.ts'
import { unbatched } from './unbatched.ts'

const group = await RedisSentinel.start()
t.teardown(() => group.stop())
const nats = await NatsServer.start()
t.teardown(() => nats.stop())
await storeSuite(t, deployedSetup('publishes that a replica confirms, 2 nodes', { url: group.master.url, waitReplicas: 1 }, 2), unbatched)
// The examples in which nodes wake each other.
const waking = examples.filter(({ nodes = 1 }) => nodes > 1)
const sentinel = { sentinels: [`127.0.0.1:${group.sentinel.port}`], sentinelName: group.name, waitReplicas: 1 }
await storeSuite(
  t,
  deployedSetup('behind Sentinels, 3 nodes, nats', sentinel, 3, () => natsBus(nats.url)),
  waking
)
