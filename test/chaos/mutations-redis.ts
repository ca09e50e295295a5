import type { Mutation } from './mutations.ts'

const lua = (name: string): string => `services/store/redis/lua/${name}.lua`
const STORE = 'services/store/redis/redis-store.ts'
const HOUSEKEEPING = 'services/store/redis/housekeeping.ts'

/** Defects of the scripts and of the Redis store. */
export const redisMutations: Mutation[] = [
  {
    name: 'a node does not follow the promotion of a replica',
    edits: [
      {
        file: 'services/store/redis/cluster-map.ts',
        find: 'this.#owners = agree(views)',
        put: 'if (this.#owners.length === 0) this.#owners = agree(views)'
      },
      { file: 'services/store/redis/cluster-map.ts', find: 'owners[slot] = owner', put: ';' }
    ],
    store: 'cluster',
    faults: ['masterKill'],
    // Short, so that no second promotion makes the first master the owner again.
    intensity: 2,
    seconds: 10,
    rules: ['unhealed', 'lost', 'late']
  },
  {
    name: 'wake-up counters are not compared',
    edits: [{ file: HOUSEKEEPING, find: 'await this.wakeups.check(master, this.#registrations.buckets())', put: '[]' }],
    store: 'redis',
    faults: ['subscriberSwallow'],
    intensity: 2.5,
    seconds: 16,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'counters above the target make up for missing ones below it',
    edits: [{ file: 'services/store/redis/wakeup-tally.ts', find: 'this.#aboveTarget.push(counter)', put: ';' }],
    store: 'redis',
    faults: ['subscriberSwallow'],
    intensity: 4,
    seconds: 24,
    users: 40,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'counters are not compared after a new subscription',
    edits: [
      {
        file: 'services/store/redis/wakeups.ts',
        find: 'for (const bucket of missed) this.#suspectBuckets.add(bucket)',
        put: ';'
      }
    ],
    store: 'redis',
    faults: ['subscriberKill', 'subscriberHole'],
    intensity: 5,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'the logs are not compared after Redis may have lost writes',
    edits: [{ file: 'services/store/redis/log-check.ts', find: 'await this.check(bucket, true)', put: ';' }],
    store: 'redis',
    faults: ['lostTail', 'storeKill'],
    intensity: 4,
    users: 30,
    rate: 250,
    seconds: 16,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'each wake-up is sent twice, the second with the next offset',
    edits: [
      {
        file: lua('prelude'),
        find: 'local woken = wake(row)',
        put: 'local woken = wake(row) top = top + 1 wake(row) top = top - 1'
      }
    ],
    store: 'redis',
    faults: [],
    seconds: 6,
    // A node that saw an offset that is not in the log fences it off, and tells a gap.
    rules: ['lost', 'phantom', 'duplicate', 'identical', 'gap']
  },
  {
    name: 'a release removes the parked notification and appends it to the log in two calls',
    edits: [
      {
        file: lua('advance'),
        find: 'append_notification(id_of(waiting.row), tail_of(waiting.row), waiting)',
        put: 'popped[#popped + 1] = waiting.row count_notification()'
      },
      { file: lua('advance'), find: 'local released, folded = 0, 0', put: 'local released, folded, popped = 0, 0, {}' },
      {
        file: lua('advance'),
        find: 'return { counts, Outbox.lane_names() }',
        put: 'return { counts, Outbox.lane_names(), popped }'
      },
      {
        file: lua('publish-full'),
        find: 'if must_park() then',
        put: "if half_life ~= '-1' and must_park() then"
      },
      {
        file: STORE,
        find: 'return advanceResult(await this.#mapErrors(() => this.#availability.route(slotOfUser(user), step)))',
        put: "const reply = (await this.#mapErrors(() => this.#availability.route(slotOfUser(user), step))) as Buffer[][]; for (const row of reply[2] as unknown as Buffer[]) await this.publish({ user, id: row.toString('latin1', 14, 34), keyed: false, tail: row.toString('utf8', 42), halfLife: -1 }); return advanceResult(reply as unknown as Reply)"
      }
    ],
    store: 'redis',
    faults: ['nodeKill', 'linkCut', 'storeReplyDrop'],
    intensity: 4,
    rate: 200,
    seconds: 15,
    rules: ['stored', 'lost', 'parked']
  },
  {
    name: 'a release leaves the notification parked',
    edits: [{ file: lua('advance'), find: "if taken > 0 then redis.call('ZREMRANGEBYRANK', PARKED, 0, taken - 1) end", put: '' }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['idempotency', 'duplicate', 'stored', 'lost']
  },
  {
    name: 'a new parked notification is released before the older ones',
    edits: [{ file: lua('prelude-moves'), find: "redis.call('ZADD', PARKED, score,", put: "redis.call('ZADD', PARKED, -score," }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['parked']
  },
  {
    name: 'the rate limit is 11 instead of 10',
    edits: [
      {
        file: lua('prelude'),
        find: 'return math.max(0, RATE_LIMIT - (#limiter - fresh + 1))',
        put: 'return math.max(0, RATE_LIMIT + 1 - (#limiter - fresh + 1))'
      }
    ],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['rate']
  },
  {
    name: 'the rate window is fixed, not rolling',
    edits: [
      {
        file: lua('prelude'),
        find: 'if time <= wall - RATE_WINDOW_MS then fresh = #limiter + 1 end',
        put: 'if math.floor(time / RATE_WINDOW_MS) ~= math.floor(wall / RATE_WINDOW_MS) then fresh = #limiter + 1 end'
      }
    ],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['rate']
  },
  {
    name: 'idempotency keys are not looked up',
    edits: [
      {
        file: lua('publish-full'),
        find: "local place = keyed ~= '0' and epoch ~= '' and redis.call('ZSCORE', KEYED, key)",
        put: 'local place = nil'
      }
    ],
    store: 'redis',
    faults: ['answerDrop'],
    intensity: 6,
    rules: ['idempotency', 'duplicate']
  },
  {
    name: 'a usual publish takes a known idempotency key for a new one',
    edits: [
      {
        file: lua('publish-usual'),
        find: "if keyed ~= '0' and call('ZADD', keys, 'NX', place, id_key) == 0 then return nil end",
        put: "if keyed ~= '0' then call('ZADD', keys, offset, id_key) end"
      }
    ],
    store: 'redis',
    faults: ['answerDrop'],
    intensity: 6,
    rules: ['idempotency', 'duplicate']
  },
  {
    name: 'the idempotency key of a released notification is forgotten',
    edits: [
      {
        file: lua('advance'),
        find: "forget_parked(waiting) move_keys(waiting, top + 1, 'l')",
        put: "forget_parked(waiting) redis.call('ZREM', KEYED, key_of(id_of(waiting.row)))"
      }
    ],
    store: 'redis',
    faults: ['answerDrop', 'storeReplyDrop', 'linkHold'],
    intensity: 12,
    rate: 300,
    seconds: 20,
    rules: ['idempotency', 'duplicate']
  },
  {
    name: 'a publish is answered 202 when the store has not answered',
    edits: [
      {
        file: STORE,
        find: 'return line.then(publishResult)',
        put: "return line.catch(() => 'accepted x 1 0 0').then(publishResult)"
      }
    ],
    store: 'redis',
    faults: ['storeKill', 'storePause'],
    intensity: 3,
    rules: ['away', 'stored', 'lost']
  },
  {
    name: 'a recall does not lower the unread count',
    edits: [{ file: lua('prelude-moves'), find: "Unread.change(states_of({ id })[id], 'removed')", put: '' }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['unread']
  },
  {
    name: 'a recall of a seen notification keeps the number of the seen ones',
    edits: [
      {
        file: lua('prelude-moves'),
        find: "Unread.change(states_of({ id })[id], 'removed')",
        put: 'if counts_as_unread(states_of({ id })[id]) then unread = unread - 1 end'
      }
    ],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['unseen']
  },
  {
    name: 'a recall is not sent to devices',
    edits: [
      {
        file: lua('prelude-moves'),
        find: "append('r', row_id, retraction_tail(offset, id, reason, Unread.counts(), key))",
        put: ''
      }
    ],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['recall', 'unread', 'unhealed']
  },
  {
    name: 'after the store lost its tail, offsets are reused and row ids are not compared',
    edits: [
      { file: lua('attach'), find: 'if seen_epoch == epoch and seen > top then', put: 'if false then' },
      { file: lua('attach'), find: 'if not is_of_this_log(offset, id8) then', put: 'if false then' }
    ],
    store: 'redis',
    faults: ['lostTail'],
    intensity: 4,
    users: 30,
    rate: 250,
    seconds: 25,
    rules: ['lost', 'identical', 'phantom', 'order']
  },
  {
    name: 'a trimmed range is not reported as a gap',
    edits: [
      {
        file: lua('attach'),
        find: "if offset < floor then return floor, { 'trimmed', event_id(epoch, offset + 1, ''), event_id(epoch, floor, ''), floor - offset } end",
        put: 'if offset < floor then return floor, nil end'
      }
    ],
    store: 'redis',
    faults: ['clientRestart', 'frozenReader'],
    intensity: 5,
    users: 6,
    rate: 60,
    entries: 12,
    rules: ['lost', 'identical', 'phantom']
  },
  {
    name: 'an attach does not store the first cursor',
    edits: [
      {
        file: lua('attach'),
        find: "if node ~= '' and (received ~= '' or not gap) and redis.call('HEXISTS', CURSORS, device) == 0 then",
        put: 'if false then'
      }
    ],
    store: 'redis',
    faults: ['clientRestart', 'clientCut'],
    intensity: 8,
    users: 25,
    rate: 40,
    seconds: 12,
    rules: ['lost', 'identical']
  },
  {
    name: 'a new epoch is not reported as a gap',
    edits: [
      {
        file: lua('attach'),
        find: "if of ~= epoch then return floor, { 'epoch', event_id(of, offset, id8), event_id(epoch, floor, ''), 0 } end",
        put: 'if of ~= epoch then return floor, nil end'
      }
    ],
    store: 'redis',
    faults: ['storeWipe'],
    intensity: 2,
    rules: ['lost', 'identical', 'phantom', 'unhealed']
  },
  {
    name: 'a suspect connection reads on without registering again',
    edits: [{ file: 'services/delivery/fanout.ts', find: 'connection.reattach()', put: 'connection.doubt();' }],
    store: 'redis',
    faults: ['storeWipe'],
    intensity: 2,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'a failed detach is not retried',
    edits: [{ file: HOUSEKEEPING, find: 'await this.#registrations.retry(this.#node, master.buckets)', put: ';' }],
    store: 'redis',
    faults: ['storeKill', 'storePause', 'clientCut'],
    intensity: 4,
    users: 40,
    rules: ['ghost']
  },
  {
    name: 'a closed connection is not detached',
    edits: [
      { file: 'services/connection/registry.ts', find: 'this.#store.detach(local.user, local.listed()).catch(() => undefined)', put: ';' }
    ],
    store: 'redis',
    faults: ['clientCut'],
    seconds: 6,
    rules: ['ghost']
  },
  {
    name: 'dead nodes stay in the registry',
    edits: [{ file: 'services/store/redis/nodes.ts', find: 'await this.#markDead(silent)', put: 'silent.length;' }],
    store: 'redis',
    faults: ['nodeKill'],
    // Ends before a node counts as dead: the checker's own store, which has no defect, would remove the node.
    intensity: 4,
    seconds: 5,
    rules: ['ghost']
  }
]
