import t from 'tap'
import { NatsServer, natsBus } from '../fixtures/nats.ts'
import { RedisCluster } from '../fixtures/redis.ts'
import { deployedSetup } from './redis-setup.ts'
import { examples, storeSuite } from './store.ts'
import { unbatched } from './unbatched.ts'

const cluster = await RedisCluster.start()
t.teardown(() => cluster.stop())
const nats = await NatsServer.start()
t.teardown(() => nats.stop())
const redis = { clusterNodes: cluster.nodes, waitReplicas: 0 }
await storeSuite(t, deployedSetup('three masters of a Cluster, 2 nodes', redis, 2), unbatched)
// The examples in which nodes wake each other.
const waking = examples.filter(({ nodes = 1 }) => nodes > 1)
await storeSuite(
  t,
  deployedSetup('three masters of a Cluster, 3 nodes, nats', redis, 3, () => natsBus(nats.url)),
  waking
)
