import { batch } from './batch.ts'
import { broadcast } from './broadcast.ts'
import { bytes } from './bytes.ts'
import { catchUp } from './catch-up.ts'
import { connects } from './connects.ts'
import { crowdMeasure } from './crowd.ts'
import { embedded } from './embedded.ts'
import { idle } from './idle.ts'
import { latency } from './latency.ts'
import type { Measure } from './measure.ts'
import { nodes } from './nodes.ts'
import { offline } from './offline.ts'
import { options } from './options.ts'
import { reach } from './reach.ts'
import { sdk } from './sdk.ts'
import { single } from './single.ts'
import { storm } from './storm.ts'
import { sustained } from './sustained.ts'

/** All measures, in the order in which they run. */
export const measures: readonly Measure[] = [
  single,
  batch,
  sdk,
  latency,
  sustained,
  nodes,
  idle,
  connects,
  storm,
  catchUp,
  crowdMeasure,
  offline,
  bytes,
  embedded,
  options,
  broadcast,
  reach
]
