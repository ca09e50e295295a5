import type { Position, State } from '../protocol/index.ts'
import type { MarkCommand } from './commands.ts'
import { rowId, rowKind, rowTime, stateChangeIn } from './row.ts'
import type { UserState } from './state.ts'

const RANK: Record<State, number> = { unread: 0, seen: 1, read: 2, archived: 3 }

/** Returns the ids whose state a mark changes. */
export function markable(state: UserState, { target, state: to, only }: Pick<MarkCommand, 'target' | 'state' | 'only'>): string[] {
  const ids = 'ids' in target ? known(state, target.ids) : idsUpTo(state, target.upTo)
  const isNamed = 'ids' in target || only !== undefined
  return ids.filter((id) => {
    const from = state.states.get(id) ?? 'unread'
    if (only !== undefined && from !== only) return false
    return isNamed ? changes(from, to) : changesInStretch(from, to)
  })
}

/** Returns those of the ids that are in the log, each once. */
function known(state: UserState, ids: string[]): string[] {
  const inLog = new Set(state.rows.filter((row) => rowKind(row) === 'n').map(rowId))
  return [...new Set(ids)].filter((id) => inLog.has(id))
}

function idsUpTo(state: UserState, { offset }: Position): string[] {
  const rows = state.rows.slice(0, Math.max(0, offset - state.floor))
  return rows.filter((row) => rowKind(row) === 'n').map(rowId)
}

/** Returns whether a mark that names its notifications, or their state, changes a state. `seen` is set on unread notifications only. */
function changes(from: State, to: State): boolean {
  return from !== to && (to !== 'seen' || from === 'unread')
}

/**
 * Returns whether a mark of a stretch changes a state. It only raises states, and a mark as unread only lowers them; archived notifications stay
 * archived.
 */
function changesInStretch(from: State, to: State): boolean {
  if (from === 'archived') return false
  return to === 'unread' ? from !== 'unread' : RANK[from] < RANK[to]
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
