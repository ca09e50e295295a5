import { setTimeout as sleep } from 'node:timers/promises'
import { Generator } from '../generator.ts'
import { interleave, type Sample } from '../interleave.ts'
import { metered, perMessage } from '../meter.ts'
import { belfry } from '../peers/all.ts'
import type { Fleet, Peer } from '../peers/peer.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'

const USERS = 1000
const RATE = 1000
const MESSAGES = 5000
const WARM_UP = 8000
const MANY = 8

/** All users on the first node, and all publishes to it: the others have nothing to do with it. */
async function oneSided(bench: Bench, peer: Peer, nodes: number): Promise<Generator> {
  const fleet = await peer.start({ nodes })
  const port = fleet.ports[0] as number
  const generator = await Generator.open(fleet, USERS, { target: (index) => peer.target(port, `user-${index}`) })
  await generator.openLoop(bench.amount(WARM_UP), RATE, 1)
  return generator
}

async function sample(bench: Bench, generator: Generator): Promise<Sample> {
  const { used, result } = await metered(generator.fleet.pids, () => generator.openLoop(bench.amount(MESSAGES), RATE, 1))
  return perMessage(used, result, generator.fleet.peer.doubles)
}

async function compare(bench: Bench, peer: Peer) {
  const few = await oneSided(bench, peer, 1)
  const many = await oneSided(bench, peer, MANY)
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

/** Bytes an uninvolved node reads from Redis for each publish: what it reads meanwhile, less what it reads in as long a time of peace. */
async function busBytes(bench: Bench, generator: Generator): Promise<number> {
  const count = bench.amount(MESSAGES)
  const read = async (fleet: Fleet): Promise<number> => (await fleet.programs.at(-1)?.inside(fleet.redisPort))?.bytesRead ?? Number.NaN
  const start = await read(generator.fleet)
  const begun = performance.now()
  await generator.openLoop(count, RATE, 1)
  const busy = await read(generator.fleet)
  await sleep(performance.now() - begun)
  const peace = (await read(generator.fleet)) - busy
  return Math.max(0, busy - start - peace) / count
}

export const nodes: Measure = {
  name: 'nodes',
  title: `Total CPU per message at ${RATE} a second, one node and ${MANY}, of which ${MANY - 1} hold none of the users`,
  async run(bench) {
    const ours = await compare(bench, belfry)
    const figures = [
      { label: `${belfry.label}, 1 node`, value: ours.comparison.b },
      { label: `${belfry.label}, ${MANY} nodes`, value: ours.comparison.a }
    ]
    const notes = [noteOf('one node', ours.comparison), `${ours.busBytes.toFixed(2)} bytes from the bus per publish at an uninvolved node`]
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
        atMost(`${MANY} nodes to 1`, ours.comparison.ratio, 1.05),
        atMost('bytes per publish at an uninvolved node', Math.round(ours.busBytes * 10) / 10, 0)
      ],
      notes
    }
  }
}
