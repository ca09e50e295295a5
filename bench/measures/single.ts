import { Generator } from '../generator.ts'
import { type Comparison, interleave, type Sample } from '../interleave.ts'
import { measureUsage, perMessage } from '../meter.ts'
import { belfry } from '../peers/all.ts'
import type { Peer } from '../peers/peer.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'

export const USERS = 2000
export const IN_FLIGHT = 32
/** Messages before the first measurement, so that the JIT compiler has optimised the code. */
const WARM_UP = 8000
const MESSAGES = 6000

const GOALS: Record<string, number> = { bare: 0.85, pattern: 0.6, 'socketio-redis': 0.5, 'socketio-streams': 0.5, nchan: 1 }

/** Starts a peer with two nodes, connects its users, and warms up the code. */
export async function startWarm(bench: Bench, peer: Peer, users = USERS): Promise<Generator> {
  const fleet = await peer.start({ nodes: 2 })
  const generator = await Generator.open(fleet, users)
  await generator.closedLoop(bench.amount(WARM_UP), IN_FLIGHT)
  return generator
}

/** Closes the sockets and stops the peer. */
export async function stop(generator: Generator): Promise<void> {
  await generator.close()
  await generator.fleet.stop()
}

/** Measures the CPU per message with one message per POST. */
export async function singlePosts(bench: Bench, generator: Generator): Promise<Sample> {
  const { used, result } = await measureUsage(generator.fleet.pids, () => generator.closedLoop(bench.amount(MESSAGES), IN_FLIGHT))
  return perMessage(used, result, generator.fleet.peer.doubles)
}

export const single: Measure = {
  name: 'single',
  title: 'CPU per message, single POST: both nodes and Redis',
  async run(bench) {
    const ours = await startWarm(bench, belfry)
    const results: { peer: Peer; comparison: Comparison }[] = []
    try {
      for (const peer of bench.peers) {
        bench.say(peer.label)
        const theirs = await startWarm(bench, peer)
        try {
          const comparison = await interleave(
            bench.pairs,
            () => singlePosts(bench, ours),
            () => singlePosts(bench, theirs)
          )
          results.push({ peer, comparison })
        } finally {
          await stop(theirs)
        }
      }
    } finally {
      await stop(ours)
    }
    return {
      unit: 'µs',
      figures: [
        { label: belfry.label, value: results[0]?.comparison.a ?? Number.NaN },
        ...results.map(({ peer, comparison }) => ({ label: peer.label, value: comparison.b }))
      ],
      verdicts: results.map(({ peer, comparison }) => atMost(`ratio to ${peer.label}`, comparison.ratio, GOALS[peer.name] ?? 1)),
      notes: results.map(({ peer, comparison }) => noteOf(peer.label, comparison))
    }
  }
}
