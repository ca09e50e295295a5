import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { atLeast, atMost, type Measure } from './measure.ts'

const IN_FLIGHT = 64
const USERS = 1000
const SECONDS = 10

interface EmbeddedResult {
  perSecond: number
  p50Ms: string
  p99Ms: string
  eventLoopP99Ms: string
  cpuMicrosPerPublish: string
}

export const embedded: Measure = {
  name: 'embedded',
  title: `Durable publishes per second of the embedded store, ${IN_FLIGHT} in flight, each synced to disk`,
  async run(bench) {
    const program = join(import.meta.dirname, '..', 'embedded-publish.js')
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...[IN_FLIGHT, USERS, bench.amount(SECONDS)].map(String)])
    const result = JSON.parse(stdout) as EmbeddedResult
    return {
      unit: '',
      figures: [
        { label: 'publishes per second', value: result.perSecond },
        { label: 'P50, ms', value: Number(result.p50Ms) },
        { label: 'P99, ms', value: Number(result.p99Ms) },
        { label: 'event loop delay P99, ms', value: Number(result.eventLoopP99Ms) },
        { label: 'CPU per publish, µs', value: Number(result.cpuMicrosPerPublish) }
      ],
      verdicts: [
        atLeast('publishes per second', result.perSecond, 10_000),
        atMost('event loop delay P99, ms', Number(result.eventLoopP99Ms), 20)
      ],
      notes: []
    }
  }
}
