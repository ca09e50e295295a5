import t from 'tap'
import { RedisCluster } from '../fixtures/redis.ts'
import { deployedSetup } from './redis-setup.ts'
import { storeSuite } from './store.ts'
import { unbatched } from './unbatched.ts'

const cluster = await RedisCluster.start()
t.teardown(() => cluster.stop())
await storeSuite(t, deployedSetup('three masters of a Cluster, 2 nodes', { clusterNodes: cluster.nodes, waitReplicas: 0 }, 2), unbatched)
