import type { Edit, Mutation } from './mutations.ts'

const STEP = 'services/store/outbox-step.ts'

const lua = (name: string): string => `services/store/redis/lua/${name}.lua`

/** A defect of the store, in the state machine and in the scripts. */
function onBothStores(
  name: string,
  machine: Edit[],
  redis: Edit[],
  run: Pick<Mutation, 'faults' | 'rules'> & Partial<Mutation>
): Mutation[] {
  return [
    { name, edits: redis, store: 'redis', ...run },
    { name: `embedded: ${name}`, edits: machine, store: 'embedded', ...run }
  ]
}

/** Defects of pushes and webhooks: when they are owed, and how they leave. */
export const reachMutations: Mutation[] = [
  ...onBothStores(
    'a check does not ask whether the notification was read',
    [{ file: STEP, find: "current === 'read' || current === 'archived'", put: 'false' }],
    [{ file: lua('prelude-outbox'), find: "state == 'read' or state == 'archived' or", put: '' }],
    { faults: [], seconds: 20, rules: ['unwanted'] }
  ),
  ...onBothStores(
    'an acknowledgement does not keep a push back',
    [
      {
        file: STEP,
        find: 'position.epoch === epoch && position.offset >= offset)',
        put: 'position.epoch === epoch && position.offset > 1e9)'
      }
    ],
    [{ file: lua('prelude-outbox'), find: 'if of == epoch and tonumber(received) >= offset then return true end', put: '' }],
    { faults: [], seconds: 15, rules: ['unwanted'] }
  ),
  ...onBothStores(
    'a fallback is made twice',
    [
      {
        file: STEP,
        find: "if (kind === 'fallback') this.#call(",
        put: "if (kind === 'fallback') for (let copy = 0; copy < 2; copy++) this.#call("
      }
    ],
    [
      {
        file: lua('advance'),
        find: "if kind == 'f' then return Outbox.call('webhook', 'notification.fallback', id, offset, unless, '') end",
        put: "if kind == 'f' then for _ = 1, 2 do Outbox.call('webhook', 'notification.fallback', id, offset, unless, '') end return end"
      }
    ],
    { faults: [], rules: ['callId'] }
  ),
  ...onBothStores(
    'a lease does not ask again whether somebody has looked',
    [
      {
        file: STEP,
        find: 'if (item === undefined || isLookedAt(state, id, offset, unless as Unless)) return undefined',
        put: 'if (item === undefined) return undefined'
      }
    ],
    [
      {
        file: lua('lease'),
        find: 'or Outbox.is_looked_at(call.id, call.offset, call.unless) then return nil end',
        put: 'then return nil end'
      }
    ],
    { faults: ['receiverFail'], intensity: 3, seconds: 20, rules: ['unwanted'] }
  )
]
