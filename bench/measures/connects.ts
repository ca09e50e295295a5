import { Crowd } from '../crowd.ts'
import { interleave, median } from '../interleave.ts'
import { metered } from '../meter.ts'
import { bare, belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { atLeast, atMost, type Bench, type Measure, noteOf } from './measure.ts'

const COUNT = 5000
const WARM_ROUNDS = 2

interface Connects {
  perSecond: number
  /** CPU microseconds of the nodes and Redis for each. */
  cost: number
  foreign: number
}

/** Connects everybody as fast as it goes, until each hears; then lets them go. */
async function connects(bench: Bench, fleet: Fleet, first: number): Promise<Connects> {
  const count = bench.amount(COUNT)
  let seconds = 0
  const { used, result: crowd } = await metered(fleet.pids, async () => {
    const start = performance.now()
    const opened = await Crowd.open(fleet, count, { first })
    seconds = (performance.now() - start) / 1000
    return opened
  })
  await crowd.close()
  return { perSecond: count / seconds, cost: used.cpu / count, foreign: used.foreign }
}

export const connections: Measure = {
  name: 'connects',
  title: 'Connects a second, authenticated and attached, two nodes',
  async run(bench) {
    const fleets = [await belfry.start({ nodes: 2 }), await bare.start({ nodes: 2 })] as const
    const [ours, theirs] = fleets
    try {
      const cold = await connects(bench, ours, 0)
      const coldTheirs = await connects(bench, theirs, 0)
      for (let round = 0; round < WARM_ROUNDS; round++) for (const fleet of fleets) await connects(bench, fleet, 0)
      const warmCosts: number[] = []
      const once = (fleet: Fleet) => async () => {
        const { perSecond, cost, foreign } = await connects(bench, fleet, 0)
        if (fleet === ours) warmCosts.push(cost)
        return { value: perSecond, flaw: foreign > 0.15 ? 'others used the machine' : undefined }
      }
      const comparison = await interleave(bench.pairs, once(ours), once(theirs))
      const warm = median(warmCosts)
      return {
        unit: '/s',
        figures: [
          { label: belfry.label, value: comparison.a, note: `${warm.toFixed(0)} µs of CPU each; the first ${cold.cost.toFixed(0)}` },
          { label: bare.label, value: comparison.b, note: `the first ${coldTheirs.cost.toFixed(0)} µs each` }
        ],
        verdicts: [
          atLeast(`to ${bare.label}`, comparison.ratio, 0.8),
          atMost('cost of the first 5,000 after boot, to the warm cost', cold.cost / warm, 1.5)
        ],
        notes: [noteOf(bare.label, comparison)]
      }
    } finally {
      for (const fleet of fleets) await fleet.stop()
    }
  }
}
