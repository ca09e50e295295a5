import type { Edit } from './mutations.ts'

const STEP = 'services/store/broadcast-step.ts'
const EMBEDDED = 'services/store/embedded/embedded-audiences.ts'
const ERASE_NAME = 'services/store/embedded/erase-name.ts'
const MEMBERS = 'services/store/redis/redis-members.ts'

function lua(name: string): string {
  return `services/store/redis/lua/${name}.lua`
}

/** A defect of broadcasts: in the embedded store, and in the scripts. An empty list: the store has no such place. Conformance catches each. */
export interface AudienceMutation {
  name: string
  embedded: Edit[]
  redis: Edit[]
}

export const audienceMutations: AudienceMutation[] = [
  {
    name: 'a batch is settled whatever was settled before it',
    embedded: [{ file: STEP, find: '!isNextBatch(state, command) || size === 0 || from + size !== leasedEnd', put: 'size === 0' }],
    redis: [
      { file: lua('broadcast-settle'), find: 'and state.next == from', put: '' },
      {
        file: lua('broadcast-settle'),
        find: 'local next = tonumber(from) + tonumber(size) if next == math.min(tonumber(from) + BATCH_MAX, sent) then',
        put: 'local next = tonumber(state.next) + tonumber(size) if true then'
      }
    ]
  },
  {
    name: 'a lease does not end',
    embedded: [{ file: EMBEDDED, find: 'return (this.#leases.get(id) ?? 0) > this.#steps.now()', put: 'return this.#leases.has(id)' }],
    redis: [{ file: lua('prelude-broadcast'), find: 'tonumber(state.leasedUntil) > now', put: 'tonumber(state.leasedUntil) > 0' }]
  },
  {
    name: 'a batch that is released stays leased',
    embedded: [{ file: EMBEDDED, find: 'if (isNextBatch(state, batch)) this.#leases.delete(state.id)', put: ';' }],
    redis: [
      {
        file: lua('broadcast-release'),
        find: "if state and state.collector == collector and (collector ~= '' or is_batch) then",
        put: "if state and state.collector == collector and collector ~= '' then"
      }
    ]
  },
  {
    name: 'a batch that is leased again has other members',
    embedded: [],
    redis: [
      {
        file: lua('prelude-broadcast'),
        find: "if #users == 0 and state.isRecalling == '0' then",
        put: "if state.isRecalling == '0' then"
      }
    ]
  },
  {
    name: 'who joins after the start is in the audience',
    embedded: [],
    redis: [
      {
        file: lua('members-change'),
        find: "call('HDEL', joining, unpack(joined))",
        put: "call('HDEL', joining, unpack(joined)) local head = call('LINDEX', stem .. 'bq:' .. topic, 0) if head then call('SADD', stem .. 'bp:' .. head, unpack(joined)) end"
      }
    ]
  },
  {
    name: 'except is ignored',
    embedded: [{ file: EMBEDDED, find: 'if (value !== undefined && !except.has(lastNameOf(key)))', put: 'if (value !== undefined)' }],
    redis: [{ file: lua('broadcast-start'), find: "each_slice(except, function(names) call('SREM', pending, unpack(names)) end)", put: '' }]
  },
  {
    name: 'the latest broadcast of a topic runs first',
    embedded: [
      {
        file: EMBEDDED,
        find: 'last === undefined ? FIRST_NUMBER : numberIn(last[0]) + 1',
        put: 'last === undefined ? FIRST_NUMBER : numberIn((entries[0] ?? last)[0]) - 1'
      }
    ],
    redis: [{ file: lua('broadcast-start'), find: "call('RPUSH', queue, broadcast) == 1", put: "call('LPUSH', queue, broadcast) == 1" }]
  },
  {
    name: 'a recall forgets the batches that were settled',
    embedded: [{ file: STEP, find: 'state.isRecalling = true state.next = 0', put: 'state.isRecalling = true' }],
    redis: [{ file: lua('broadcast-cancel'), find: "'isRecalling', '1', 'next', '0',", put: "'isRecalling', '1'," }]
  },
  {
    name: 'a barred id is published',
    embedded: [
      { file: 'services/store/machine.ts', find: "broadcastAt !== undefined && result === 'unknown' &&", put: 'broadcastAt === -1 &&' }
    ],
    redis: [{ file: lua('retract'), find: "broadcast_at ~= '0' and", put: "broadcast_at == '' and" }]
  },
  {
    name: 'an erased user stays in the audience',
    embedded: [{ file: ERASE_NAME, find: '(other === name ? ERASED : other)', put: '(other === name ? name : other)' }],
    redis: [{ file: lua('broadcast-erase'), find: "call('LSET', sent, place, ERASED)", put: "call('LSET', sent, place, user)" }]
  },
  {
    name: 'an erased user stays in except',
    embedded: [{ file: STEP, find: 'to.except.filter((other) => other !== name)', put: 'to.except' }],
    redis: [{ file: lua('broadcast-erase'), find: 'if name ~= user then', put: 'if name then' }]
  },
  {
    name: 'a batch that was leased before an erasure reaches the user',
    embedded: [{ file: 'services/store/machine.ts', find: 'erasedAt >= broadcastAt', put: 'erasedAt < 0' }],
    redis: [{ file: lua('publish-usual'), find: 'if meta[15] and #keyed > 1 then return nil end', put: '' }]
  },
  {
    name: 'a removal does not remove the membership of the user',
    embedded: [
      {
        file: 'services/store/embedded/embedded-members.ts',
        find: '...leavers.flatMap((name) => encode.leave(topic, name))',
        put: '...leavers.flatMap((name) => encode.leave(topic, name).slice(0, 1))'
      }
    ],
    redis: [
      {
        file: MEMBERS,
        find: "this.#run(home, 'members-check', '', { user, topics })",
        put: 'Promise.resolve(topics.map((topic) => Buffer.from(topic)) as Reply)'
      },
      {
        file: MEMBERS,
        find: "if (removing.length > 0) await this.#inBuckets('memberships-remove', topic, removing, partAndUser, { version })",
        put: ';'
      }
    ]
  }
]
