import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { atLeast, atMost, type Measure } from './measure.ts'

const IN_FLIGHT = 64
const USERS = 1000
const SECONDS = 10

interface Told {
  perSecond: number
  p50Ms: string
  p99Ms: string
  eventLoopP99Ms: string
  cpuMicrosPerPublish: string
}

export const embedded: Measure = {
  name: 'embedded',
  title: `Durable publishes a second of the embedded store, ${IN_FLIGHT} in flight, each synced to disk`,
  async run(bench) {
    const program = join(import.meta.dirname, '..', 'embedded-publish.js')
    const { stdout } = await promisify(execFile)(process.execPath, [program, ...[IN_FLIGHT, USERS, bench.amount(SECONDS)].map(String)])
    const told = JSON.parse(stdout) as Told
    return {
      unit: '',
      figures: [
        { label: 'publishes a second', value: told.perSecond },
        { label: 'P50, ms', value: Number(told.p50Ms) },
        { label: 'P99, ms', value: Number(told.p99Ms) },
        { label: 'event loop delay P99, ms', value: Number(told.eventLoopP99Ms) },
        { label: 'CPU each, µs', value: Number(told.cpuMicrosPerPublish) }
      ],
      verdicts: [
        atLeast('publishes a second', told.perSecond, 10_000),
        atMost('event loop delay P99, ms', Number(told.eventLoopP99Ms), 20)
      ],
      notes: []
    }
  }
}
