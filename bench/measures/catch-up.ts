import { writeCalls } from '../cpu.ts'
import { Crowd, nameOf, within } from '../crowd.ts'
import { bodyOf } from '../generator.ts'
import { metered } from '../meter.ts'
import { BATCH_PATH, belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { Poster } from '../poster.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

const ROWS = 1000
const USERS = 100
const ROUNDS = 8

async function fill(fleet: Fleet, users: number): Promise<void> {
  const poster = new Poster(fleet.ports[0] as number, BATCH_PATH, belfry.headers, 4)
  let left = users
  for (let user = 0; user < users; user++) {
    const items = Array.from({ length: ROWS }, (_, row) => bodyOf(nameOf(user), user * ROWS + row))
    poster.post(`{"notifications":[${items.join()}]}`, (status) => {
      if (status === 202) left -= 1
    })
  }
  await within(120_000, () => left === 0, 'the logs to be full')
  poster.close()
}

async function readsOf(port: number): Promise<number> {
  const text = await fetch(`http://127.0.0.1:${port}/metrics`).then((response) => response.text())
  return Number(/^belfry_reads_total (\d+)$/m.exec(text)?.[1] ?? Number.NaN)
}

/** Users who read their whole log once more, without acknowledging: what a phone does that was away for long. */
async function round(bench: Bench, fleet: Fleet, users: number) {
  const port = fleet.ports[0] as number
  const [program] = fleet.programs
  const pid = program?.pid ?? 0
  const before = { reads: await readsOf(port), writes: writeCalls(pid) }
  const { used, result } = await metered(fleet.pids, async () => {
    const crowd = await Crowd.open(fleet, users, { query: '?last_event_id=earliest', atOnce: 8 })
    await within(30_000, () => crowd.received >= users * ROWS, 'every row to arrive')
    return crowd
  })
  const after = { reads: await readsOf(port), writes: writeCalls(pid) }
  await result.close()
  bench.say(`${(used.cpu / (users * ROWS)).toFixed(2)} µs a row`)
  return { cost: used.cpu / (users * ROWS), reads: (after.reads - before.reads) / users, writes: (after.writes - before.writes) / users }
}

export const catchUp: Measure = {
  name: 'catch-up',
  title: `Catch-up of ${ROWS} rows: node and Redis`,
  async run(bench) {
    const users = bench.amount(USERS)
    const fleet = await belfry.start({ nodes: 1, environment: { RATE_LIMIT_MAX: '0' } })
    try {
      await fill(fleet, users)
      const rounds = []
      for (let count = 0; count < ROUNDS; count++) rounds.push(await round(bench, fleet, users))
      const best = rounds.reduce((one, other) => (other.cost < one.cost ? other : one))
      const kilobytes = (ROWS * 370) / 1024
      return {
        unit: 'µs',
        figures: [
          { label: 'CPU a row', value: best.cost, note: `best of ${ROUNDS} rounds; connecting included` },
          { label: 'reads of the store a catch-up', value: best.reads },
          { label: 'write calls a catch-up', value: best.writes, note: 'to Redis and to the socket' }
        ],
        verdicts: [atMost('µs a row', best.cost, 2.5), atMost('reads per 64 KB of frames', best.reads / (kilobytes / 64), 1)],
        notes: [`about ${kilobytes.toFixed(0)} KB of frames a catch-up`]
      }
    } finally {
      await fleet.stop()
    }
  }
}
