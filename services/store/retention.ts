import { MAX_CHANGES } from './limits.ts'
import { emptyRow, isEntry, rowKind, rowTime, stateChangeIn, withIds } from './row.ts'
import { rowAt, type UserState } from './state.ts'
import type { StoreSettings } from './store.ts'

/** Returns the number of rows that a log may hold beside its notifications and digests. */
export function changesBound(maxEntries: number): number {
  return Math.max(MAX_CHANGES, 4 * maxEntries)
}

/** Returns the floor after the rows that reached the age of retention are trimmed. */
export function floorByAge({ floor, rows }: UserState, { retentionMs }: StoreSettings, now: number): number {
  const kept = rows.findIndex((row) => rowTime(row) > now - retentionMs)
  return floor + (kept < 0 ? rows.length : kept)
}

/**
 * Returns the floor at which one more row fits: an entry (a notification or a digest), or a change (every other kind).
 * Each of the two has its own bound, so that changes do not push notifications out. Nothing is trimmed until a bound is exceeded by a tenth:
 * one step in many trims, instead of each.
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
 * Returns the rewritten form of `s` rows that later ones superseded, from the newest to the oldest: each id stays in the newest row that names
 * it, and a row without ids is emptied. The row at the top is never emptied, because it was appended in this step.
 */
export function superseded(state: UserState): { offset: number; row: Buffer }[] {
  const named = new Set<string>()
  const replaced: { offset: number; row: Buffer }[] = []
  for (let offset = state.top; offset > state.floor; offset--) {
    const row = rowAt(state, offset) as Buffer
    if (rowKind(row) !== 's') continue
    const { ids } = stateChangeIn(row)
    const kept = ids.filter((id) => !named.has(id))
    for (const id of kept) named.add(id)
    if (kept.length > 0 && kept.length < ids.length) replaced.push({ offset, row: withIds(row, kept) })
    else if (kept.length === 0 && offset < state.top) replaced.push({ offset, row: emptyRow(row, '-') })
  }
  return replaced
}
