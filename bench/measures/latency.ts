import type { Generator, Run } from '../generator.ts'
import { type Comparison, interleave, type Sample } from '../interleave.ts'
import { flawOf, measureUsage } from '../meter.ts'
import { belfry } from '../peers/all.ts'
import type { Peer } from '../peers/peer.ts'
import { percentile } from '../tally.ts'
import { atMost, type Bench, type Figure, type Measure, noteOf, type Verdict } from './measure.ts'
import { startWarm, stop } from './single.ts'

const RATE = 500
const MESSAGES = 2500
/**
 * The generator's timer has a resolution of a millisecond. A run is void if the generator's P99 lateness exceeds this value plus a tenth of the
 * measured P99.
 */
const TIMER_MS = 2

interface Percentiles {
  p50: Sample
  p99: Sample
}

async function measurePercentiles(bench: Bench, generator: Generator): Promise<Percentiles> {
  const { used, result } = await measureUsage(generator.fleet.pids, () => generator.openLoop(bench.amount(MESSAGES), RATE))
  const flaw = latenessFlaw(result) ?? flawOf(used, result, generator.fleet.peer.doubles)
  return { p50: { value: percentile(result.latencies, 50), flaw }, p99: { value: percentile(result.latencies, 99), flaw } }
}

function latenessFlaw({ lateP99, latencies }: Run): string | undefined {
  const allowed = TIMER_MS + percentile(latencies, 99) / 10
  return lateP99 > allowed ? `the generator was late (${lateP99.toFixed(1)} ms)` : undefined
}

/** Compares both percentiles from the same runs: the second comparison uses the values measured during the first. */
async function compare(bench: Bench, ours: Generator, theirs: Generator): Promise<{ p50: Comparison; p99: Comparison }> {
  const measured: { ours: Percentiles[]; theirs: Percentiles[] } = { ours: [], theirs: [] }
  const measureP50 = (side: 'ours' | 'theirs', generator: Generator) => async () => {
    const percentiles = await measurePercentiles(bench, generator)
    measured[side].push(percentiles)
    return percentiles.p50
  }
  const measuredP99 = (side: 'ours' | 'theirs') => async () => (measured[side].shift() as Percentiles).p99
  const p50 = await interleave(bench.pairs, measureP50('ours', ours), measureP50('theirs', theirs))
  return { p50, p99: await interleave(bench.pairs, measuredP99('ours'), measuredP99('theirs')) }
}

export const latency: Measure = {
  name: 'latency',
  title: `Latency from due time to receipt, ${RATE} messages per second to random users`,
  async run(bench) {
    const ours = await startWarm(bench, belfry)
    const results: { peer: Peer; p50: Comparison; p99: Comparison }[] = []
    try {
      for (const peer of bench.peers) {
        bench.say(peer.label)
        const theirs = await startWarm(bench, peer)
        try {
          results.push({ peer, ...(await compare(bench, ours, theirs)) })
        } finally {
          await stop(theirs)
        }
      }
    } finally {
      await stop(ours)
    }
    return { unit: 'ms', figures: figuresOf(results), verdicts: results.flatMap(verdictsOf), notes: results.flatMap(notesOf) }
  }
}

type Result = { peer: Peer; p50: Comparison; p99: Comparison }

function figuresOf(results: Result[]): Figure[] {
  const [first] = results
  const figures =
    first === undefined
      ? []
      : [
          { label: `${belfry.label}, P50`, value: first.p50.a },
          { label: `${belfry.label}, P99`, value: first.p99.a }
        ]
  return [
    ...figures,
    ...results.flatMap(({ peer, p50, p99 }) => [
      { label: `${peer.label}, P50`, value: p50.b },
      { label: `${peer.label}, P99`, value: p99.b }
    ])
  ]
}

function verdictsOf({ peer, p50, p99 }: Result): Verdict[] {
  if (peer.name === 'bare')
    return [atMost(`P50, ratio to ${peer.label}`, p50.ratio, 1), atMost(`P99, ratio to ${peer.label}`, p99.ratio, 1)]
  return peer.name === 'nchan' ? [] : [atMost(`P99, ratio to ${peer.label}`, p99.ratio, 0.5)]
}

function notesOf({ peer, p50, p99 }: Result): string[] {
  return [noteOf(`${peer.label}, P50`, p50), noteOf(`${peer.label}, P99`, p99)]
}
