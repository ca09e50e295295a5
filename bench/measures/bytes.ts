import { Redis } from 'ioredis'
import { fillOffline } from '../fill.ts'
import { bodyOf } from '../generator.ts'
import { belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { atMost, type Measure } from './measure.ts'

const USERS = 10_000
const QUEUE = 50
const ABSENT = 100_000

/** Memory that Redis uses for data, bytes. */
async function dataset(fleet: Fleet): Promise<number> {
  const redis = new Redis(fleet.redisPort)
  try {
    return (
      Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1]) +
      Number(/used_memory_overhead:(\d+)/.exec(await redis.info('memory'))?.[1])
    )
  } finally {
    redis.disconnect()
  }
}

export const bytes: Measure = {
  name: 'bytes',
  title: 'Memory of Redis for a user who is away',
  async run(bench) {
    const fleet = await belfry.start({ nodes: 1, environment: { RATE_LIMIT_MAX: '0' } })
    try {
      const users = bench.amount(USERS)
      const empty = await dataset(fleet)
      await fillOffline(fleet, users, 1, ABSENT)
      const one = ((await dataset(fleet)) - empty) / users
      const before = await dataset(fleet)
      await fillOffline(fleet, users, QUEUE, ABSENT + users)
      const many = ((await dataset(fleet)) - before) / users
      const payload = QUEUE * Buffer.byteLength(bodyOf('', 100_000))
      return {
        unit: 'bytes',
        figures: [
          { label: '1 notification', value: one },
          { label: `${QUEUE} notifications`, value: many, note: `payload ${payload}` }
        ],
        verdicts: [atMost('bytes with 1 notification', one, 1000), atMost(`${QUEUE} notifications, to their payload`, many / payload, 1.3)],
        notes: ['every key counted, the expiry of each among them']
      }
    } finally {
      await fleet.stop()
    }
  }
}
