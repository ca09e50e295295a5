import { batch } from './batch.ts'
import { bytes } from './bytes.ts'
import { catchUp } from './catch-up.ts'
import { connections } from './connects.ts'
import { crowdMeasure } from './crowd.ts'
import { embedded } from './embedded.ts'
import { idle } from './idle.ts'
import { latency } from './latency.ts'
import type { Measure } from './measure.ts'
import { nodes } from './nodes.ts'
import { offline } from './offline.ts'
import { single } from './single.ts'
import { reconnects } from './storm.ts'
import { sustained } from './sustained.ts'

/** In the order in which they are run. */
export const measures: readonly Measure[] = [
  single,
  batch,
  latency,
  sustained,
  nodes,
  idle,
  connections,
  reconnects,
  catchUp,
  crowdMeasure,
  offline,
  bytes,
  embedded
]
