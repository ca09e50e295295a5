import type { Edit } from './mutations.ts'

const STEP = 'services/store/outbox-step.ts'

function lua(name: string): string {
  return `services/store/redis/lua/${name}.lua`
}

/** A defect of the outbox: in the state machine, and the same in the scripts if conformance can see it there. Conformance catches each. */
export interface OutboxMutation {
  name: string
  machine: Edit[]
  redis: Edit[]
}

export const outboxMutations: OutboxMutation[] = [
  {
    name: 'a check does not ask whether the notification was read',
    machine: [{ file: STEP, find: "current === 'read' || current === 'archived'", put: 'false' }],
    redis: [{ file: lua('prelude-outbox'), find: "state == 'read' or state == 'archived' or", put: '' }]
  },
  {
    name: 'a lease is not written',
    machine: [
      {
        file: STEP,
        find: "this.#step.emit({ type: 'call', call: { ...call, attempts: call.attempts + 1, at: clockMs + LEASE_MS } })",
        put: ';'
      }
    ],
    redis: [{ file: lua('lease'), find: 'Outbox.write(no, call, wall + LEASE_MS)', put: '' }]
  },
  {
    name: 'a settled call is kept',
    machine: [{ file: STEP, find: "else this.#step.emit({ type: 'endCall', no })", put: ';' }],
    redis: [{ file: lua('settle'), find: 'else Outbox.end_call(no, call.lane) end', put: 'end' }]
  },
  {
    name: 'a fallback is made twice',
    machine: [
      {
        file: STEP,
        find: "if (kind === 'fallback') this.#call(",
        put: "if (kind === 'fallback') for (let copy = 0; copy < 2; copy++) this.#call("
      }
    ],
    redis: [
      {
        file: lua('advance'),
        find: "if kind == 'f' then return Outbox.call('webhook', 'notification.fallback', id, offset, unless, '') end",
        put: "if kind == 'f' then for _ = 1, 2 do Outbox.call('webhook', 'notification.fallback', id, offset, unless, '') end return end"
      }
    ]
  },
  {
    name: 'an erasure leaves the calls',
    machine: [
      {
        file: 'services/store/state.ts',
        find: 'Object.assign(state, emptyState(), { revokedBefore: effect.before })',
        put: 'Object.assign(state, emptyState(), { revokedBefore: effect.before, calls: state.calls })'
      }
    ],
    // `redis-outbox.test.ts` looks for the keys, which no method of the store shows.
    redis: []
  },
  {
    name: 'a replaced notification keeps its checks',
    machine: [{ file: 'services/store/step.ts', find: 'this.outbox.cancelChecks(offset)', put: ';' }],
    redis: [{ file: lua('prelude-moves'), find: "Outbox.cancel_checks(tonumber(string.match(old, '^%d+', 42)))", put: '' }]
  },
  {
    name: 'a subscription that was renewed is removed with the endpoint before it',
    machine: [{ file: STEP, find: '?.endpoint === outcome.endpoint', put: '!== undefined' }],
    redis: [
      {
        file: lua('settle'),
        find: "if subscription and string.match(subscription, '^[^ ]+ %d+ ([^ ]+)') == endpoint then",
        put: 'if subscription then'
      }
    ]
  }
]
