import { setTimeout as sleep } from 'node:timers/promises'
import { Crowd, nameOf, within } from '../crowd.ts'
import { bodyOf } from '../generator.ts'
import { openLoop } from '../open-loop.ts'
import { BATCH_PATH, belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { Poster } from '../poster.ts'
import { percentile } from '../tally.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

const CLIENTS = 10_000
const MISSED = 10
const WITNESSES = 200
const RATE = 200
const CALM_MS = 5000
/** Handshakes in flight: what arrives faster waits in the backlog of `listen`. */
const AT_ONCE = 512
/** Numbers of the witnesses' messages begin here. */
const LIVE = 1_000_000

/** Publishes to the absent, in batches. */
async function publishMissed(bench: Bench, fleet: Fleet): Promise<void> {
  const clients = bench.amount(CLIENTS)
  const poster = new Poster(fleet.ports[0] as number, BATCH_PATH, belfry.headers, 4)
  let left = 0
  for (let round = 0; round < MISSED; round++) {
    for (let from = 0; from < clients; from += 500) {
      const users = Array.from({ length: Math.min(500, clients - from) }, (_, index) => from + index)
      const items = users.map((user) => bodyOf(nameOf(user), user * MISSED + round))
      left += 1
      poster.post(`{"notifications":[${items.join()}]}`, () => {
        left -= 1
      })
    }
    await within(60_000, () => left === 0, 'the batches to be taken')
    // The rate is ten in any second: what is published faster than that would be parked.
    await sleep(110)
  }
  poster.close()
}

/** Live messages to witnesses, and how long they took; until stopped. */
function witness(fleet: Fleet, crowd: Crowd, from: number, count: number): Promise<number[]> {
  const due = new Float64Array(count)
  const latencies: number[] = []
  const poster = new Poster(fleet.ports[0] as number, belfry.publishPath(''), belfry.headers, 32)
  crowd.onReceipt = (n, now) => {
    if (n >= from && n < from + count) latencies.push(now - (due[n - from] as number))
  }
  const fired = openLoop(count, RATE, (index, at) => {
    due[index] = at
    poster.post(bodyOf(nameOf(CLIENTS + (index % WITNESSES)), from + index), () => undefined)
  })
  return fired.then(async () => {
    await within(10_000, () => latencies.length === count, 'every live message to arrive')
    poster.close()
    return latencies.sort((a, b) => a - b)
  })
}

/** Everybody returns at once, and gets what was missed. */
async function storm(bench: Bench, fleet: Fleet) {
  const clients = bench.amount(CLIENTS)
  const target = (index: number) => {
    const { path, ...rest } = belfry.target(fleet.ports[index % 2] as number, nameOf(index))
    return { ...rest, path: `${path}?device_id=phone` }
  }
  const earlier = await Crowd.open(fleet, clients, { target, atOnce: 200 })
  await earlier.close()
  await publishMissed(bench, fleet)
  const witnesses = await Crowd.open(fleet, WITNESSES, { first: CLIENTS })
  const count = (CALM_MS / 1000) * RATE
  await witness(fleet, witnesses, LIVE, count)
  const calm = await witness(fleet, witnesses, LIVE + count, count)

  const start = performance.now()
  let through = 0
  const live = witness(fleet, witnesses, LIVE + 2 * count, count)
  const returning = await Crowd.open(fleet, clients, { target, atOnce: AT_ONCE })
  await within(30_000, () => returning.received >= clients * MISSED, 'everything missed to arrive').catch(() => undefined)
  through = performance.now() - start
  const during = (await live).slice()
  await sleep(500)
  const { received, duplicated } = returning
  await returning.close()
  await witnesses.close()
  return {
    seconds: through / 1000,
    lost: clients * MISSED - received,
    duplicated,
    calm: percentile(calm, 99),
    during: percentile(during, 99)
  }
}

export const reconnects: Measure = {
  name: 'storm',
  title: `${CLIENTS} clients return at once, each with ${MISSED} missed`,
  async run(bench) {
    const fleet = await belfry.start({ nodes: 2 })
    try {
      const { seconds, lost, duplicated, calm, during } = await storm(bench, fleet)
      return {
        unit: '',
        figures: [
          { label: 'seconds until everybody has everything', value: seconds },
          { label: 'P99 of other users, calm, ms', value: calm },
          { label: 'P99 of other users, during the storm, ms', value: during }
        ],
        verdicts: [
          atMost('seconds', seconds, 3),
          atMost('lost', lost, 0),
          atMost('doubled', duplicated, 0),
          atMost("P99 of other users' live messages, to calm", during / calm, 2)
        ],
        notes: ['the clients, some 100 µs of CPU each to connect, share the two cores with the service']
      }
    } finally {
      await fleet.stop()
    }
  }
}
