import { Crowd } from './crowd.ts'
import { belfry } from './peers/all.ts'
import type { Fleet } from './peers/peer.ts'

// Holds a part of a crowd that is too big for one process: node holder.js <port> <first user> <users>. Tells its parent how far it is.

const [port = 0, first = 0, users = 0] = process.argv.slice(2).map(Number)
const fleet: Fleet = { peer: belfry, ports: [port], programs: [], pids: [], redisPort: 0, stop: async () => undefined }
const crowd = await Crowd.open(fleet, users, { first })
const tell = (): void => {
  process.send?.({ received: crowd.received, duplicated: crowd.duplicated, closed: crowd.closed })
}
tell()
setInterval(tell, 200)
process.on('disconnect', () => process.exit())
