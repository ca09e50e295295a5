import type { Generator } from '../generator.ts'
import { interleave, type Sample } from '../interleave.ts'
import { measureUsage, perMessage } from '../meter.ts'
import { bare, belfry } from '../peers/all.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'
import { singlePosts, startWarm, stop } from './single.ts'

/** Enough users that none exceeds the rate of ten per second. */
const USERS = 10_000
const SIZE = 100
const BATCHES_IN_FLIGHT = 4
const MESSAGES = 40_000

async function batches(bench: Bench, generator: Generator): Promise<Sample> {
  const { used, result } = await measureUsage(generator.fleet.pids, () =>
    generator.batches(bench.amount(MESSAGES), SIZE, BATCHES_IN_FLIGHT)
  )
  return perMessage(used, result)
}

export const batch: Measure = {
  name: 'batch',
  title: 'CPU per message, batches of 100: both nodes and Redis',
  async run(bench) {
    const ours = await startWarm(bench, belfry, bench.amount(USERS))
    const theirs = await startWarm(bench, bare)
    try {
      await batches(bench, ours)
      const comparison = await interleave(
        bench.pairs,
        () => batches(bench, ours),
        () => singlePosts(bench, theirs)
      )
      return {
        unit: 'µs',
        figures: [
          { label: `${belfry.label}, batches`, value: comparison.a },
          { label: `${bare.label}, single`, value: comparison.b }
        ],
        verdicts: [atMost(`ratio to ${bare.label}, single POST`, comparison.ratio, 0.2)],
        notes: [noteOf(`${bare.label}, single POST`, comparison)]
      }
    } finally {
      await stop(ours)
      await stop(theirs)
    }
  }
}
