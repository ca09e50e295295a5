import type { Mutation } from './mutations.ts'

const BUS = 'services/bus/nats-bus.ts'
const onNats = { store: 'redis', bus: 'nats' } as const

/** Defects of the bus between the nodes, on NATS. */
export const busMutations: Mutation[] = [
  {
    name: 'on NATS, wake-up counters are not compared',
    edits: [
      {
        file: 'services/store/redis/housekeeping.ts',
        find: 'await this.wakeups.check(master, this.#registrations.buckets())',
        put: '[]'
      }
    ],
    ...onNats,
    faults: ['busKill', 'busHole'],
    intensity: 2.5,
    seconds: 16,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'each message is sent to NATS twice, and the second is counted in place of a lost one',
    edits: [{ file: BUS, find: 'return true', put: 'this.#link.publish(this.#subjectOf(node), message); return true' }],
    ...onNats,
    faults: ['busCut', 'busHole'],
    intensity: 4,
    seconds: 16,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'a node does not connect to NATS again',
    edits: [{ file: BUS, find: 'while (!signal.aborted)', put: 'for (const once of [1])' }],
    ...onNats,
    faults: ['busCut'],
    intensity: 4,
    seconds: 6,
    rules: ['unhealed']
  }
]
