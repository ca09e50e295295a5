import type { Rule } from './checker.ts'
import { contractMutations } from './mutations-contract.ts'
import type { FaultKind, StoreKind } from './schedule.ts'

/** A defect: text replaced in files of a copy of the build, each exactly once, and the run that must find it. */
export interface Mutation {
  name: string
  edits: { file: string; find: string; put: string }[]
  store: StoreKind
  faults: FaultKind[]
  /** A breach of one of these is what the defect leads to; a breach of others alone does not count. */
  rules: Rule[]
  seconds?: number
  intensity?: number
  users?: number
  rate?: number
  entries?: number
  nodes?: number
}

const lua = (name: string): string => `services/store/redis/lua/${name}.lua`
const STORE = 'services/store/redis/redis-store.js'
const HOUSEKEEPING = 'services/store/redis/housekeeping.js'
const CONNECTION = 'services/connection/connection.js'
const EMBEDDED = 'services/store/embedded/embedded-store.js'

/** Group commit that takes its time, so that a kill finds something to lose. */
const lazySync = {
  file: 'services/store/embedded/journal.js',
  find: 'async #run() {\n        await turn();',
  put: 'async #run() {\n        await new Promise((resolve) => setTimeout(resolve, 80));'
}

const coreMutations: Mutation[] = [
  {
    name: 'a promotion is not followed',
    edits: [
      {
        file: 'services/store/redis/cluster-map.js',
        find: 'this.#owners = agree(views);',
        put: 'if (this.#owners.length === 0)\n                this.#owners = agree(views);'
      },
      { file: 'services/store/redis/cluster-map.js', find: 'owners[slot] = owner;', put: '' }
    ],
    store: 'cluster',
    faults: ['masterKill'],
    // Over before a second one could put the first master back in its place.
    intensity: 2,
    seconds: 10,
    rules: ['unhealed', 'lost', 'late']
  },
  {
    name: 'the counter check is off',
    edits: [{ file: HOUSEKEEPING, find: 'await this.wakeups.check(master, this.#registrations.buckets())', put: '[]' }],
    store: 'redis',
    faults: ['subscriberSwallow'],
    intensity: 2.5,
    seconds: 16,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'what is heard past the target makes up for what is missing before it',
    edits: [{ file: 'services/store/redis/wakeups.js', find: 'tally.past.push(counter);', put: ';' }],
    store: 'redis',
    faults: ['subscriberSwallow'],
    intensity: 4,
    seconds: 24,
    users: 40,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'after a new subscription nothing is compared',
    edits: [
      {
        file: 'services/store/redis/wakeups.js',
        find: 'if (!first)\n            for (const bucket of missed)\n                this.#suspects.add(bucket);',
        put: ''
      }
    ],
    store: 'redis',
    faults: ['subscriberKill', 'subscriberHole'],
    intensity: 5,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'a wake-up is sent twice, the second with the next offset',
    edits: [
      {
        file: lua('prelude'),
        find: '  local woken = wake(row)\n',
        put: '  local woken = wake(row)\n  top = top + 1\n  wake(row)\n  top = top - 1\n'
      }
    ],
    store: 'redis',
    faults: [],
    seconds: 6,
    rules: ['lost', 'phantom', 'duplicate', 'identical']
  },
  {
    name: 'a release takes off the queue in one step and appends in another',
    edits: [
      {
        file: lua('release'),
        find: "append('n', id_of(entry.row), string.sub(entry.row, 43))",
        put: 'popped[#popped + 1] = entry.row\n    count_notification()'
      },
      { file: lua('release'), find: 'local released, folded = 0, 0', put: 'local released, folded, popped = 0, 0, {}' },
      {
        file: lua('release'),
        find: 'return { released, folded, parked, parked == 0 and 0 or release_at(0) }',
        put: 'return { released, folded, parked, parked == 0 and 0 or release_at(0), popped }'
      },
      {
        file: lua('publish'),
        find: 'if parked > 0 or free_slots() == 0 then',
        put: "if half_life ~= '-1' and (parked > 0 or free_slots() == 0) then"
      },
      {
        file: STORE,
        find: 'const [released, folded, left, nextAt] = list(await this.#guard(() => this.#availability.call(slotOfUser(user), step)));',
        put: "const [released, folded, left, nextAt, popped] = list(await this.#guard(() => this.#availability.call(slotOfUser(user), step)));\n        for (const row of list(popped)) await this.publish({ user, id: row.toString('latin1', 14, 34), keyed: false, tail: row.toString('utf8', 42), halfLife: -1 });"
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
    name: 'a release leaves the parked one where it was',
    edits: [{ file: lua('release'), find: "if taken > 0 then redis.call('ZREMRANGEBYRANK', PARKED, 0, taken - 1) end", put: '' }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['idempotency', 'duplicate', 'stored', 'lost']
  },
  {
    name: 'parked ones go to the front',
    edits: [{ file: lua('publish'), find: "redis.call('ZADD', PARKED, park_no,", put: "redis.call('ZADD', PARKED, -park_no," }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['parked']
  },
  {
    name: 'the limit is eleven',
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
    name: 'the window is fixed, not rolling',
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
      { file: lua('publish'), find: "local place = keyed and epoch ~= '' and redis.call('ZSCORE', KEYED, key)", put: 'local place = nil' }
    ],
    store: 'redis',
    faults: ['answerDrop'],
    intensity: 6,
    rules: ['idempotency', 'duplicate']
  },
  {
    name: 'a released notification’s key stays where it was parked',
    edits: [
      {
        file: lua('release'),
        find: 'if place and tonumber(place) == -entry.no then remember(key, top + 1) end',
        put: "if place then redis.call('ZREM', KEYED, key) end"
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
    name: 'a publish is answered 202 though the store did not answer',
    edits: [
      {
        file: STORE,
        find: "const line = await this.#grouped(this.#publishes, user, keyed ? '1' : '0', String(halfLife), id, tail);",
        put: "const line = await this.#grouped(this.#publishes, user, keyed ? '1' : '0', String(halfLife), id, tail).catch(() => 'accepted x 1 0 0');"
      }
    ],
    store: 'redis',
    faults: ['storeKill', 'storePause'],
    intensity: 3,
    rules: ['away', 'stored', 'lost']
  },
  {
    name: 'a recall does not count down',
    edits: [{ file: lua('retract'), find: 'if counts_as_unread(states_of({ id })[id]) then unread = unread - 1 end', put: '' }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['unread']
  },
  {
    name: 'a recall tells nobody',
    edits: [{ file: lua('retract'), find: "append('r', ARGV[4], int(place)", put: "local _ = ('' .. int(place)" }],
    store: 'redis',
    faults: [],
    rate: 200,
    rules: ['recall', 'unread', 'unhealed']
  },
  {
    name: 'offsets are handed out again after the store lost its tail, and ids are not compared',
    edits: [
      { file: lua('attach'), find: 'if ARGV[13] == epoch and seen > top then', put: 'if false then' },
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
    name: 'a trimmed range is not told',
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
    name: 'attaching stores no first cursor',
    edits: [
      {
        file: lua('attach'),
        find: "if node ~= '' and not gap and redis.call('HEXISTS', CURSORS, device) == 0 then",
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
    name: 'a new epoch is not told',
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
    name: 'who is suspect reads on without registering again',
    edits: [{ file: 'services/delivery/fanout.js', find: 'connection.reattach();', put: 'connection.doubt();' }],
    store: 'redis',
    faults: ['storeWipe'],
    intensity: 2,
    rules: ['late', 'unhealed', 'lost']
  },
  {
    name: 'a detach that failed is not tried again',
    edits: [{ file: HOUSEKEEPING, find: 'await this.#registrations.retry(this.#node, master.buckets);', put: '' }],
    store: 'redis',
    faults: ['storeKill', 'storePause', 'clientCut'],
    intensity: 4,
    users: 40,
    rules: ['ghost']
  },
  {
    name: 'a connection that ends is not detached',
    edits: [
      { file: 'services/connection/registry.js', find: 'this.#store.detach(local.user, local.listed()).catch(() => undefined);', put: '' }
    ],
    store: 'redis',
    faults: ['clientCut'],
    seconds: 6,
    rules: ['ghost']
  },
  {
    name: 'dead nodes stay in the registry',
    edits: [{ file: 'services/store/redis/nodes.js', find: 'await this.#bury(silent);', put: 'silent.length;' }],
    store: 'redis',
    faults: ['nodeKill'],
    // Over before a node counts as dead: the checker's own store, which is as it should be, would take it out.
    intensity: 4,
    seconds: 5,
    rules: ['ghost']
  },
  {
    name: 'a client that fell silent is kept',
    edits: [
      { file: 'services/connection/heartbeat.js', find: "return 'slowConsumer';", put: ';' },
      {
        file: 'services/connection/heartbeat.js',
        find: "if (this.#unansweredSince > 0 && now - this.#unansweredSince >= timeouts.pongMs)\n            return 'noPong';",
        put: ''
      }
    ],
    store: 'redis',
    faults: ['clientHole'],
    intensity: 5,
    rules: ['ghost']
  },
  {
    name: 'nobody sweeps for a node that died',
    edits: [{ file: 'services/delivery/releaser.js', find: 'this.#sweeping ??= this.#sweep();', put: '' }],
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
    name: 'a replay goes from the newest to the oldest',
    edits: [{ file: CONNECTION, find: 'const replay = new Replay(backlog)', put: 'const replay = new Replay(backlog); rows.reverse()' }],
    store: 'redis',
    faults: ['clientRestart', 'frozenReader'],
    intensity: 4,
    rules: ['phantom', 'order']
  },
  {
    name: 'a row is sent though those before it are missing, and the SDK takes it',
    edits: [
      { file: CONNECTION, find: ' || offset !== this.#sent.offset + 1', put: '' },
      { file: 'packages/client/src/dedupe.js', find: 'if (this.last && gapless && steps !== 1)', put: 'if (false)' }
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
        find: 'this.#context.counters.deliveredLive += 1;',
        put: 'this.#transport.send(frame);'
      },
      { file: 'packages/client/src/dedupe.js', find: 'if (steps <= 0)', put: 'if (false)' },
      { file: 'packages/client/src/dedupe.js', find: 'if (this.last && gapless && steps !== 1)', put: 'if (false)' },
      { file: 'packages/client/src/dedupe.js', find: "return id && this.#ids.has(id) ? 'shown' : 'new';", put: "return 'new';" }
    ],
    store: 'redis',
    faults: [],
    seconds: 6,
    rules: ['duplicate']
  },
  {
    name: 'a wake-up while the connection reads is forgotten',
    edits: [{ file: 'services/connection/registry.js', find: 'this.observe(epoch, offset);', put: '' }],
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
        find: 'return this.#transport.oneWay || this.deviceId === DEFAULT_DEVICE;',
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
    name: 'the SDK acknowledges what it has not handed over',
    edits: [
      {
        file: 'packages/client/src/delivery.js',
        find: 'this.#queue.push(item);',
        put: "this.#queue.push(item);\n        this.acks.moved(item.frame.eventId ?? '');"
      }
    ],
    store: 'redis',
    faults: ['slowReader', 'clientForget'],
    intensity: 12,
    users: 6,
    rate: 60,
    rules: ['lost', 'identical']
  },
  {
    name: 'embedded: answered before the sync',
    edits: [lazySync, { file: EMBEDDED, find: 'if (entry.group?.settled === false)\n            await entry.group.done;', put: '' }],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    rate: 200,
    rules: ['stored', 'lost', 'gap', 'phantom']
  },
  {
    name: 'embedded: devices are woken before the sync',
    edits: [lazySync, { file: EMBEDDED, find: 'group?.afterwards.push(() => {', put: 'setImmediate(() => {' }],
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
        file: 'services/store/embedded/codec.js',
        find: "put(textKey(prefix, 'k', effect.key), encodePlace(effect.place));",
        put: ''
      }
    ],
    store: 'embedded',
    faults: ['nodeKill', 'answerDrop'],
    intensity: 6,
    rate: 250,
    seconds: 15,
    rules: ['idempotency', 'duplicate']
  },
  {
    name: 'embedded: who has parked ones is not stored',
    edits: [{ file: EMBEDDED, find: 'if (parked !== session.due.has(user))', put: 'if (false)' }],
    store: 'embedded',
    faults: ['nodeKill'],
    intensity: 2,
    rate: 250,
    rules: ['unhealed', 'stored', 'lost']
  }
]

export const mutations: Mutation[] = [...coreMutations, ...contractMutations]
