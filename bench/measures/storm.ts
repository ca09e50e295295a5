import { setTimeout as sleep } from 'node:timers/promises'
import { Crowd, nameOf, within } from '../crowd.ts'
import { bodyOf } from '../generator.ts'
import { Holder } from '../held.ts'
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
/** How long live messages are sent each time: longer than the storm takes, of which those count that were due meanwhile. */
const SECONDS = 5
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

interface Witnessed {
  /** Unix milliseconds. */
  due: number
  /** From when it was due, milliseconds. */
  latency: number
  /** How late the generator itself was, milliseconds; part of the latency. */
  late: number
}

/** Live messages to witnesses, for some seconds. */
async function witness(fleet: Fleet, crowd: Crowd, from: number, seconds: number): Promise<Witnessed[]> {
  const count = seconds * RATE
  const messages: Witnessed[] = []
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
    poster.post(bodyOf(nameOf(CLIENTS + (index % WITNESSES)), from + index), () => undefined)
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

/** Everybody returns at once, and gets what was missed. The witnesses are in another process than those who return. */
async function storm(bench: Bench, fleet: Fleet) {
  const clients = bench.amount(CLIENTS)
  const query = '?device_id=phone'
  const earlier = await Crowd.open(fleet, clients, { query, atOnce: 200 })
  await earlier.close()
  await publishMissed(bench, fleet)
  const witnesses = await Crowd.open(fleet, WITNESSES, { first: CLIENTS })
  const returning = await Holder.start({ ports: fleet.ports, users: clients, query, atOnce: AT_ONCE })
  await witness(fleet, witnesses, LIVE, SECONDS)
  const calm = await witness(fleet, witnesses, 2 * LIVE, SECONDS)

  const start = Date.now()
  const live = witness(fleet, witnesses, 3 * LIVE, SECONDS)
  await returning.connect()
  await within(30_000, () => returning.last.received >= clients * MISSED, 'everything missed to arrive').catch(() => undefined)
  const end = Date.now()
  const during = (await live).filter(({ due }) => due >= start && due < end)
  await sleep(500)
  const { received, duplicated, lastAt } = returning.last
  await returning.stop()
  await witnesses.close()
  return {
    seconds: (lastAt - start) / 1000,
    lost: clients * MISSED - received,
    duplicated,
    calm: p99(calm.map(({ latency }) => latency)),
    during: p99(during.map(({ latency }) => latency)),
    late: p99(during.map(({ late }) => late))
  }
}

export const reconnects: Measure = {
  name: 'storm',
  title: `${CLIENTS} clients return at once, each with ${MISSED} missed`,
  async run(bench) {
    const fleet = await belfry.start({ nodes: 2 })
    try {
      const { seconds, lost, duplicated, calm, during, late } = await storm(bench, fleet)
      return {
        unit: '',
        figures: [
          { label: 'seconds until everybody has everything', value: seconds },
          { label: 'P99 of other users, calm, ms', value: calm },
          {
            label: 'P99 of other users, during the storm, ms',
            value: during,
            note: `the generator was late by ${late.toFixed(1)} ms at its P99`
          }
        ],
        verdicts: [
          atMost('seconds', seconds, 3),
          atMost('lost', lost, 0),
          atMost('doubled', duplicated, 0),
          atMost("P99 of other users' live messages, to calm", during / calm, 2)
        ],
        notes: [
          'the clients, some 100 µs of CPU each to connect, share the two cores with the service, in another process than the live messages'
        ]
      }
    } finally {
      await fleet.stop()
    }
  }
}
