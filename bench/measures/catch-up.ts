import { writeCalls } from '../cpu.ts'
import { Crowd, nameOf, within } from '../crowd.ts'
import { bodyOf } from '../generator.ts'
import { measureUsage } from '../meter.ts'
import { BATCH_PATH, belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { Poster } from '../poster.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

const ROWS = 1000
const USERS = 100
const ROUNDS = 8
/** Approximate length of a notification's frame. */
const FRAME_BYTES = 370

/** Fills the log of each user with `ROWS` notifications. */
async function fillLogs(fleet: Fleet, users: number): Promise<void> {
  const poster = new Poster(fleet.ports[0] as number, BATCH_PATH, belfry.headers, 4)
  let unfilled = users
  for (let user = 0; user < users; user++) {
    const items = Array.from({ length: ROWS }, (_, row) => bodyOf(nameOf(user), user * ROWS + row))
    poster.post(`{"notifications":[${items.join()}]}`, (status) => {
      if (status === 202) unfilled -= 1
    })
  }
  await within(120_000, () => unfilled === 0, 'the logs to be full')
  poster.close()
}

async function readsOf(port: number): Promise<number> {
  const text = await fetch(`http://127.0.0.1:${port}/metrics`).then((response) => response.text())
  return Number(/^belfry_reads_total (\d+)$/m.exec(text)?.[1] ?? Number.NaN)
}

/** Lets all users read their whole log without acknowledging it, as a phone does that was offline for long. */
async function runRound(bench: Bench, fleet: Fleet, users: number) {
  const port = fleet.ports[0] as number
  const [program] = fleet.programs
  const pid = program?.pid ?? 0
  const before = { reads: await readsOf(port), writes: writeCalls(pid) }
  const { used, result } = await measureUsage(fleet.pids, async () => {
    const crowd = await Crowd.open(fleet, users, { query: '?last_event_id=earliest', atOnce: 8 })
    await within(30_000, () => crowd.received >= users * ROWS, 'every row to arrive')
    return crowd
  })
  const after = { reads: await readsOf(port), writes: writeCalls(pid) }
  await result.close()
  bench.say(`${(used.cpu / (users * ROWS)).toFixed(2)} µs per row`)
  return { cost: used.cpu / (users * ROWS), reads: (after.reads - before.reads) / users, writes: (after.writes - before.writes) / users }
}

export const catchUp: Measure = {
  name: 'catch-up',
  title: `Catch-up of ${ROWS} rows: node and Redis`,
  async run(bench) {
    const users = bench.amount(USERS)
    const fleet = await belfry.start({ nodes: 1, environment: { RATE_LIMIT_MAX: '0' } })
    try {
      await fillLogs(fleet, users)
      const rounds = []
      for (let count = 0; count < ROUNDS; count++) rounds.push(await runRound(bench, fleet, users))
      const best = rounds.reduce((one, other) => (other.cost < one.cost ? other : one))
      const kilobytes = (ROWS * FRAME_BYTES) / 1024
      return {
        unit: '',
        figures: [
          { label: 'CPU per row, µs', value: best.cost, note: `best of ${ROUNDS} rounds, including the connect` },
          { label: 'store reads per catch-up', value: best.reads },
          { label: 'write calls per catch-up', value: best.writes, note: 'to Redis and to the socket' }
        ],
        verdicts: [atMost('µs per row', best.cost, 2.5), atMost('reads per 64 KB of frames', best.reads / (kilobytes / 64), 1)],
        notes: [`about ${kilobytes.toFixed(0)} KB of frames per catch-up`]
      }
    } finally {
      await fleet.stop()
    }
  }
}
