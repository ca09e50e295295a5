import type { Mutation } from './mutations.ts'

const lua = (name: string): string => `services/store/redis/lua/${name}.lua`
const MACHINE = 'services/store/machine.ts'
const DUE_USERS = 'services/store/embedded/due-users.ts'

/** Defects of what notifications carry, in the scripts of the Redis store. */
const redisOptions: Mutation[] = [
  {
    name: 'the sweep does not find expiries and deliveries',
    edits: [
      {
        file: 'services/store/redis/sweep.ts',
        find: "for (const index of ['due', 'times'] as const)",
        put: "for (const index of ['due'] as const)"
      }
    ],
    store: 'redis',
    // A node that lives has a timer. Any step of a user expires theirs, so that only the users who get something seldom show that no sweep does.
    faults: ['nodeKill'],
    intensity: 3,
    users: 40,
    seconds: 25,
    rules: ['expired', 'scheduled']
  },
  {
    name: 'an expired notification leaves without a row that tells the devices',
    edits: [
      {
        file: lua('prelude-moves'),
        find: `append('r', row_id, retraction_tail(offset, id, reason, Unread.counts(), key))`,
        put: `if reason ~= '"expired"' then append('r', row_id, retraction_tail(offset, id, reason, Unread.counts(), key)) end`
      }
    ],
    store: 'redis',
    faults: [],
    rules: ['expired', 'unread']
  },
  {
    name: 'a replacement leaves the old notification in the log',
    edits: [{ file: lua('prelude-shared'), find: "call('LSET', log, format('%d', offset - floor - 1), format('x%.41s', text))", put: '' }],
    store: 'redis',
    faults: [],
    rules: ['collapsed']
  },
  {
    name: 'a replacement does not lower the unread count',
    edits: [
      {
        file: lua('prelude-moves'),
        find: 'remove_state(collapsed_id(old))',
        put: 'local before = unread remove_state(collapsed_id(old)) unread = before'
      }
    ],
    store: 'redis',
    faults: [],
    rules: ['unread']
  },
  {
    name: 'the usual path: the rate limit is 11 instead of 10',
    edits: [
      { file: lua('publish-usual'), find: 'if count >= RATE_LIMIT then return nil end', put: 'if count > RATE_LIMIT then return nil end' }
    ],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['rate']
  },
  {
    name: 'the usual path: a notification with the offset of a multiple of three wakes nobody',
    edits: [
      { file: lua('publish-usual'), find: 'local woken = #nodes == 0 and 0', put: 'local woken = (#nodes == 0 or offset % 3 == 0) and 0' }
    ],
    store: 'redis',
    faults: [],
    // The next notification of the user makes up for a lost wake-up, so a user must get one every few seconds only.
    rate: 8,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'the usual path: an expiry is not in the index of its bucket',
    edits: [
      {
        file: lua('publish-usual'),
        find: "call('HSET', meta_key, 'd', note_nearest(expiries, stem .. SCHEDULED_KIND .. user, stem .. TIMES_KIND, user))",
        put: ''
      }
    ],
    store: 'redis',
    // Parked notifications are released by the full path, which writes the time.
    faults: [],
    users: 80,
    seconds: 20,
    rules: ['expired']
  },
  {
    name: 'a later answer overwrites the first',
    edits: [{ file: lua('answer'), find: 'if first then', put: "if first and action == '' then" }],
    store: 'redis',
    faults: [],
    rules: ['answer']
  },
  {
    name: 'an answered notification expires',
    edits: [
      { file: lua('answer'), find: 'cancel_expiry(expiry_member(options.offset, options.collapse_key), options.expires_at)', put: '' }
    ],
    store: 'redis',
    faults: [],
    rate: 150,
    seconds: 15,
    rules: ['answer']
  },
  {
    name: 'a scheduled notification is delivered 1.5 s early',
    edits: [
      { file: lua('advance'), find: 'if nearest_at ~= 0 and nearest_at <= wall then while', put: 'if nearest_at ~= 0 then while' },
      { file: lua('advance'), find: "SCHEDULED, '-inf', int(wall)", put: "SCHEDULED, '-inf', int(wall + 1500)" }
    ],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['scheduled']
  },
  {
    name: 'half of the scheduled notifications are delivered twice',
    edits: [
      {
        file: lua('advance'),
        find: 'unschedule(waiting, at) local id',
        put: "unschedule(waiting, at) if at % 2 == 0 then redis.call('ZADD', SCHEDULED, int(at + 1), waiting.member) end local id"
      }
    ],
    store: 'redis',
    faults: [],
    rules: ['idempotency', 'duplicate', 'scheduled']
  },
  {
    name: 'the urgency of parked notifications is ignored',
    edits: [{ file: lua('prelude-options'), find: 'return int(no - level * Waiting.LEVEL_WEIGHT)', put: 'return int(no)' }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['urgency']
  },
  {
    name: 'a retry of a scheduled notification schedules it again',
    edits: [
      {
        file: lua('publish-full'),
        find: "if keyed ~= '0' then remember(key, -no) redis.call",
        put: "if keyed == '' then remember(key, -no) redis.call"
      }
    ],
    store: 'redis',
    faults: ['answerDrop', 'storeReplyDrop'],
    intensity: 12,
    rate: 200,
    seconds: 15,
    rules: ['idempotency', 'duplicate']
  }
]

/** Defects of what notifications carry, in the state machine and in the data folder. */
const embeddedOptions: Mutation[] = [
  {
    name: 'embedded: the sweep does not find expiries and deliveries',
    edits: [
      {
        file: DUE_USERS,
        find: 'for (const [user, at] of this.#nearestAtByUser) if (at <= now) users.add(user)',
        put: ';'
      }
    ],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 3,
    users: 40,
    seconds: 25,
    rules: ['expired', 'scheduled']
  },
  {
    name: 'embedded: the index of expiries and deliveries is not stored',
    edits: [{ file: DUE_USERS, find: 'if (nearest !== (this.#nearestAtByUser.get(user) ?? 0))', put: 'if (false)' }],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    seconds: 20,
    rules: ['expired', 'scheduled', 'stored', 'lost', 'unhealed']
  },
  {
    name: 'embedded: the options of notifications in the log are not loaded after a restart',
    edits: [
      {
        file: 'services/store/embedded/codec.ts',
        find: "evolve(state, { type: 'options', id: rowId(row), options: logOptionsOf(options, offset) })",
        put: ';'
      }
    ],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    seconds: 15,
    rules: ['expired', 'collapsed']
  },
  {
    name: 'embedded: an answer of another device overwrites the first',
    edits: [{ file: MACHINE, find: 'if (first !== undefined) {', put: 'if (first !== undefined && first.deviceId === deviceId) {' }],
    store: 'embedded',
    faults: [],
    rules: ['answer']
  },
  {
    name: 'embedded: every scheduled notification is delivered when one is due',
    edits: [{ file: MACHINE, find: 'if (next === undefined || next.at > this.#step.clockMs) break', put: 'if (next === undefined) break' }],
    store: 'embedded',
    faults: [],
    rate: 200,
    rules: ['scheduled']
  },
  {
    name: 'embedded: a replacement leaves the old notification in the log',
    edits: [{ file: MACHINE, find: 'this.#step.remove(replaced, offsetOf(state, replaced) as number)', put: ';' }],
    store: 'embedded',
    faults: [],
    rules: ['collapsed']
  },
  {
    name: 'embedded: the urgency of parked notifications is ignored',
    edits: [
      {
        file: 'services/store/due.ts',
        find: 'return one.level === other.level ? one.no < other.no : one.level > other.level',
        put: 'return one.no < other.no'
      }
    ],
    store: 'embedded',
    faults: [],
    rate: 200,
    rules: ['urgency']
  },
  {
    name: 'embedded: a notification that leaves the log stays in the unread count',
    edits: [
      {
        file: 'services/store/step.ts',
        find: 'const unread = this.state.unread - (countsAsUnread(states.get(id)) ? 1 : 0)',
        put: 'const unread = this.state.unread - (countsAsUnread(states.get(id)) ? 0 : 0)'
      }
    ],
    store: 'embedded',
    faults: [],
    rules: ['unread']
  }
]

export const optionMutations: Mutation[] = [...redisOptions, ...embeddedOptions]
