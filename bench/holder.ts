import { Crowd, nameOf } from './crowd.ts'
import type { HolderOptions, Told } from './held.ts'
import { belfry } from './peers/all.ts'
import type { Fleet } from './peers/peer.ts'

// Holds a crowd in a process of its own: node holder.js <options, JSON>. Connects it when told to, and tells its parent how far it is.

const TELL_MS = 50

const { ports, users, ...options } = JSON.parse(process.argv[2] ?? '') as HolderOptions
const fleet: Fleet = { peer: belfry, ports, programs: [], pids: [], redisPort: 0, stop: async () => undefined }
const crowd = new Crowd(fleet, users)
let lastAt = 0
crowd.onReceipt = () => {
  lastAt = Date.now()
}
const tell = (): void => {
  const { received, duplicated, closed } = crowd
  process.send?.({ received, duplicated, closed, lastAt } satisfies Told)
}

// Tokens are kept by user: signed before, they take no time from the connecting.
for (let user = 0; user < users; user++) belfry.target(0, nameOf((options.first ?? 0) + user))

process.once('message', async () => {
  await crowd.connect(options)
  tell()
  setInterval(tell, TELL_MS)
})
process.on('disconnect', () => process.exit())
tell()
