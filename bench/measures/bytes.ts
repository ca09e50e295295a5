import { Redis } from 'ioredis'
import { fillOffline } from '../fill.ts'
import { bodyOf } from '../generator.ts'
import { belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { atMost, type Measure } from './measure.ts'

const USERS = 10_000
const QUEUE = 50
/** Number of the first offline user. */
const FIRST_USER = 100_000

/** Returns the memory that Redis uses for keys, values and expiries, bytes. */
async function datasetBytes(fleet: Fleet): Promise<number> {
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
  title: 'Redis memory per offline user',
  async run(bench) {
    const fleet = await belfry.start({ nodes: 1, environment: { RATE_LIMIT_MAX: '0' } })
    try {
      const users = bench.amount(USERS)
      const empty = await datasetBytes(fleet)
      await fillOffline(fleet, users, 1, FIRST_USER)
      const one = ((await datasetBytes(fleet)) - empty) / users
      const before = await datasetBytes(fleet)
      await fillOffline(fleet, users, QUEUE, FIRST_USER + users)
      const many = ((await datasetBytes(fleet)) - before) / users
      const payload = QUEUE * Buffer.byteLength(bodyOf('', 100_000))
      return {
        unit: 'bytes',
        figures: [
          { label: '1 notification', value: one },
          { label: `${QUEUE} notifications`, value: many, note: `payload ${payload}` }
        ],
        verdicts: [
          atMost('bytes with 1 notification', one, 1000),
          atMost(`${QUEUE} notifications, ratio to their payload`, many / payload, 1.3)
        ],
        notes: ['all keys are counted, including their expiries']
      }
    } finally {
      await fleet.stop()
    }
  }
}
