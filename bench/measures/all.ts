import { batch } from './batch.ts'
import type { Measure } from './measure.ts'
import { single } from './single.ts'

/** In the order in which they are run. */
export const measures: readonly Measure[] = [single, batch]
