import { advanceUsers } from '../advance-users.ts'
import type { AdvanceResult, StoreSettings, SweepResult } from '../store.ts'
import { ALL_BUCKETS, type Keys } from './keys.ts'

/** Most users of one bucket that one sweep advances. */
const SWEEP_BATCH = 100

/** Most users of one bucket whose presence one command renews, so that a publish waits for a few milliseconds at most. */
const RENEWAL_BATCH = 8

/** Time budget of the renewals of one sweep, milliseconds. */
const RENEWAL_BUDGET_MS = 200

/**
 * Time since a step of a user was due after which every node advances the user, not only the node whose share they are in, milliseconds. That node
 * may have died, and finding it dead would take longer. Expiries and deliveries (`times`) are promised within 2 s, of which the interval of the
 * sweeps takes one.
 */
const OVERDUE_MS = { due: 2000, times: 500 } as const

/** A user whose check of connections was renewed, and when something else is due for them, Unix milliseconds; 0 if nothing is. */
export type Renewed = SweepResult['due'][number]

interface Steps {
  /** Users that are advanced at one time. */
  concurrency: number
  share(): Promise<number[]>
  dueUsers(keys: readonly string[], buckets: ReadonlySet<number>, overdueMs: number, max: number, horizonMs: number | ''): Promise<string[]>
  renewPresence(buckets: ReadonlySet<number>, args: { maxUsers: number; overdueMs: number; checkMs: number }): Promise<Renewed[]>
  advance(user: string): Promise<AdvanceResult>
}

/** Advances the users of this node's share for whom something is due, and those of other nodes' shares who are overdue. */
export async function sweep(keys: Keys, { rateWindowMs, presence }: StoreSettings, steps: Steps): Promise<SweepResult> {
  const mine = new Set(await steps.share())
  const others = new Set(ALL_BUCKETS.filter((bucket) => !mine.has(bucket)))
  const renewed = presence === undefined ? [] : await renewPresence(mine, others, presence.checkMs, steps)
  const users = new Set<string>()
  for (const index of ['due', 'times'] as const) {
    // The next release is at most one window from now.
    const horizonMs = index === 'due' ? rateWindowMs : ''
    for (const user of await steps.dueUsers(keys[index], mine, 0, SWEEP_BATCH, horizonMs)) users.add(user)
    for (const user of await steps.dueUsers(keys[index], others, OVERDUE_MS[index], SWEEP_BATCH, horizonMs)) users.add(user)
  }
  const result = await advanceUsers([...users], steps.concurrency, (user) => steps.advance(user))
  const due = [...renewed.filter(({ nextAt }) => nextAt > 0), ...result.due]
  return { ...result, checked: result.checked + renewed.length, due }
}

/** Renews the presence of the connected users, many in one command. A user who is still due afterwards is advanced like any other. */
async function renewPresence(
  mine: ReadonlySet<number>,
  others: ReadonlySet<number>,
  checkMs: number,
  steps: Pick<Steps, 'renewPresence'>
): Promise<Renewed[]> {
  const all: Renewed[] = []
  const end = performance.now() + RENEWAL_BUDGET_MS
  for (let isMore = true; isMore && performance.now() < end; ) {
    const args = { maxUsers: RENEWAL_BATCH, checkMs }
    const renewed = await steps.renewPresence(mine, { ...args, overdueMs: 0 })
    if (others.size > 0) renewed.push(...(await steps.renewPresence(others, { ...args, overdueMs: OVERDUE_MS.times })))
    all.push(...renewed)
    isMore = renewed.length > 0
  }
  return all
}
