import type { Generator, Run } from '../generator.ts'
import { type Comparison, interleave, type Sample } from '../interleave.ts'
import { flawOf, metered } from '../meter.ts'
import { belfry } from '../peers/all.ts'
import type { Peer } from '../peers/peer.ts'
import { percentile } from '../tally.ts'
import { atMost, type Bench, type Figure, type Measure, noteOf, type Verdict } from './measure.ts'
import { shut, warm } from './single.ts'

const RATE = 500
const MESSAGES = 2500
/** The timer of the generator is good to a millisecond; a run whose lateness is more than this and a tenth of what it measures is void. */
const TIMER_MS = 2

interface Tails {
  p50: Sample
  p99: Sample
}

async function tails(bench: Bench, generator: Generator): Promise<Tails> {
  const { used, result } = await metered(generator.fleet.pids, () => generator.openLoop(bench.amount(MESSAGES), RATE))
  const flaw = late(result) ?? flawOf(used, result, generator.fleet.peer.doubles)
  return { p50: { value: percentile(result.latencies, 50), flaw }, p99: { value: percentile(result.latencies, 99), flaw } }
}

function late({ lateP99, latencies }: Run): string | undefined {
  const allowed = TIMER_MS + percentile(latencies, 99) / 10
  return lateP99 > allowed ? `the generator was late (${lateP99.toFixed(1)} ms)` : undefined
}

/** Each pair gives both percentiles: the second comparison reads what the first has measured. */
async function compare(bench: Bench, ours: Generator, theirs: Generator): Promise<{ p50: Comparison; p99: Comparison }> {
  const kept: { ours: Tails[]; theirs: Tails[] } = { ours: [], theirs: [] }
  const first = (side: 'ours' | 'theirs', generator: Generator) => async () => {
    const both = await tails(bench, generator)
    kept[side].push(both)
    return both.p50
  }
  const again = (side: 'ours' | 'theirs') => async () => (kept[side].shift() as Tails).p99
  const p50 = await interleave(bench.pairs, first('ours', ours), first('theirs', theirs))
  return { p50, p99: await interleave(bench.pairs, again('ours'), again('theirs')) }
}

export const latency: Measure = {
  name: 'latency',
  title: `Publish to receive at ${RATE} a second to random users, from when it was due`,
  async run(bench) {
    const ours = await warm(bench, belfry)
    const results: { peer: Peer; p50: Comparison; p99: Comparison }[] = []
    try {
      for (const peer of bench.peers) {
        bench.say(peer.label)
        const theirs = await warm(bench, peer)
        try {
          results.push({ peer, ...(await compare(bench, ours, theirs)) })
        } finally {
          await shut(theirs)
        }
      }
    } finally {
      await shut(ours)
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
  if (peer.name === 'bare') return [atMost(`P50 to ${peer.label}`, p50.ratio, 1), atMost(`P99 to ${peer.label}`, p99.ratio, 1)]
  return peer.name === 'nchan' ? [] : [atMost(`P99 to ${peer.label}`, p99.ratio, 0.5)]
}

function notesOf({ peer, p50, p99 }: Result): string[] {
  return [noteOf(`${peer.label}, P50`, p50), noteOf(`${peer.label}, P99`, p99)]
}
