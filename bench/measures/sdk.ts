import { Belfry, type Notification } from '../../packages/server/src/index.ts'
import { timeOf } from '../cpu.ts'
import type { Generator } from '../generator.ts'
import { type Comparison, interleave, median, type Sample } from '../interleave.ts'
import { measureUsage, perMessage } from '../meter.ts'
import { belfry, publisherToken } from '../peers/all.ts'
import type { Peer } from '../peers/peer.ts'
import { atMost, type Bench, type Measure, noteOf } from './measure.ts'
import { singlePosts, startWarm, stop } from './single.ts'

/**
 * Connected users of every program: enough that none exceeds the rate of ten per second. The sockets of two programs are open at a time, and some
 * systems let a process have no more than 20,000 files.
 */
const USERS = 8000
const CALLERS = 64
const MESSAGES = 20_000

const GOALS: Record<string, number> = { bare: 0.7, pattern: 0.5, 'socketio-redis': 0.5, 'socketio-streams': 0.5, nchan: 0.7 }

/** Explains what no change of the nodes can save. `redisMicros` is the CPU of Redis per message of Belfry. */
function floorNote(redisMicros: number, results: readonly { peer: Peer; comparison: Comparison }[]): string {
  const shares = results.map(({ peer, comparison }) => `${(redisMicros / comparison.b).toFixed(2)} of the total of ${peer.label}`)
  return (
    'floor: Belfry stores, deduplicates, counts and acknowledges each message. For that, Redis carries out ten commands in two scripts (state, ' +
    'idempotency key and its expiry, log, registry, wake-up counter, state; cursor, state, cursor), where the no-feature program has one PUBLISH. ' +
    `Redis alone takes ${shares.join(', ')}; the write to the socket and the request come on top`
  )
}

/** Returns a client of the SDK whose requests go to the nodes in turn, as through a balancer. */
function clientOf({ fleet }: Generator): Belfry {
  let requests = 0
  const balanced: typeof fetch = (url, init) => {
    const target = new URL(String(url))
    target.port = String(fleet.ports[requests++ % fleet.ports.length])
    return fetch(target, init)
  }
  return new Belfry(`http://127.0.0.1:${fleet.ports[0]}`, { getToken: () => publisherToken, fetch: balanced })
}

/** @param redisMicros list that gets the CPU microseconds of Redis per message. Redis is the last process of a fleet */
async function calls(bench: Bench, generator: Generator, client: Belfry, redisMicros: number[]): Promise<Sample> {
  const pids = generator.fleet.pids.slice(-1)
  const before = timeOf(pids).cpu
  const { used, result } = await measureUsage(generator.fleet.pids, () =>
    generator.callers(bench.amount(MESSAGES), CALLERS, (user, notification) => client.notify(user, notification as Notification))
  )
  redisMicros.push((timeOf(pids).cpu - before) / 1000 / result.published)
  return perMessage(used, result)
}

export const sdk: Measure = {
  name: 'sdk',
  title: 'CPU per message, as a service publishes: 64 concurrent callers; both nodes and Redis',
  async run(bench) {
    const ours = await startWarm(bench, belfry, bench.amount(USERS))
    const results: { peer: Peer; comparison: Comparison }[] = []
    const client = clientOf(ours)
    const redisMicros: number[] = []
    try {
      await calls(bench, ours, client, [])
      for (const peer of bench.peers) {
        bench.say(peer.label)
        const theirs = await startWarm(bench, peer, bench.amount(USERS))
        try {
          const comparison = await interleave(
            bench.pairs,
            () => calls(bench, ours, client, redisMicros),
            () => singlePosts(bench, theirs)
          )
          results.push({ peer, comparison })
        } finally {
          await stop(theirs)
        }
      }
    } finally {
      await client.close()
      await stop(ours)
    }
    const redis = median(redisMicros)
    return {
      unit: 'µs',
      figures: [
        {
          label: `${belfry.label} through @belfry/server`,
          value: results[0]?.comparison.a ?? Number.NaN,
          note: `of it Redis ${redis.toFixed(0)} µs`
        },
        ...results.map(({ peer, comparison }) => ({ label: `${peer.label}, single POST`, value: comparison.b }))
      ],
      verdicts: results.map(({ peer, comparison }) =>
        atMost(`ratio to ${peer.label}, single POST`, comparison.ratio, GOALS[peer.name] ?? 1)
      ),
      notes: [...results.map(({ peer, comparison }) => noteOf(peer.label, comparison)), floorNote(redis, results)]
    }
  }
}
