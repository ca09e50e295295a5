import type { Generator } from '../generator.ts'
import { interleave, type Sample } from '../interleave.ts'
import { metered, perMessage } from '../meter.ts'
import { bare, belfry } from '../peers/all.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'
import { shut, singlePosts, warm } from './single.ts'

/** So many that nobody is over the rate of ten a second. */
const USERS = 10_000
const SIZE = 100
const BATCHES_IN_FLIGHT = 4
const MESSAGES = 40_000

async function batches(bench: Bench, generator: Generator): Promise<Sample> {
  const { used, result } = await metered(generator.fleet.pids, () => generator.batches(bench.amount(MESSAGES), SIZE, BATCHES_IN_FLIGHT))
  return perMessage(used, result)
}

export const batch: Measure = {
  name: 'batch',
  title: 'CPU per message, batches of 100: both nodes and Redis',
  async run(bench) {
    const ours = await warm(bench, belfry, bench.amount(USERS))
    const theirs = await warm(bench, bare)
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
        verdicts: [atMost(`to ${bare.label}, single POST`, comparison.ratio, 0.2)],
        notes: [noteOf(`${bare.label}, single POST`, comparison)]
      }
    } finally {
      await shut(ours)
      await shut(theirs)
    }
  }
}
