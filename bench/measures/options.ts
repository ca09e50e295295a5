import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { OptionsResult } from '../options-publish.ts'
import { atMost, type Figure, type Measure, type Verdict } from './measure.ts'

const STORES = ['embedded', 'redis'] as const
const PUBLISHES = 2000
const EXPIRIES = 10_000
/** The options whose publish has a goal. */
const BOUNDED = ['ttl', 'collapseKey']
const MAX_RATIO = 1.5
const MAX_LATE_MS = 2000

export const options: Measure = {
  name: 'options',
  title: 'CPU of the store per publish with an option, and lateness of expiries at 500 a second',
  async run(bench) {
    const program = join(import.meta.dirname, '..', 'options-publish.js')
    const figures: Figure[] = []
    const verdicts: Verdict[] = []
    for (const store of STORES) {
      bench.say(store)
      const args = [store, ...[bench.amount(PUBLISHES), bench.pairs, bench.amount(EXPIRIES)].map(String)]
      const { stdout } = await promisify(execFile)(process.execPath, [program, ...args])
      const { costs, expiries } = JSON.parse(stdout) as OptionsResult
      for (const cost of costs) {
        for (const part of store === 'redis' ? (['store', 'total'] as const) : (['total'] as const)) {
          const { micros, ratio } = cost[part]
          const what = `${store}${part === 'total' && store === 'redis' ? ' and its client' : ''}, ${cost.option}`
          figures.push({ label: `${what}, µs of CPU`, value: micros, note: `ratio to a usual one ${ratio.toFixed(2)}` })
          if (BOUNDED.includes(cost.option)) verdicts.push(atMost(`${what}: ratio to a usual publish`, ratio, MAX_RATIO))
        }
      }
      figures.push({ label: `${store}, lateness of expiries P50, ms`, value: expiries.p50, note: `${expiries.count} expiries` })
      figures.push({ label: `${store}, lateness of expiries P99, ms`, value: expiries.p99 })
      verdicts.push(atMost(`${store}, lateness of expiries at most, ms`, expiries.max, MAX_LATE_MS))
    }
    const notes = ['steps of the store without HTTP; all kinds of publishes are measured in turns, each with users of its own']
    return { unit: '', figures, verdicts, notes }
  }
}
