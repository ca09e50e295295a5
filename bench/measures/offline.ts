import { fillOffline } from '../fill.ts'
import { Generator } from '../generator.ts'
import { interleave } from '../interleave.ts'
import { belfry } from '../peers/all.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'
import { IN_FLIGHT, shut, singlePosts, USERS } from './single.ts'

const FEW = 1000
const MANY = 1_000_000
const FULL = 1000
/** Users who are there have numbers below; those who are not, from here on. */
const ABSENT = 100_000
const WARM_UP = 8000

/** One node whose store holds so many users who are not there, and so many rows of each user who is. */
async function prepared(bench: Bench, absent: number, rows: number): Promise<Generator> {
  const fleet = await belfry.start({ nodes: 1, environment: { RATE_LIMIT_MAX: '0' } })
  await fillOffline(fleet, absent, 1, ABSENT)
  if (rows > 0) await fillOffline(fleet, USERS, rows, 0)
  const target = (index: number) => {
    const { path, ...rest } = belfry.target(fleet.ports[0] as number, `user-${index}`)
    return { ...rest, path: `${path}?last_event_id=latest` }
  }
  const generator = await Generator.open(fleet, USERS, { target })
  await generator.closedLoop(bench.amount(WARM_UP), IN_FLIGHT)
  return generator
}

async function slope(bench: Bench, more: [absent: number, rows: number]) {
  const few = await prepared(bench, bench.amount(FEW), 0)
  const many = await prepared(bench, ...more)
  try {
    return await interleave(
      bench.pairs,
      () => singlePosts(bench, many),
      () => singlePosts(bench, few)
    )
  } finally {
    await shut(few)
    await shut(many)
  }
}

export const offline: Measure = {
  name: 'offline',
  title: 'CPU per publish, by how many users are away and how long queues are; one node',
  async run(bench) {
    const users = await slope(bench, [bench.amount(MANY), 0])
    const queue = await slope(bench, [bench.amount(FEW), bench.amount(FULL)])
    return {
      unit: 'µs',
      figures: [
        { label: '1,000 users away', value: users.b },
        { label: '1,000,000 users away', value: users.a },
        { label: 'queues empty', value: queue.b },
        { label: 'queues of 1,000, full', value: queue.a }
      ],
      verdicts: [atMost('1,000,000 to 1,000 users away', users.ratio, 1.05), atMost('full queues to empty ones', queue.ratio, 1.05)],
      notes: [noteOf('1,000 users away', users), noteOf('empty queues', queue)]
    }
  }
}
