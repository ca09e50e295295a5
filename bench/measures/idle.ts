import { Crowd } from '../crowd.ts'
import { bare, belfry } from '../peers/all.ts'
import type { Peer } from '../peers/peer.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

/** Connections before the first measurement, and additional ones before the second. */
const BASE = 5000
const MORE = 10_000

/**
 * Returns the memory per additional idle connection, bytes: the slope between two measurements after garbage collection. The slope excludes the
 * memory that a process needs without connections.
 */
async function slope(bench: Bench, peer: Peer): Promise<{ rss: number; heap: number; requests: number }> {
  const fleet = await peer.start({ nodes: 1 })
  const [program] = fleet.programs
  if (program === undefined) throw new Error(`${peer.label} is not a Node process, so its memory cannot be measured`)
  try {
    const base = await Crowd.open(fleet, bench.amount(BASE))
    const before = await program.report()
    const more = await Crowd.open(fleet, bench.amount(MORE), { first: BASE })
    const after = await program.report()
    const count = bench.amount(MORE)
    await base.close()
    await more.close()
    return { rss: (after.rss - before.rss) / count, heap: (after.heapUsed - before.heapUsed) / count, requests: after.incomingMessages }
  } finally {
    await fleet.stop()
  }
}

export const idle: Measure = {
  name: 'idle',
  title: 'Resident memory per additional idle connection',
  async run(bench) {
    const ours = await slope(bench, belfry)
    const figures = [
      { label: belfry.label, value: ours.rss / 1024, note: `heap ${(ours.heap / 1024).toFixed(1)} KB; authenticated, heartbeat on` }
    ]
    for (const peer of bench.peers.filter(({ name }) => [bare.name, 'pattern', 'socketio-redis'].includes(name))) {
      bench.say(peer.label)
      const { rss, heap } = await slope(bench, peer)
      figures.push({ label: peer.label, value: rss / 1024, note: `heap ${(heap / 1024).toFixed(1)} KB` })
    }
    return {
      unit: 'KB',
      figures,
      verdicts: [atMost('KB per connection', ours.rss / 1024, 7.7), atMost('upgrade requests still in memory', ours.requests, 0)],
      notes: [`from ${bench.amount(BASE)} to ${bench.amount(BASE) + bench.amount(MORE)} connections`]
    }
  }
}
