import { MAX_CHANGES } from './limits.ts'
import { emptyRow, isEntry, rowKind, rowTime, stateChangeIn, withIds } from './row.ts'
import { rowAt, type UserState } from './state.ts'
import type { StoreSettings } from './store.ts'

/** Returns how many rows a log may hold beside its notifications and digests, before the oldest rows leave. */
export function changesBound(maxEntries: number): number {
  return Math.max(MAX_CHANGES, 4 * maxEntries)
}

/** Returns the floor after the rows as old as retention have left. */
export function floorByAge({ floor, rows }: UserState, { retentionMs }: StoreSettings, now: number): number {
  const kept = rows.findIndex((row) => rowTime(row) > now - retentionMs)
  return floor + (kept < 0 ? rows.length : kept)
}

/**
 * Returns the floor at which one more row fits: an entry (a notification or a digest), or a change (every other kind).
 * Each of the two has its own bound, so that changes do not push notifications out. Trimming starts a tenth above the bound.
 */
export function floorByCount(state: UserState, { maxEntries }: StoreSettings, added: 'entry' | 'change'): number {
  const { rows, changes } = state
  let entries = excess(rows.length - changes + Number(added === 'entry'), maxEntries)
  let others = excess(changes + Number(added === 'change'), changesBound(maxEntries))
  let index = 0
  for (; index < rows.length && (entries > 0 || others > 0); index++) {
    if (isEntry(rows[index] as Buffer)) entries -= 1
    else others -= 1
  }
  return state.floor + index
}

function excess(count: number, bound: number): number {
  return count > bound + Math.floor(bound / 10) ? count - bound : 0
}

/**
 * Finds the changes of state that later ones superseded: each id stays in the newest `s` row that names it, and leaves the older ones.
 * A row that no id is left in is emptied. Returns the rows in their new form, from the newest to the oldest.
 */
export function superseded(state: UserState): { offset: number; row: Buffer }[] {
  const named = new Set<string>()
  const replaced: { offset: number; row: Buffer }[] = []
  for (let offset = state.top; offset > state.floor; offset--) {
    const row = rowAt(state, offset) as Buffer
    if (rowKind(row) !== 's') continue
    const { ids } = stateChangeIn(row)
    const left = ids.filter((id) => !named.has(id))
    for (const id of left) named.add(id)
    if (left.length > 0 && left.length < ids.length) replaced.push({ offset, row: withIds(row, left) })
    else if (left.length === 0 && offset < state.top) replaced.push({ offset, row: emptyRow(row, '-') })
  }
  return replaced
}
