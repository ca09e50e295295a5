import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytes } from '../cpu.ts'
import { nameOf, within } from '../crowd.ts'
import { bodyOf } from '../generator.ts'
import { Holder, type Told } from '../held.ts'
import { openLoop } from '../open-loop.ts'
import { belfry } from '../peers/all.ts'
import { Poster } from '../poster.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

const NODES = 4
const CONNECTIONS = 50_000
const RATE = 1000
/** Two rounds of the heartbeat. */
const HELD_MS = 60_000

/** What `docs/guides/scaling.md` says for many connections that are mostly quiet. */
const FRUGAL = ['--max-semi-space-size=4', '--heap-growing-percent=20']

interface Held {
  gigabytes: number
  /** Resident memory of each process, in words. */
  each: string
  published: number
  received: number
  closed: number
  refused: number
}

/** Four nodes with the crowd on them, while notifications come in at the rate. */
async function hold(bench: Bench, flags: string[]): Promise<Held> {
  const share = bench.amount(CONNECTIONS) / NODES
  const fleet = await belfry.start({ nodes: NODES, flags })
  const holders: Holder[] = []
  const sum = (field: keyof Told): number => holders.reduce((total, { last }) => total + last[field], 0)
  try {
    const start = performance.now()
    for (const [node, port] of fleet.ports.entries()) {
      const holder = await Holder.start({ ports: [port], first: node * share, users: share })
      holders.push(holder)
      await holder.connect()
    }
    bench.say(`connected after ${((performance.now() - start) / 1000).toFixed(0)} s`)
    const published = (bench.quick ? 5 : HELD_MS / 1000) * RATE
    const posters = fleet.ports.map((port) => new Poster(port, belfry.publishPath(''), belfry.headers, 32))
    let refused = 0
    await openLoop(published, RATE, (n) => {
      const to = nameOf(Math.floor(Math.random() * share * NODES))
      posters[n % NODES]?.post(bodyOf(to, n), (status) => {
        if (status !== 202) refused += 1
      })
    })
    await within(10_000, () => sum('received') >= published - refused, 'everything to arrive').catch(() => undefined)
    await sleep(500)
    const memory = fleet.pids.map(residentBytes)
    return {
      gigabytes: memory.reduce((one, other) => one + other, 0) / 2 ** 30,
      each: memory.map((bytes) => `${Math.round(bytes / 2 ** 20)} MB`).join(' + '),
      published,
      received: sum('received'),
      closed: sum('closed'),
      refused
    }
  } finally {
    for (const holder of holders) await holder.stop()
    await fleet.stop()
  }
}

export const crowdMeasure: Measure = {
  name: 'crowd',
  title: `${CONNECTIONS} connections on ${NODES} nodes of this machine`,
  async run(bench) {
    const usual = await hold(bench, [])
    const frugal = await hold(bench, FRUGAL)
    const both = [usual, frugal]
    const sum = (count: (held: Held) => number): number => both.reduce((total, held) => total + count(held), 0)
    return {
      unit: '',
      figures: [
        { label: 'GB resident, nodes and Redis', value: usual.gigabytes, note: usual.each },
        { label: `the same with ${FRUGAL.join(' ')}`, value: frugal.gigabytes, note: frugal.each },
        { label: 'connections held', value: bench.amount(CONNECTIONS) - Math.max(usual.closed, frugal.closed) },
        { label: 'received of published', value: sum(({ received }) => received) / sum(({ published }) => published) }
      ],
      verdicts: [
        atMost(
          'connections lost',
          sum(({ closed }) => closed),
          0
        ),
        atMost(
          'messages lost',
          sum(({ published, refused, received }) => published - refused - received),
          0
        ),
        atMost(
          'refused',
          sum(({ refused }) => refused),
          0
        ),
        atMost('GB of server memory, as it starts by itself', usual.gigabytes, 0.8),
        atMost('GB of server memory, as the scaling guide starts it for many quiet connections', frugal.gigabytes, 0.8)
      ],
      notes: [`${usual.published} published at ${RATE}/s, heartbeat on; the kernel's buffers are not in the figure`]
    }
  }
}
