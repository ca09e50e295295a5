import { setTimeout as sleep } from 'node:timers/promises'
import { Generator } from '../generator.ts'
import { interleave, type Sample } from '../interleave.ts'
import { measureUsage, perMessage } from '../meter.ts'
import { belfry } from '../peers/all.ts'
import type { Fleet, Peer } from '../peers/peer.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'

const USERS = 1000
const RATE = 1000
const MESSAGES = 5000
const WARM_UP = 8000
const MANY = 8

/** Connects all users to the first node, which also receives all publishes. The other nodes are not involved. */
async function startOneSided(bench: Bench, peer: Peer, nodes: number): Promise<Generator> {
  const fleet = await peer.start({ nodes })
  const port = fleet.ports[0] as number
  const generator = await Generator.open(fleet, USERS, { target: (index) => peer.target(port, `user-${index}`) })
  await generator.openLoop(bench.amount(WARM_UP), RATE, 1)
  return generator
}

async function sample(bench: Bench, generator: Generator): Promise<Sample> {
  const { used, result } = await measureUsage(generator.fleet.pids, () => generator.openLoop(bench.amount(MESSAGES), RATE, 1))
  return perMessage(used, result, generator.fleet.peer.doubles)
}

async function compare(bench: Bench, peer: Peer) {
  const few = await startOneSided(bench, peer, 1)
  const many = await startOneSided(bench, peer, MANY)
  try {
    const comparison = await interleave(
      bench.pairs,
      () => sample(bench, many),
      () => sample(bench, few)
    )
    return { comparison, busBytes: await busBytes(bench, many) }
  } finally {
    for (const generator of [few, many]) {
      await generator.close()
      await generator.fleet.stop()
    }
  }
}

/** Returns the bytes that a node without the users reads from Redis per publish: its reads during publishes, less those in an equal idle time. */
async function busBytes(bench: Bench, generator: Generator): Promise<number> {
  const count = bench.amount(MESSAGES)
  const read = async (fleet: Fleet): Promise<number> => (await fleet.programs.at(-1)?.report(fleet.redisPort))?.bytesRead ?? Number.NaN
  const start = await read(generator.fleet)
  const begun = performance.now()
  await generator.openLoop(count, RATE, 1)
  const busy = await read(generator.fleet)
  await sleep(performance.now() - begun)
  const idleBytes = (await read(generator.fleet)) - busy
  return Math.max(0, busy - start - idleBytes) / count
}

export const nodes: Measure = {
  name: 'nodes',
  title: `Total CPU per message at ${RATE} per second: one node, and ${MANY} nodes of which ${MANY - 1} have none of the users`,
  async run(bench) {
    const ours = await compare(bench, belfry)
    const figures = [
      { label: `${belfry.label}, 1 node`, value: ours.comparison.b },
      { label: `${belfry.label}, ${MANY} nodes`, value: ours.comparison.a }
    ]
    const notes = [
      noteOf('one node', ours.comparison),
      `${ours.busBytes.toFixed(2)} bytes read from Redis per publish by a node without the users`
    ]
    for (const peer of bench.peers.filter(({ name }) => name !== 'nchan')) {
      bench.say(peer.label)
      const { comparison, busBytes: bytes } = await compare(bench, peer)
      figures.push({ label: `${peer.label}, 1 node`, value: comparison.b }, { label: `${peer.label}, ${MANY} nodes`, value: comparison.a })
      notes.push(`${peer.label}: ${noteOf('one node', comparison)}; ${bytes.toFixed(2)} bytes per publish`)
    }
    return {
      unit: 'µs',
      figures,
      verdicts: [
        atMost(`ratio of ${MANY} nodes to one`, ours.comparison.ratio, 1.05),
        atMost('bytes per publish at a node without the users', Math.round(ours.busBytes * 10) / 10, 0)
      ],
      notes
    }
  }
}
