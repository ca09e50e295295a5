import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { owned } from '../children.ts'
import { residentBytes } from '../cpu.ts'
import { nameOf, within } from '../crowd.ts'
import { bodyOf } from '../generator.ts'
import { openLoop } from '../open-loop.ts'
import { belfry } from '../peers/all.ts'
import { Poster } from '../poster.ts'
import { atMost, type Measure } from './measure.ts'

const NODES = 4
const CONNECTIONS = 50_000
const RATE = 1000
/** Two rounds of the heartbeat. */
const HELD_MS = 60_000

interface Told {
  received: number
  duplicated: number
  closed: number
}

/** A process that holds a node's part of the crowd, and what it told last. */
class Holder {
  last: Told = { received: 0, duplicated: 0, closed: 0 }
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (told) => {
      this.last = told as Told
    })
  }

  static async start(port: number, first: number, users: number): Promise<Holder> {
    const child = owned(fork(join(import.meta.dirname, '..', 'holder.js'), [port, first, users].map(String)))
    const holder = new Holder(child)
    await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => {
        throw new Error('a holder of connections ended before they were open')
      })
    ])
    return holder
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

export const crowdMeasure: Measure = {
  name: 'crowd',
  title: `${CONNECTIONS} connections on ${NODES} nodes of this machine`,
  async run(bench) {
    const share = bench.amount(CONNECTIONS) / NODES
    const fleet = await belfry.start({ nodes: NODES })
    const holders: Holder[] = []
    const sum = (field: keyof Told): number => holders.reduce((total, { last }) => total + last[field], 0)
    try {
      const start = performance.now()
      for (const [node, port] of fleet.ports.entries()) holders.push(await Holder.start(port, node * share, share))
      bench.say(`connected after ${((performance.now() - start) / 1000).toFixed(0)} s`)
      const count = (bench.quick ? 5 : HELD_MS / 1000) * RATE
      const posters = fleet.ports.map((port) => new Poster(port, belfry.publishPath(''), belfry.headers, 32))
      let refused = 0
      await openLoop(count, RATE, (n) => {
        const to = nameOf(Math.floor(Math.random() * share * NODES))
        posters[n % NODES]?.post(bodyOf(to, n), (status) => {
          if (status !== 202) refused += 1
        })
      })
      await within(10_000, () => sum('received') >= count - refused, 'everything to arrive').catch(() => undefined)
      await sleep(500)
      const memory = fleet.pids.map(residentBytes)
      const total = memory.reduce((one, other) => one + other, 0) / 2 ** 30
      return {
        unit: '',
        figures: [
          {
            label: 'GB resident, nodes and Redis',
            value: total,
            note: memory.map((bytes) => `${Math.round(bytes / 2 ** 20)} MB`).join(' + ')
          },
          { label: 'connections held', value: share * NODES - sum('closed') },
          { label: 'received of published', value: sum('received') / count }
        ],
        verdicts: [
          atMost('connections lost', sum('closed'), 0),
          atMost('messages lost', count - refused - sum('received'), 0),
          atMost('refused', refused, 0),
          atMost('GB of server memory', total, 0.8)
        ],
        notes: [`${count} published at ${RATE}/s, heartbeat on; the kernel's buffers are not in the figure`]
      }
    } finally {
      for (const holder of holders) await holder.stop()
      await fleet.stop()
    }
  }
}
