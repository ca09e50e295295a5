import type { Position, State } from '../protocol/index.ts'
import { rowId, rowKind, rowTime, stateChangeIn } from './row.ts'
import type { UserState } from './state.ts'

const RANK: Record<State, number> = { unread: 0, seen: 1, read: 2, archived: 3 }

/** Those of the ids whose state a mark would change: known ones, and `seen` only from `unread`. */
export function markable(state: UserState, ids: string[], to: State): string[] {
  const known = new Set(state.rows.filter((row) => rowKind(row) === 'n').map(rowId))
  return [...new Set(ids)].filter((id) => {
    const from = state.states.get(id) ?? 'unread'
    return known.has(id) && from !== to && (to !== 'seen' || from === 'unread')
  })
}

/** Marking a whole stretch only raises states (or, to unread, lowers them), and leaves archived ones alone. */
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

/** Returns the ids whose state was changed later than a time. Reads from the newest row back, since times never fall. */
export function markedAfter(state: UserState, ms: number): Set<string> {
  const ids = new Set<string>()
  for (let index = state.rows.length - 1; index >= 0; index--) {
    const row = state.rows[index] as Buffer
    if (rowTime(row) <= ms) break
    if (rowKind(row) === 's') for (const id of stateChangeIn(row).ids) ids.add(id)
  }
  return ids
}
