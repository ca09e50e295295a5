import { setTimeout as sleep } from 'node:timers/promises'
import { Crowd, nameOf, within } from '../crowd.ts'
import { CrowdProcess } from '../crowd-process.ts'
import { bodyOf } from '../generator.ts'
import { openLoop } from '../open-loop.ts'
import { BATCH_PATH, belfry } from '../peers/all.ts'
import type { Fleet } from '../peers/peer.ts'
import { Poster } from '../poster.ts'
import { percentile } from '../tally.ts'
import { atMost, type Bench, type Measure } from './measure.ts'

const CLIENTS = 10_000
const MISSED = 10
/** Other users, connected before the storm. Their live messages show what the storm costs others. */
const OTHERS = 200
const RATE = 200
/** Duration of each run of live messages. It is longer than the storm, so only messages that are due during the storm count. */
const SECONDS = 5
/** Handshakes in flight; a faster arrival waits in the listen backlog. */
const AT_ONCE = 512
/** Number of the first live message. */
const FIRST_LIVE = 1_000_000

/** Publishes the notifications that the clients miss, in batches. */
async function publishMissed(bench: Bench, fleet: Fleet): Promise<void> {
  const clients = bench.amount(CLIENTS)
  const poster = new Poster(fleet.ports[0] as number, BATCH_PATH, belfry.headers, 4)
  let unanswered = 0
  for (let round = 0; round < MISSED; round++) {
    for (let from = 0; from < clients; from += 500) {
      const users = Array.from({ length: Math.min(500, clients - from) }, (_, index) => from + index)
      const items = users.map((user) => bodyOf(nameOf(user), user * MISSED + round))
      unanswered += 1
      poster.post(`{"notifications":[${items.join()}]}`, () => {
        unanswered -= 1
      })
    }
    await within(60_000, () => unanswered === 0, 'the batches to be answered')
    // A user receives ten notifications in any second; Belfry would park further ones.
    await sleep(110)
  }
  poster.close()
}

interface LiveMessage {
  /** Unix milliseconds. */
  due: number
  /** Milliseconds from due to received. */
  latency: number
  /** Lateness of the generator, milliseconds; included in the latency. */
  late: number
}

/** Publishes live messages to the other users for `seconds`, and returns their latencies. `from` is the number of the first message. */
async function publishLive(fleet: Fleet, crowd: Crowd, from: number, seconds: number): Promise<LiveMessage[]> {
  const count = seconds * RATE
  const messages: LiveMessage[] = []
  let arrived = 0
  const poster = new Poster(fleet.ports[0] as number, belfry.publishPath(''), belfry.headers, 32)
  crowd.onReceipt = (n, now) => {
    const message = messages[n - from]
    if (message === undefined) return
    message.latency = now - message.latency
    arrived += 1
  }
  await openLoop(count, RATE, (index, at, now) => {
    messages[index] = { due: performance.timeOrigin + at, latency: at, late: now - at }
    poster.post(bodyOf(nameOf(CLIENTS + (index % OTHERS)), from + index), () => undefined)
  })
  await within(10_000, () => arrived === count, 'every live message to arrive')
  poster.close()
  return messages
}

function p99(values: number[]): number {
  return percentile(
    values.sort((one, other) => one - other),
    99
  )
}

/** Reconnects all clients at once. They are in a child process, so that they do not delay this process, which measures the other users. */
async function runStorm(bench: Bench, fleet: Fleet) {
  const clients = bench.amount(CLIENTS)
  const query = '?device_id=phone'
  const earlier = await Crowd.open(fleet, clients, { query, atOnce: 200 })
  await earlier.close()
  await publishMissed(bench, fleet)
  const others = await Crowd.open(fleet, OTHERS, { first: CLIENTS })
  const returning = await CrowdProcess.start({ ports: fleet.ports, users: clients, query, atOnce: AT_ONCE })
  await publishLive(fleet, others, FIRST_LIVE, SECONDS)
  const calm = await publishLive(fleet, others, 2 * FIRST_LIVE, SECONDS)

  const start = Date.now()
  const live = publishLive(fleet, others, 3 * FIRST_LIVE, SECONDS)
  await returning.connect()
  await within(30_000, () => returning.last.received >= clients * MISSED, 'every missed notification to arrive').catch(() => undefined)
  const end = Date.now()
  const during = (await live).filter(({ due }) => due >= start && due < end)
  await sleep(500)
  const { received, duplicated, lastAt } = returning.last
  await returning.stop()
  await others.close()
  return {
    seconds: (lastAt - start) / 1000,
    lost: clients * MISSED - received,
    duplicated,
    calm: p99(calm.map(({ latency }) => latency)),
    during: p99(during.map(({ latency }) => latency)),
    late: p99(during.map(({ late }) => late))
  }
}

export const storm: Measure = {
  name: 'storm',
  title: `${CLIENTS} clients reconnect at once, each with ${MISSED} missed notifications`,
  async run(bench) {
    const fleet = await belfry.start({ nodes: 2 })
    try {
      const { seconds, lost, duplicated, calm, during, late } = await runStorm(bench, fleet)
      return {
        unit: '',
        figures: [
          { label: 'seconds until every client has every notification', value: seconds },
          { label: 'P99 of other users before the storm, ms', value: calm },
          {
            label: 'P99 of other users during the storm, ms',
            value: during,
            note: `P99 lateness of the generator: ${late.toFixed(1)} ms`
          }
        ],
        verdicts: [
          atMost('seconds', seconds, 3),
          atMost('lost', lost, 0),
          atMost('duplicated', duplicated, 0),
          atMost('P99 of other users during the storm, ratio to before', during / calm, 2)
        ],
        notes: [
          'the clients run in another process than the live messages, and share the cores with the service; each connect costs a client about 100 µs of CPU'
        ]
      }
    } finally {
      await fleet.stop()
    }
  }
}
