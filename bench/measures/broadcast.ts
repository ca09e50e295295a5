import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { BroadcastResult } from '../broadcast-publish.ts'
import { atLeast, atMost, type Figure, type Measure, type Verdict } from './measure.ts'

const STORES = ['embedded', 'redis'] as const
const MEMBERS = 100_000
const CALM_SECONDS = 5
const MIN_PER_SECOND = 15_000
/** Largest ratio of the P99 of publishes to other users during a broadcast to that in calm. */
const MAX_RATIO = 3
const MAX_BYTES = 100

export const broadcast: Measure = {
  name: 'broadcast',
  title: 'A broadcast to a topic of 100,000 members, and the latency of publishes to other users',
  async run(bench) {
    const program = join(import.meta.dirname, '..', 'broadcast-publish.js')
    const figures: Figure[] = []
    const verdicts: Verdict[] = []
    for (const store of STORES) {
      bench.say(store)
      const args = [store, ...[bench.amount(MEMBERS), bench.amount(CALM_SECONDS)].map(String)]
      const { stdout } = await promisify(execFile)(process.execPath, [program, ...args])
      const { membersPerSecond, calm, busy, bytesPerMember } = JSON.parse(stdout) as BroadcastResult
      figures.push({ label: `${store}, members per second`, value: membersPerSecond })
      figures.push({ label: `${store}, P99 of other publishes, ms`, value: busy.p99, note: `${calm.p99} in calm` })
      verdicts.push(atLeast(`${store}, members per second`, membersPerSecond, MIN_PER_SECOND))
      verdicts.push(atMost(`${store}, P99 of other publishes to that in calm`, busy.p99 / calm.p99, MAX_RATIO))
      if (store === 'embedded') continue
      figures.push({ label: 'redis, bytes per member', value: bytesPerMember })
      verdicts.push(atMost('redis, bytes per member', bytesPerMember, MAX_BYTES))
    }
    return { unit: '', figures, verdicts, notes: ['steps of the store without HTTP; names of 10 characters'] }
  }
}
