import { STATES, type State } from '../../../services/protocol/index.ts'
import type { Change, InboxItem } from './inbox-items.ts'
import { isAtOrBefore } from './order.ts'
import type { MarkOptions, MarkTarget } from './types.ts'

/** `seen()` gathers ids for this time, milliseconds: a list that is scrolled calls it for each row. */
export const GATHER_MS = 300

/** A mark that has no answer yet. */
export interface PendingMark {
  ids: string[]
  state: State
  /** The mark covers every notification, loaded or not. */
  all: boolean
  /** The connection ended before the answer. The service may have carried out the mark, and then its next answer does not name what changed. */
  isRepeated?: boolean
  /** The states that the service named since the call, by id. The answer to the mark does not change them. */
  named: Map<string, State>
}

/** Returns a function that tells whether a mark changes an item, by the rules of the service. */
export function changedBy(target: MarkTarget, state: State, { only }: MarkOptions): (item: InboxItem) => boolean {
  const upTo = typeof target === 'object' && 'upTo' in target ? target.upTo : undefined
  const named = new Set<unknown>([target].flat())
  return (item) => {
    if (only && item.state !== only) return false
    if (upTo === undefined) return named.has(item.id) && changes(item.state, state)
    return isAtOrBefore(item.eventId, upTo) && (only ? changes : raises)(item.state, state)
  }
}

/** Returns the ids that the answer names. If the mark was sent again, the answer does not name what changed the first time: rows did. */
export function withRepeated(ids: string[], { isRepeated, named, state }: PendingMark): string[] {
  return [...new Set([...ids, ...[...named.keys()].filter((id) => isRepeated && named.get(id) === state)])]
}

/** Returns what pending marks and answers change, by notification id. */
export function changesOf(pending: Iterable<PendingMark>, answering: ReadonlyMap<string, string>): Map<string, Change> {
  const changeById = new Map<string, Change>()
  for (const { ids, state } of pending) for (const id of ids) changeById.set(id, { state })
  for (const [id, action] of answering) changeById.set(id, { ...changeById.get(id), answering: action })
  return changeById
}

function changes(from: State, to: State): boolean {
  return from !== to && (to !== 'seen' || from === 'unread')
}

/** Returns true if `upTo` changes the state: states only rise (or fall to unread), archived ones stay. */
function raises(from: State, to: State): boolean {
  if (from === 'archived') return false
  return to === 'unread' ? from !== to : STATES.indexOf(from) < STATES.indexOf(to)
}
