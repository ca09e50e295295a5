import type { Mutation } from './mutations.ts'
import { checkIgnoresRead, fallbackTwice, type OutboxMutation } from './mutations-outbox.ts'

const STEP = 'services/store/outbox-step.ts'
const COURIER = 'services/reach/courier.ts'

const lua = (name: string): string => `services/store/redis/lua/${name}.lua`

/** Returns the mutations of a defect: that of the scripts, and that of the state machine. */
function onBothStores({ name, machine, redis }: OutboxMutation, run: Pick<Mutation, 'faults' | 'rules'> & Partial<Mutation>): Mutation[] {
  return [
    { name, edits: redis, store: 'redis', ...run },
    { name: `embedded: ${name}`, edits: machine, store: 'embedded', ...run }
  ]
}

/** Defects of pushes and webhooks: when they are owed, and how they leave. */
export const reachMutations: Mutation[] = [
  ...onBothStores(checkIgnoresRead, { faults: [], seconds: 20, rules: ['unwanted'] }),
  ...onBothStores(
    {
      name: 'an acknowledgement does not keep a push back',
      machine: [
        {
          file: STEP,
          find: 'position.epoch === epoch && position.offset >= offset)',
          put: 'position.epoch === epoch && position.offset > 1e9)'
        }
      ],
      redis: [{ file: lua('prelude-outbox'), find: 'if of == epoch and tonumber(received) >= offset then return true end', put: '' }]
    },
    { faults: [], seconds: 15, rules: ['unwanted'] }
  ),
  ...onBothStores(fallbackTwice, { faults: [], rules: ['callId'] }),
  ...onBothStores(
    {
      name: 'a lease does not ask again whether somebody has looked',
      machine: [
        {
          file: STEP,
          find: 'if (item === undefined || isLookedAt(state, id, offset, unless as Unless)) return undefined',
          put: 'if (item === undefined) return undefined'
        }
      ],
      redis: [
        {
          file: lua('lease'),
          find: 'or Outbox.is_looked_at(call.id, call.offset, call.unless) then return nil end',
          put: 'then return nil end'
        }
      ]
    },
    { faults: ['receiverFail'], intensity: 3, seconds: 20, rules: ['unwanted'] }
  ),
  {
    name: 'a push is lost if a fallback is due with it',
    edits: [
      {
        file: lua('advance'),
        find: 'local devices, lanes = {}, {}\n',
        put: 'if Outbox.called > 0 then return end\n  local devices, lanes = {}, {}\n'
      }
    ],
    store: 'redis',
    faults: [],
    seconds: 15,
    rules: ['owed']
  },
  {
    name: '410 does not end a subscription',
    edits: [
      {
        file: COURIER,
        find: "return call.event === 'push' ? { status: 'gone', endpoint: call.subscription.endpoint } :",
        put: "return call.event === 'push' ? { status: 'givenUp' } :"
      }
    ],
    store: 'redis',
    faults: ['pushEnd'],
    intensity: 2,
    seconds: 20,
    rules: ['ended']
  },
  {
    name: 'an erasure keeps the data',
    edits: [
      {
        file: lua('erase'),
        find: `redis.call('DEL', META, LOG, STATES, KEYED, PARKED, CURSORS, REGISTRY, BODIES, OPTIONS, SCHEDULED, EXPIRIES, KICKS)
          Outbox.clear()
          redis.call('ZREM', DUE, user)
          redis.call('ZREM', TIMES, user)`,
        put: ''
      }
    ],
    store: 'redis',
    faults: [],
    rules: ['erased']
  }
]
