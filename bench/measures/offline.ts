import { fillOffline } from '../fill.ts'
import { Generator } from '../generator.ts'
import { interleave } from '../interleave.ts'
import { belfry } from '../peers/all.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'
import { IN_FLIGHT, singlePosts, stop, USERS } from './single.ts'

const FEW = 1000
const MANY = 1_000_000
const FULL = 1000
/** Number of the first offline user. Connected users have lower numbers. */
const FIRST_OFFLINE = 100_000
const WARM_UP = 8000

/** Starts one node whose store has `offline` offline users, and `rows` rows of each connected user. */
async function startPrepared(bench: Bench, offline: number, rows: number): Promise<Generator> {
  const fleet = await belfry.start({ nodes: 1, environment: { RATE_LIMIT_MAX: '0' } })
  await fillOffline(fleet, offline, 1, FIRST_OFFLINE)
  if (rows > 0) await fillOffline(fleet, USERS, rows, 0)
  const target = (index: number) => {
    const { path, ...rest } = belfry.target(fleet.ports[0] as number, `user-${index}`)
    return { ...rest, path: `${path}?last_event_id=latest` }
  }
  const generator = await Generator.open(fleet, USERS, { target })
  await generator.closedLoop(bench.amount(WARM_UP), IN_FLIGHT)
  return generator
}

/** Compares the CPU per publish with more stored data to that with little. */
async function compare(bench: Bench, more: [offline: number, rows: number]) {
  const few = await startPrepared(bench, bench.amount(FEW), 0)
  const many = await startPrepared(bench, ...more)
  try {
    return await interleave(
      bench.pairs,
      () => singlePosts(bench, many),
      () => singlePosts(bench, few)
    )
  } finally {
    await stop(few)
    await stop(many)
  }
}

export const offline: Measure = {
  name: 'offline',
  title: 'CPU per publish, by number of offline users and length of queues; one node',
  async run(bench) {
    const users = await compare(bench, [bench.amount(MANY), 0])
    const queue = await compare(bench, [bench.amount(FEW), bench.amount(FULL)])
    return {
      unit: 'µs',
      figures: [
        { label: '1,000 users offline', value: users.b },
        { label: '1,000,000 users offline', value: users.a },
        { label: 'queues empty', value: queue.b },
        { label: 'queues full, 1,000 rows', value: queue.a }
      ],
      verdicts: [
        atMost('ratio of 1,000,000 to 1,000 users offline', users.ratio, 1.05),
        atMost('ratio of full to empty queues', queue.ratio, 1.05)
      ],
      notes: [noteOf('1,000 users offline', users), noteOf('empty queues', queue)]
    }
  }
}
