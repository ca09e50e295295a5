import { Crowd, nameOf } from './crowd.ts'
import type { CrowdProcessOptions, CrowdProgress } from './crowd-process.ts'
import { belfry } from './peers/all.ts'
import type { Fleet } from './peers/peer.ts'

// Child process of `CrowdProcess`: node crowd-program.js <options, JSON>. Connects a crowd when the parent sends a message, then reports the
// crowd's counts to the parent.

const REPORT_INTERVAL_MS = 50

const { ports, users, ...options } = JSON.parse(process.argv[2] ?? '') as CrowdProcessOptions
const fleet: Fleet = { peer: belfry, ports, programs: [], pids: [], redisPort: 0, stop: async () => undefined }
const crowd = new Crowd(fleet, users)
let lastAt = 0
crowd.onReceipt = () => {
  lastAt = Date.now()
}
const report = (): void => {
  const { received, duplicated, closed } = crowd
  process.send?.({ received, duplicated, closed, lastAt } satisfies CrowdProgress)
}

// Signs all tokens in advance (`belfry.target` caches them by user), so that signing takes no time while the crowd connects.
for (let user = 0; user < users; user++) belfry.target(0, nameOf((options.first ?? 0) + user))

process.once('message', async () => {
  await crowd.connect(options)
  report()
  setInterval(report, REPORT_INTERVAL_MS)
})
process.on('disconnect', () => process.exit())
report()
