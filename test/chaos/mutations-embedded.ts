import type { Mutation } from './mutations.ts'

const EMBEDDED = 'services/store/embedded/embedded-store.ts'

/** A sync that takes 80 ms longer, so that a kill finds operations that are not on disk. */
const slowSync = {
  file: 'services/store/embedded/journal.ts',
  find: 'await this.#database.write(group.operations)',
  put: 'await new Promise((resolve) => setTimeout(resolve, 80)); await this.#database.write(group.operations)'
}

/** Defects of the embedded store. */
export const embeddedMutations: Mutation[] = [
  {
    name: 'embedded: a publish is answered before the sync',
    edits: [slowSync, { file: EMBEDDED, find: 'if (entry.group?.settled === false) await entry.group.done', put: ';' }],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    rate: 200,
    rules: ['stored', 'lost', 'gap', 'phantom']
  },
  {
    name: 'embedded: devices are woken before the sync',
    edits: [slowSync, { file: EMBEDDED, find: 'group?.afterwards.push(() => {', put: 'setImmediate(() => {' }],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    rate: 200,
    rules: ['phantom', 'gap', 'lost', 'order']
  },
  {
    name: 'embedded: idempotency keys are not stored',
    edits: [
      {
        file: 'services/store/embedded/codec.ts',
        find: "put(textKey(prefix, 'k', effect.key), encodePlace(effect.place))",
        put: ';'
      }
    ],
    store: 'embedded',
    faults: ['nodeKill', 'answerDrop'],
    intensity: 6,
    rate: 250,
    seconds: 15,
    // Meta counts the keys: the log of a user without some of them starts afresh, and devices are told a gap.
    rules: ['idempotency', 'duplicate', 'gap']
  },
  {
    name: 'embedded: the list of users with parked notifications is not stored',
    edits: [{ file: 'services/store/embedded/due-users.ts', find: 'if (parked !== this.#releaseAtByUser.has(user))', put: 'if (false)' }],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    rate: 100,
    // On a loaded machine a node takes 5 s to start again, so that a shorter run has one kill, and bursts only after it.
    seconds: 20,
    rules: ['unhealed', 'stored', 'lost']
  }
]
