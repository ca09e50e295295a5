import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Memory, ReachResult } from '../reach-calls.ts'
import { atMost, type Figure, type Measure, type Verdict } from './measure.ts'

const STORES = ['embedded', 'redis'] as const
const PUSHES = 5000
const WAITING = 100_000
const SECONDS = 10
const MAX_RATIO = 1.2
const MIB = 2 ** 20

export const reach: Measure = {
  name: 'reach',
  title: 'Pushes and webhooks of one node, at 500 publishes a second',
  async run(bench) {
    const program = join(import.meta.dirname, '..', 'reach-calls.js')
    const figures: Figure[] = []
    const verdicts: Verdict[] = []
    for (const store of STORES) {
      bench.say(store)
      const args = [store, ...[bench.amount(PUSHES), bench.amount(WAITING), bench.amount(SECONDS)].map(String)]
      const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', program, ...args])
      const { leaving, backlog, waiting, publishP99 } = JSON.parse(stdout) as ReachResult
      figures.push(
        { label: `${store}, publish to push leaving P50, ms`, value: leaving.p50, note: `after: 0, ${leaving.count} pushes` },
        { label: `${store}, publish to push leaving P99, ms`, value: leaving.p99 },
        { label: `${store}, pushes a second from a backlog`, value: backlog.perSecond, note: 'to one push service: 4 at a time' },
        {
          label: `${store}, CPU of a push, µs`,
          value: backlog.cpuMicros,
          note: `${Math.round(backlog.requestMicros)} of them to encrypt and sign`
        },
        memoryFigure(store, waiting.before, 'no call waits'),
        memoryFigure(store, waiting.memory, `${waiting.calls} calls wait`)
      )
      if (store === 'redis') {
        const bytes = (waiting.memory.redis - waiting.before.redis) / waiting.calls
        figures.push({ label: 'redis, memory of Redis for a waiting call, bytes', value: bytes, note: 'with its notification' })
      }
      figures.push({ label: `${store}, publish P99, ms`, value: publishP99.calm, note: 'calm' })
      figures.push({
        label: `${store}, publish P99, ms`,
        value: publishP99.hanging,
        note: `${waiting.calls} calls wait for a receiver that hangs; ratio to calm ${publishP99.ratio.toFixed(2)}, of the pairs ${publishP99.low.toFixed(2)} to ${publishP99.high.toFixed(2)}`
      })
      verdicts.push(atMost(`${store}, publish P99 with a receiver that hangs, ratio to calm`, publishP99.ratio, MAX_RATIO))
    }
    const notes = ['the store, the clock and the courier of one node in one process, without HTTP; the receiver is another process']
    return { unit: '', figures, verdicts, notes }
  }
}

function memoryFigure(store: string, { process, inUse }: Memory, note: string): Figure {
  const used = `${Math.round(inUse / MIB)} of them are objects and buffers in use`
  return { label: `${store}, memory of the process, MiB`, value: process / MIB, note: `${note}; ${used}` }
}
