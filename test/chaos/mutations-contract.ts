import type { Mutation } from './mutations.ts'

const lua = (name: string): string => `services/store/redis/lua/${name}.lua`
const CONNECTION = 'services/connection/connection.ts'
const WINDOW = 'services/connection/send-window.ts'

/** Defects of what is promised to clients without the SDK, to publishers that repeat, and of logs near their bounds. */
export const contractMutations: Mutation[] = [
  {
    name: 'closing a connection moves the cursor to the newest row sent',
    edits: [
      {
        file: CONNECTION,
        find: "this.#stage = 'closed' this.#context.cursors.settle",
        put: "if (this.#isSelfMoving && this.#greeted) this.#moveCursor(this.#sent); this.#stage = 'closed'; this.#context.cursors.settle"
      }
    ],
    store: 'redis',
    faults: [],
    rate: 150,
    seconds: 15,
    rules: ['cursor']
  },
  {
    name: 'rows without a frame count in the window',
    edits: [
      {
        file: CONNECTION,
        find: 'if (frame === undefined) continue this.#window.push(offset)',
        put: 'this.#window.push(offset); if (frame === undefined) continue'
      }
    ],
    store: 'redis',
    faults: [],
    rate: 150,
    seconds: 15,
    rules: ['stalled', 'unhealed']
  },
  {
    name: 'an acknowledgement at the resume position is dropped',
    edits: [
      {
        file: WINDOW,
        find: 'if (current && offset >= this.#start && offset > this.#acked) {',
        put: 'if (current && offset > this.#start && offset > this.#acked) {'
      },
      {
        file: WINDOW,
        find: 'if (current && offset > this.#acked) {',
        put: 'if (current && offset > this.#start && offset > this.#acked) {'
      }
    ],
    store: 'redis',
    faults: [],
    // A client must not get so many rows in a connection that a later acknowledgement hides the dropped one.
    rate: 30,
    users: 12,
    seconds: 40,
    rules: ['again']
  },
  {
    name: 'embedded: an attach registers after the detach of its own connection',
    edits: [
      {
        file: 'services/store/embedded/registry.ts',
        find: 'if (pending !== undefined && pending.writtenBy > number) return false',
        put: ';'
      }
    ],
    store: 'embedded',
    faults: ['clientFlash'],
    intensity: 12,
    seconds: 8,
    rules: ['ghost']
  },
  {
    name: 'trimming does not send the new unread count',
    edits: [{ file: lua('prelude'), find: "if #nodes > 0 then append('s', COUNT_ID,", put: "if #nodes < 0 then append('s', COUNT_ID," }],
    store: 'redis',
    faults: [],
    entries: 30,
    rules: ['unread']
  },
  {
    name: 'state changes push notifications out of the log',
    edits: [
      {
        file: lua('prelude'),
        find: 'excess(top - floor - changes + (entry and 1 or 0), MAX_ENTRIES)',
        put: 'excess(top - floor + (entry and 1 or 0), MAX_ENTRIES)'
      }
    ],
    store: 'redis',
    faults: [],
    entries: 30,
    rate: 150,
    rules: ['bounds']
  },
  {
    name: 'a repeat of a notification recalled while parked is answered parked',
    edits: [
      {
        file: lua('prelude-moves'),
        find: "unpark(waiting) move_keys(waiting, top, 'r') note_release() return",
        put: 'unpark(waiting) note_release() return'
      },
      {
        file: lua('publish-full'),
        find: "if not member then return { 'recalled' } end",
        put: "if not member then return { 'parked', wall, 1 } end"
      }
    ],
    store: 'redis',
    faults: [],
    rate: 250,
    seconds: 25,
    rules: ['answered']
  },
  {
    name: 'a used key with another body is not a conflict',
    edits: [{ file: lua('publish-full'), find: "if first_id(kept, place) ~= id then return { 'conflict' } end", put: '' }],
    store: 'redis',
    faults: [],
    rules: ['idempotency']
  },
  {
    name: 'a revocation refuses tokens of its whole second, and the SDK reconnects at once',
    edits: [
      {
        file: lua('attach'),
        find: 'if issued % 1000 == 0 then return issued < revoked - revoked % 1000 end',
        put: ''
      },
      {
        file: 'packages/client/src/connection.ts',
        find: "reason === 'token_revoked' ? Math.max(asked ?? 0, 1000) : asked",
        put: 'asked'
      }
    ],
    store: 'redis',
    faults: ['revoke'],
    intensity: 8,
    rules: ['terminal']
  },
  {
    name: 'the tag of a row depends on its id alone',
    edits: [
      {
        file: lua('prelude-shared'),
        find: 'return string.sub(redis.sha1hex(previous .. timed_id), 1, 8)',
        put: 'return string.sub(timed_id, 14, 21)'
      }
    ],
    store: 'redis',
    faults: ['keyedFork'],
    users: 8,
    rate: 40,
    seconds: 15,
    rules: ['lost', 'identical']
  }
]
