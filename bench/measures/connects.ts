import { Crowd } from '../crowd.ts'
import { interleave, median } from '../interleave.ts'
import { measureUsage } from '../meter.ts'
import { bare, belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { atLeast, atMost, type Bench, type Measure, noteOf } from './measure.ts'

const COUNT = 5000
const WARM_ROUNDS = 2

interface ConnectCost {
  perSecond: number
  /** CPU microseconds of the nodes and Redis per connect. */
  cost: number
  /** See `Usage.foreignShare`. */
  foreignShare: number
}

/** Connects all users as fast as possible, until every socket receives messages; then closes the sockets. */
async function connectAll(bench: Bench, fleet: Fleet): Promise<ConnectCost> {
  const count = bench.amount(COUNT)
  let seconds = 0
  const { used, result: crowd } = await measureUsage(fleet.pids, async () => {
    const start = performance.now()
    const opened = await Crowd.open(fleet, count)
    seconds = (performance.now() - start) / 1000
    return opened
  })
  await crowd.close()
  return { perSecond: count / seconds, cost: used.cpu / count, foreignShare: used.foreignShare }
}

export const connects: Measure = {
  name: 'connects',
  title: 'Connects per second, authenticated and attached, two nodes',
  async run(bench) {
    const fleets = [await belfry.start({ nodes: 2 }), await bare.start({ nodes: 2 })] as const
    const [ours, theirs] = fleets
    try {
      const cold = await connectAll(bench, ours)
      const coldTheirs = await connectAll(bench, theirs)
      for (let round = 0; round < WARM_ROUNDS; round++) for (const fleet of fleets) await connectAll(bench, fleet)
      const warmCosts: number[] = []
      const once = (fleet: Fleet) => async () => {
        const { perSecond, cost, foreignShare } = await connectAll(bench, fleet)
        if (fleet === ours) warmCosts.push(cost)
        return { value: perSecond, flaw: foreignShare > 0.15 ? 'other processes used the machine' : undefined }
      }
      const comparison = await interleave(bench.pairs, once(ours), once(theirs))
      const warm = median(warmCosts)
      return {
        unit: '/s',
        figures: [
          {
            label: belfry.label,
            value: comparison.a,
            note: `${warm.toFixed(0)} µs of CPU each; ${cold.cost.toFixed(0)} µs right after the start`
          },
          { label: bare.label, value: comparison.b, note: `${coldTheirs.cost.toFixed(0)} µs of CPU each right after the start` }
        ],
        verdicts: [
          atLeast(`ratio to ${bare.label}`, comparison.ratio, 0.8),
          atMost('CPU of the first 5,000 connects after the start, ratio to warm', cold.cost / warm, 1.5)
        ],
        notes: [noteOf(bare.label, comparison)]
      }
    } finally {
      for (const fleet of fleets) await fleet.stop()
    }
  }
}
