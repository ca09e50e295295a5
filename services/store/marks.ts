import type { Position, State } from '../protocol/index.ts'
import { rowId, rowKind, rowTime, stateChangeIn } from './row.ts'
import type { UserState } from './state.ts'

const RANK: Record<State, number> = { unread: 0, seen: 1, read: 2, archived: 3 }

/** Returns the ids whose state a mark changes: those in the log that have another state. `seen` is set on unread notifications only. */
export function markable(state: UserState, ids: string[], to: State): string[] {
  const known = new Set(state.rows.filter((row) => rowKind(row) === 'n').map(rowId))
  return [...new Set(ids)].filter((id) => {
    const from = state.states.get(id) ?? 'unread'
    return known.has(id) && from !== to && (to !== 'seen' || from === 'unread')
  })
}

/**
 * Returns the ids up to a position whose state a mark changes. A mark of a stretch only raises states, and a mark as unread only lowers
 * them; archived notifications stay archived.
 */
export function markableUpTo(state: UserState, upTo: Position, to: State): string[] {
  if (upTo.epoch !== state.epoch) return []
  const ids: string[] = []
  for (const row of state.rows.slice(0, Math.max(0, upTo.offset - state.floor))) {
    if (rowKind(row) !== 'n') continue
    const from = state.states.get(rowId(row)) ?? 'unread'
    if (from === 'archived') continue
    if (to === 'unread' ? from !== 'unread' : RANK[from] < RANK[to]) ids.push(rowId(row))
  }
  return ids
}

/** Returns the ids whose state changed after a time. Reads from the newest row back, because the times of rows never run backwards. */
export function markedAfter(state: UserState, ms: number): Set<string> {
  const ids = new Set<string>()
  for (let index = state.rows.length - 1; index >= 0; index--) {
    const row = state.rows[index] as Buffer
    if (rowTime(row) <= ms) break
    if (rowKind(row) === 's') for (const id of stateChangeIn(row).ids) ids.add(id)
  }
  return ids
}
