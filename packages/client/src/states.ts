import type { State } from '../../../services/protocol/index.ts'

/** Returns true for the states that the unread count includes. */
export function isUnread(state: State): boolean {
  return state === 'unread' || state === 'seen'
}
