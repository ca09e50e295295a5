import { Generator } from '../generator.ts'
import { flawOf, measureUsage } from '../meter.ts'
import { belfry } from '../peers/all.ts'
import { atLeast, type Measure } from './measure.ts'

/** Enough users that none exceeds the rate of ten per second. */
const USERS = 10_000
const SIZE = 100
const IN_FLIGHT = 8
const WARM_UP = 100_000
const MESSAGES = 300_000
const RUNS = 3

export const sustained: Measure = {
  name: 'sustained',
  title: 'Durable publishes per second, delivered, in batches of 100; generator on the same cores',
  async run(bench) {
    const fleet = await belfry.start({ nodes: 2 })
    try {
      const generator = await Generator.open(fleet, bench.amount(USERS))
      await generator.batches(bench.amount(WARM_UP), SIZE, IN_FLIGHT)
      const rates: number[] = []
      const notes: string[] = []
      for (let run = 0; run < RUNS; run++) {
        const { used, result } = await measureUsage(fleet.pids, () => generator.batches(bench.amount(MESSAGES), SIZE, IN_FLIGHT))
        rates.push(result.published / result.seconds)
        const flaw = flawOf(used, result)
        const perMessage = (used.cpu / result.published).toFixed(1)
        notes.push(
          `${Math.round(result.published / result.seconds)}/s, ${perMessage} µs of CPU each, lost ${result.lost}, duplicated ${result.duplicated}${flaw === undefined ? '' : `; VOID: ${flaw}`}`
        )
      }
      await generator.close()
      const best = Math.max(...rates)
      return {
        unit: '/s',
        figures: [{ label: belfry.label, value: best, note: 'best of three' }],
        verdicts: [atLeast('accepted and received per second', best, 30_000)],
        notes
      }
    } finally {
      await fleet.stop()
    }
  }
}
