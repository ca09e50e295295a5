import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytes } from '../cpu.ts'
import { nameOf, within } from '../crowd.ts'
import { CrowdProcess, type CrowdProgress } from '../crowd-process.ts'
import { bodyOf } from '../generator.ts'
import { openLoop } from '../open-loop.ts'
import { belfry } from '../peers/all.ts'
import { Poster } from '../poster.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

const NODES = 4
const CONNECTIONS = 50_000
const RATE = 1000
/** More than two intervals of the heartbeat (25 s). */
const DURATION_MS = 60_000

/** Flags that `docs/guides/scaling.md` recommends for many, mostly quiet connections. */
const FRUGAL = ['--max-semi-space-size=4', '--heap-growing-percent=20']

interface CrowdResult {
  gigabytes: number
  /** Resident memory of each process, as text. */
  perProcess: string
  published: number
  received: number
  closed: number
  refused: number
}

/** Connects the crowd to four nodes, publishes at the rate, and measures memory and losses. */
async function holdConnections(bench: Bench, flags: string[]): Promise<CrowdResult> {
  const share = bench.amount(CONNECTIONS) / NODES
  const fleet = await belfry.start({ nodes: NODES, flags })
  const processes: CrowdProcess[] = []
  const sum = (field: keyof CrowdProgress): number => processes.reduce((total, { last }) => total + last[field], 0)
  try {
    const start = performance.now()
    for (const [node, port] of fleet.ports.entries()) {
      const crowdProcess = await CrowdProcess.start({ ports: [port], first: node * share, users: share })
      processes.push(crowdProcess)
      await crowdProcess.connect()
    }
    bench.say(`connected after ${((performance.now() - start) / 1000).toFixed(0)} s`)
    const published = (bench.quick ? 5 : DURATION_MS / 1000) * RATE
    const posters = fleet.ports.map((port) => new Poster(port, belfry.publishPath(''), belfry.headers, 32))
    let refused = 0
    await openLoop(published, RATE, (n) => {
      const to = nameOf(Math.floor(Math.random() * share * NODES))
      posters[n % NODES]?.post(bodyOf(to, n), (status) => {
        if (status !== 202) refused += 1
      })
    })
    await within(10_000, () => sum('received') >= published - refused, 'every message to arrive').catch(() => undefined)
    await sleep(500)
    const memory = fleet.pids.map(residentBytes)
    return {
      gigabytes: memory.reduce((one, other) => one + other, 0) / 2 ** 30,
      perProcess: memory.map((bytes) => `${Math.round(bytes / 2 ** 20)} MB`).join(' + '),
      published,
      received: sum('received'),
      closed: sum('closed'),
      refused
    }
  } finally {
    for (const crowdProcess of processes) await crowdProcess.stop()
    await fleet.stop()
  }
}

export const crowdMeasure: Measure = {
  name: 'crowd',
  title: `${CONNECTIONS} connections on ${NODES} nodes of one machine`,
  async run(bench) {
    const usual = await holdConnections(bench, [])
    const frugal = await holdConnections(bench, FRUGAL)
    const both = [usual, frugal]
    const sum = (count: (result: CrowdResult) => number): number => both.reduce((total, result) => total + count(result), 0)
    return {
      unit: '',
      figures: [
        { label: 'GB resident, nodes and Redis', value: usual.gigabytes, note: usual.perProcess },
        { label: `the same with ${FRUGAL.join(' ')}`, value: frugal.gigabytes, note: frugal.perProcess },
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
        atMost('GB of memory, started without flags', usual.gigabytes, 0.8),
        atMost('GB of memory, started with the flags of the scaling guide', frugal.gigabytes, 0.8)
      ],
      notes: [`${usual.published} published at ${RATE}/s, heartbeat on; the figure does not include the kernel's buffers`]
    }
  }
}
