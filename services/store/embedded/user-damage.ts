import { emptyState, type UserState } from '../state.ts'
import type { CheckedEntry } from './database.ts'

/** What meta says of the parts of a user, so that a part that is missing is noticed. */
export interface Counts {
  parked: number
  /** The sum of the numbers of the parked. */
  parkedNos: number
  states: number
  keys: number
}

export function countsOf({ parked, states, keys }: UserState): Counts {
  let parkedNos = 0
  for (const { no } of parked) parkedNos += no
  return { parked: parked.length, parkedNos, states: states.size, keys: keys.size }
}

/** Why the data of a user cannot be trusted, and the keys under which it lies. */
export interface UserDamage {
  reason: string
  keys: Buffer[]
}

/** The entries of a user as they were read. */
export interface ReadParts {
  entries: CheckedEntry[]
  /** The parts of the entries whose checksum does not match. */
  bad: string[]
  /** The offsets of the rows that were read, in order. */
  offsets: number[]
  /** What meta says; undefined when there is none. */
  counts: Counts | undefined
}

/**
 * Compares what was read of a user with what meta says is there. Of a damaged user the state keeps what stands for itself (cursors, the revocation
 * of tokens, parked notifications): the log starts afresh.
 *
 * Cursors alone may be lost: a device without one starts at the oldest row, which repeats rows and skips none.
 */
export function damageIn(state: UserState, parts: ReadParts): UserDamage | undefined {
  const reason = reasonOf(state, parts)
  if (reason === '') return undefined
  const { cursors, parked, parkNo, revokedBefore, lastMs } = state
  const last = parked.at(-1)?.no ?? 0
  const keys = new Map([...state.keys].filter(([, place]) => place.in === 'parked' && parked.some(({ no }) => no === place.at)))
  Object.assign(state, emptyState(), { cursors, parked, parkNo: Math.max(parkNo, last), revokedBefore, lastMs, keys })
  return { reason, keys: parts.entries.map(([key]) => key) }
}

function reasonOf(state: UserState, { entries, bad, offsets, counts }: ReadParts): string {
  if (bad.some((part) => part !== 'c')) return 'a checksum does not match'
  if (counts === undefined) return entries.length === 0 ? '' : 'the head of the log is missing'
  if (offsets.length !== state.top - state.floor || offsets.some((offset, index) => offset !== state.floor + 1 + index)) {
    return 'the rows are not those that should be there'
  }
  const found = countsOf(state)
  const names = Object.keys(counts) as (keyof Counts)[]
  return names.some((name) => counts[name] !== found[name]) ? 'parts are missing' : ''
}
