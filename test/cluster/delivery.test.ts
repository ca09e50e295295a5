import t from 'tap'
import { deliverySuite } from './delivering.ts'
import { startCluster } from './three-nodes.ts'

deliverySuite(t, startCluster)
