import { Crowd, nameOf } from './crowd.ts'
import type { HolderOptions, Told } from './held.ts'
import { belfry } from './peers/all.ts'
import type { Fleet } from './peers/peer.ts'
import type { Target } from './raw-socket.ts'

// Holds a crowd in a process of its own: node holder.js <options, JSON>. Connects it when told to, and tells its parent how far it is.

const TELL_MS = 50

const { ports, first, users, query = '', atOnce } = JSON.parse(process.argv[2] ?? '') as HolderOptions
const fleet: Fleet = { peer: belfry, ports, programs: [], pids: [], redisPort: 0, stop: async () => undefined }
const targets = Array.from({ length: users }, (_, index): Target => {
  const { path, ...rest } = belfry.target(ports[index % ports.length] as number, nameOf(first + index))
  return { ...rest, path: `${path}${query}` }
})
const tell = (told: Told): void => {
  process.send?.(told)
}

process.once('message', async () => {
  const crowd = Crowd.of(fleet, users)
  let lastAt = 0
  crowd.onReceipt = () => {
    lastAt = Date.now()
  }
  await crowd.connect({ target: (index) => targets[index] as Target, ...(atOnce === undefined ? {} : { atOnce }) })
  const { received, duplicated, closed } = crowd
  tell({ received, duplicated, closed, lastAt })
  setInterval(() => tell({ received: crowd.received, duplicated: crowd.duplicated, closed: crowd.closed, lastAt }), TELL_MS)
})
process.on('disconnect', () => process.exit())
tell({ received: 0, duplicated: 0, closed: 0, lastAt: 0 })
