import { emptyState, evolve, type KeyPlace, type UserState } from '../state.ts'
import type { CheckedEntry } from './database.ts'

/** The numbers of a user's entries, which meta holds so that a missing entry is noticed. */
export interface Counts {
  parked: number
  /** The sum of the numbers of the parked notifications. */
  parkedNos: number
  states: number
  keys: number
  options: number
  answers: number
  scheduled: number
  scheduledNos: number
  calls: number
  callNos: number
  subscriptions: number
  checks: number
  /** Notifications with receipts. */
  receipts: number
}

export function countsOf({ parked, states, keys, options, answers, scheduled, calls, subscriptions, checks, receipts }: UserState): Counts {
  return {
    parked: parked.length,
    parkedNos: sumOfTurns(parked),
    states: states.size,
    keys: keys.size,
    options: options.size,
    answers: answers.size,
    scheduled: scheduled.length,
    scheduledNos: sumOfTurns(scheduled),
    calls: calls.size,
    callNos: sumOfTurns(calls.values()),
    subscriptions: subscriptions.size,
    checks: checks.length,
    receipts: receipts.size
  }
}

function sumOfTurns(waiting: Iterable<{ no: number }>): number {
  let sum = 0
  for (const { no } of waiting) sum += no
  return sum
}

/** Why the data of a user are damaged, and the keys of all their entries. */
export interface UserDamage {
  reason: string
  keys: Buffer[]
}

/** The entries of a user as they were read. */
interface ReadParts {
  entries: CheckedEntry[]
  /** The parts of the entries whose checksum does not match. */
  badParts: string[]
  /** The offsets of the rows that were read, in order. */
  offsets: number[]
  /** The counts in meta; undefined if meta is missing or cannot be read. */
  counts: Counts | undefined
}

/**
 * Compares the entries of a user with the counts in meta. If the user is damaged, the log starts afresh, and the state keeps only parts that do
 * not depend on others: cursors, the revocation of tokens, parked and scheduled notifications, calls and push subscriptions.
 *
 * Lost cursors alone are no damage of the log: a device without one counts as new, and `hello` tells it so.
 */
export function damageIn(state: UserState, parts: ReadParts): UserDamage | undefined {
  const reason = reasonOf(state, parts)
  if (reason === '') return undefined
  const { cursors, parked, scheduled, parkNo, revokedBefore, lastMs, calls, subscriptions } = state
  const isKept = (place: KeyPlace): boolean => {
    const waiting = place.in === 'parked' ? parked : place.in === 'scheduled' ? scheduled : []
    return waiting.some(({ no }) => no === place.at)
  }
  const keys = new Map([...state.keys].filter(([, place]) => isKept(place)))
  Object.assign(state, emptyState(), { cursors, parkNo, revokedBefore, lastMs, keys, calls, subscriptions })
  for (const entry of parked) evolve(state, { type: 'park', parked: entry })
  for (const entry of scheduled) evolve(state, { type: 'schedule', scheduled: entry })
  return { reason, keys: parts.entries.map(([key]) => key) }
}

function reasonOf(state: UserState, { entries, badParts, offsets, counts }: ReadParts): string {
  if (badParts.some((part) => part !== 'c')) return 'a checksum does not match'
  if (counts === undefined) return entries.length === 0 ? '' : 'the metadata are missing'
  if (offsets.length !== state.top - state.floor || offsets.some((offset, index) => offset !== state.floor + 1 + index)) {
    return 'rows are missing or out of order'
  }
  const actual = countsOf(state)
  const names = Object.keys(counts) as (keyof Counts)[]
  return names.some((name) => counts[name] !== actual[name]) ? 'entries are missing' : ''
}
