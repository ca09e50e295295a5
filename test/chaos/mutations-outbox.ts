import type { Edit } from './mutations.ts'

const STEP = 'services/store/outbox-step.ts'

function lua(name: string): string {
  return `services/store/redis/lua/${name}.lua`
}

/**
 * A defect of the outbox: in the state machine, and the same in the scripts if conformance can see it there. Conformance catches each. Those that a
 * run of chaos catches too have a name, by which `mutations-reach.ts` and `call-ledger.test.ts` use them.
 */
export interface OutboxMutation {
  name: string
  machine: Edit[]
  redis: Edit[]
}

export const checkIgnoresRead: OutboxMutation = {
  name: 'a check does not ask whether the notification was read',
  machine: [{ file: STEP, find: "current === 'read' || current === 'archived'", put: 'false' }],
  redis: [{ file: lua('prelude-outbox'), find: "state == 'read' or state == 'archived' or", put: '' }]
}

export const fallbackTwice: OutboxMutation = {
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
}

export const leaseNotWritten: OutboxMutation = {
  name: 'a lease is not written',
  machine: [
    {
      file: STEP,
      find: "this.#step.emit({ type: 'call', call: { ...call, attempts: call.attempts + 1, at: clockMs + LEASE_MS } })",
      put: ';'
    }
  ],
  redis: [{ file: lua('lease'), find: 'Outbox.write(no, call, wall + LEASE_MS)', put: '' }]
}

export const unsentCounts: OutboxMutation = {
  name: 'a call that was not sent counts as an attempt',
  machine: [{ file: STEP, find: 'attempts: attempt - 1, at: this.#step.clockMs', put: 'at: this.#step.clockMs' }],
  redis: [{ file: lua('settle'), find: 'call.attempts - 1, wall', put: 'call.attempts, wall' }]
}

export const unsentEnds: OutboxMutation = {
  name: 'a call that was not sent ends',
  machine: [
    {
      file: STEP,
      find: "this.#step.emit({ type: 'call', call: { ...call, attempts: attempt - 1, at: this.#step.clockMs } })",
      put: "this.#end(call, 'dropped')"
    }
  ],
  redis: [{ file: lua('settle'), find: "givenUp = 'f', gone = 'g' }", put: "givenUp = 'f', gone = 'g', unsent = 'd' }" }]
}

export const outboxMutations: OutboxMutation[] = [
  checkIgnoresRead,
  fallbackTwice,
  leaseNotWritten,
  {
    name: 'a settled call is kept',
    machine: [{ file: STEP, find: 'else this.#end(call, END_STATUS[outcome.status])', put: ';' }],
    redis: [{ file: lua('settle'), find: 'if status then Outbox.finish(no, call, status) else', put: 'if not status then' }]
  },
  unsentCounts,
  unsentEnds,
  {
    name: 'an erasure leaves the calls',
    machine: [
      {
        file: 'services/store/state.ts',
        find: 'Object.assign(state, emptyState(), { revokedBefore: effect.before, erasedAt: effect.at })',
        put: 'Object.assign(state, emptyState(), { revokedBefore: effect.before, erasedAt: effect.at, calls: state.calls })'
      }
    ],
    // `redis-outbox.test.ts` looks for the keys, which no method of the store shows.
    redis: []
  },
  {
    name: 'a replaced notification keeps its checks',
    machine: [{ file: 'services/store/step.ts', find: 'this.outbox.forget(offset)', put: ';' }],
    redis: [{ file: lua('prelude-moves'), find: 'Outbox.forget(tonumber(old_offset))', put: '' }]
  },
  {
    name: 'a receipt is not kept',
    machine: [{ file: STEP, find: 'receipts: [...(state.receipts.get(offset) ?? []), receipt]', put: 'receipts: []' }],
    redis: [{ file: lua('prelude-outbox'), find: "redis.call('ZADD', receipts, int(call.offset), receipt)", put: '' }]
  },
  {
    name: 'a call that nobody leases stays for ever',
    machine: [{ file: STEP, find: 'call.at <= clockMs - MAX_OVERDUE_MS', put: 'false' }],
    redis: [{ file: lua('prelude-outbox'), find: 'for _, member in ipairs(overdue) do', put: 'for _, member in ipairs({}) do' }]
  },
  {
    name: 'a subscription that was renewed is removed with the endpoint before it',
    machine: [{ file: STEP, find: "if (outcome.status === 'gone' && !isRenewed)", put: "if (outcome.status === 'gone')" }],
    redis: [{ file: lua('settle'), find: "if outcome == 'gone' and not is_renewed then", put: "if outcome == 'gone' then" }]
  },
  {
    name: 'a push ends with the endpoint before the one that the device has',
    machine: [
      { file: STEP, find: "else if (isRenewed) this.#step.emit({ type: 'call', call: { ...call, at: this.#step.clockMs } })", put: '' }
    ],
    redis: [{ file: lua('settle'), find: 'local status = not is_renewed and', put: 'local status =' }]
  },
  {
    name: 'an endpoint that is gone makes a push to the newer one due that is under way',
    machine: [{ file: STEP, find: '(isOfLeaseOnly(outcome) || isRenewed) &&', put: 'isOfLeaseOnly(outcome) &&' }],
    redis: [{ file: lua('settle'), find: "outcome == 'givenUp' or is_renewed", put: "outcome == 'givenUp'" }]
  }
]
