import type { Edit, Mutation } from './mutations.ts'

const RUNNER = 'services/audience/batch-runner.ts'
const BROADCASTER = 'services/audience/broadcaster.ts'

/** A publish to a member that takes up to 300 ms longer, so that a kill finds batches under way. */
const slowPublish: Edit = {
  file: RUNNER,
  find: 'if (!canStart()) return void left.push(user)',
  put: 'await setTimeout(300 * Math.random()); if (!canStart()) return void left.push(user)'
}

/** Defects of broadcasts. */
export const broadcastMutations: Mutation[] = [
  {
    name: 'broadcast: those in except get it, too',
    edits: [
      {
        file: 'services/delivery/publish-request.ts',
        find: 'const except = [...new Set(to.except)]',
        put: 'const except: string[] = []'
      }
    ],
    store: 'embedded',
    faults: [],
    topics: 4,
    rules: ['member', 'progress']
  },
  {
    name: 'broadcast: a cancelled one is not recalled',
    edits: [
      {
        file: RUNNER,
        find: "const result = await store.retract(user, publish.id, 'recalled', publish.broadcastAt)",
        put: "const result: string = publish.id === user ? await store.retract(user, publish.id, 'recalled', publish.broadcastAt) : 'unknown'"
      }
    ],
    store: 'redis',
    faults: [],
    topics: 6,
    rules: ['cancelled', 'recall']
  },
  {
    name: 'broadcast: no node goes on with a broadcast of a dead one',
    edits: [
      slowPublish,
      {
        file: BROADCASTER,
        find: 'for (const broadcastId of await this.#options.store.audiences.waiting()) this.#goOn(broadcastId)',
        put: 'await this.#options.store.audiences.waiting()'
      }
    ],
    store: 'redis',
    faults: ['nodeKill'],
    intensity: 3,
    seconds: 15,
    topics: 6,
    rules: ['progress', 'stored', 'lost', 'cancelled', 'recall']
  },
  {
    name: 'broadcast: a batch that is repeated publishes again',
    edits: [
      slowPublish,
      { file: RUNNER, find: 'store.publish({ user, keyed: true, ...publish })', put: 'store.publish({ user, keyed: false, ...publish })' }
    ],
    store: 'redis',
    faults: ['nodeKill'],
    topics: 6,
    // A publish without a key is not barred by the recall either.
    rules: ['idempotency', 'duplicate', 'phantom', 'order', 'recall', 'cancelled']
  },
  {
    name: 'broadcast: members for whom the store failed are left out',
    edits: [
      slowPublish,
      { file: RUNNER, find: 'if (!isOfStore(error)) throw error left.push(user)', put: 'if (!isOfStore(error)) throw error' }
    ],
    store: 'redis',
    faults: ['storeKill'],
    intensity: 4,
    topics: 6,
    rules: ['stored', 'lost', 'progress', 'recall', 'cancelled']
  }
]
