import type { Mutation } from './mutations.ts'

const CONNECTION = 'services/connection/connection.ts'

/** Defects between the store and the device: connections, sweeps, the client SDK. */
export const deliveryMutations: Mutation[] = [
  {
    name: 'a silent client is not disconnected',
    edits: [
      { file: 'services/connection/heartbeat.ts', find: "return 'slowConsumer'", put: ';' },
      {
        file: 'services/connection/heartbeat.ts',
        find: "if (this.#unansweredSince > 0 && now - this.#unansweredSince >= timeouts.pongMs) return 'noPong'",
        put: ';'
      }
    ],
    store: 'redis',
    faults: ['clientHole'],
    intensity: 5,
    rules: ['ghost']
  },
  {
    name: 'no node sweeps for a dead node',
    edits: [{ file: 'services/delivery/user-clock.ts', find: 'this.#sweeping ??= this.#sweep()', put: ';' }],
    store: 'redis',
    faults: ['nodeKill'],
    intensity: 3,
    nodes: 1,
    users: 60,
    rate: 700,
    seconds: 15,
    rules: ['unhealed', 'stored', 'lost']
  },
  {
    name: 'a replay is sent newest first',
    edits: [{ file: CONNECTION, find: 'let { offset } = start', put: 'let { offset } = start; rows.reverse()' }],
    store: 'redis',
    faults: ['clientRestart', 'frozenReader'],
    intensity: 4,
    rules: ['phantom', 'order']
  },
  {
    name: 'a row is sent before missing ones, and the SDK accepts it',
    edits: [
      { file: CONNECTION, find: '|| offset !== this.#sent.offset + 1', put: '' },
      { file: 'packages/client/src/dedupe.ts', find: '!isNext(eventId, this.last)', put: 'false' }
    ],
    store: 'redis',
    faults: ['subscriberSwallow', 'linkHole'],
    intensity: 6,
    rate: 200,
    rules: ['lost']
  },
  {
    name: 'a frame is sent twice, and the SDK shows it twice',
    edits: [
      {
        file: CONNECTION,
        find: 'this.#context.counters.deliveredLive += 1',
        put: 'this.#transport.send(frame)'
      },
      { file: 'packages/client/src/dedupe.ts', find: 'if (isAtOrBefore(eventId, this.last))', put: 'if (false)' },
      { file: 'packages/client/src/dedupe.ts', find: '!isNext(eventId, this.last)', put: 'false' },
      { file: 'packages/client/src/dedupe.ts', find: "return id && this.#ids.has(id) ? 'shown' : 'new'", put: "return 'new';" }
    ],
    store: 'redis',
    faults: [],
    seconds: 6,
    rules: ['duplicate']
  },
  {
    name: 'a wake-up during a read is ignored',
    edits: [{ file: 'services/connection/local-user.ts', find: 'if (this.observe(position)) return', put: '' }],
    store: 'redis',
    faults: ['frozenReader', 'clientCut', 'slowReader'],
    intensity: 6,
    rate: 150,
    rules: ['unhealed', 'late', 'lost']
  },
  {
    name: 'the cursor of a device moves when a row is sent, not when it is acknowledged',
    edits: [
      {
        file: CONNECTION,
        find: 'return this.#transport.isOneWay || this.deviceId === DEFAULT_DEVICE',
        put: 'return true;'
      }
    ],
    store: 'redis',
    faults: ['slowReader', 'frozenReader', 'clientForget', 'clientHole'],
    intensity: 8,
    rate: 150,
    rules: ['lost', 'identical']
  },
  {
    name: 'the SDK acknowledges rows before it hands them over',
    edits: [
      {
        file: 'packages/client/src/delivery.ts',
        find: 'this.#queue.push(item)',
        put: "this.#queue.push(item); this.acks.moved(item.frame.eventId ?? '')"
      }
    ],
    store: 'redis',
    faults: ['slowReader', 'clientForget'],
    intensity: 12,
    users: 6,
    rate: 60,
    rules: ['lost', 'identical']
  }
]
