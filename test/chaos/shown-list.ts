import type {
  Answer,
  AnsweredFrame,
  DigestFrame,
  NotificationFrame,
  RetractFrame,
  State,
  StateFrame
} from '../../services/protocol/index.ts'
import type { UnreadCounts } from '../../services/store/row.ts'
import { countsAsUnread } from '../../services/store/state.ts'
import type { ShownOptions } from './journal.ts'

type Options = Pick<NotificationFrame['notification'], 'expiresAt' | 'collapseKey' | 'replaces'>

/** Returns the options and the answer of a notification as a journal records them. */
export function shownOptions(notification: Options, answer?: Answer): ShownOptions {
  const { expiresAt, collapseKey, replaces } = notification
  return {
    ...(expiresAt !== undefined && { expiresAt }),
    ...(collapseKey !== undefined && { collapseKey }),
    ...(replaces !== undefined && { replaces }),
    ...(answer !== undefined && { answer })
  }
}

/** The frames of rows that change what a device shows, as much of them as `ShownList` reads. */
type Change =
  | (Pick<NotificationFrame, 'type' | 'state'> & { notification: Options & { id: string } })
  | Pick<StateFrame, 'type' | 'ids' | 'state'>
  | Pick<RetractFrame, 'type' | 'id' | 'collapseKey'>
  | Pick<AnsweredFrame, 'type' | 'id'>
  | Pick<DigestFrame, 'type'>

const NONE: UnreadCounts = { unread: 0, unseen: 0 }

/**
 * The notifications that a device shows, with their states, as docs/reference/protocol.md tells clients to keep them: a notification takes the
 * place of the one that it replaces and of older ones with its collapse key, and a retraction removes those of its key, too.
 */
export class ShownList {
  readonly #items = new Map<string, { collapseKey: string | undefined; state: State }>()

  /** Applies a row. Returns by how much a live row without counts of its own changes the counts. */
  apply(frame: Change): UnreadCounts {
    switch (frame.type) {
      case 'notification': {
        const { id, collapseKey, replaces } = frame.notification
        const replaced = replaces === undefined ? undefined : (this.#items.get(replaces)?.state ?? 'unread')
        if (replaces !== undefined) this.#items.delete(replaces)
        this.#removeKey(collapseKey)
        this.#items.set(id, { collapseKey, state: frame.state ?? 'unread' })
        const isUnread = replaced !== undefined && countsAsUnread(replaced)
        return { unread: isUnread ? 0 : 1, unseen: replaced === 'unread' ? 0 : 1 }
      }
      case 'state':
        for (const id of frame.ids) this.#mark(id, frame.state)
        return NONE
      case 'retract':
        this.#items.delete(frame.id)
        this.#removeKey(frame.collapseKey)
        return NONE
      case 'answered':
        if (countsAsUnread(this.#items.get(frame.id)?.state)) this.#mark(frame.id, 'read')
        return NONE
      case 'digest':
        return NONE
    }
  }

  #mark(id: string, state: State): void {
    const item = this.#items.get(id)
    if (item !== undefined) item.state = state
  }

  #removeKey(collapseKey: string | undefined): void {
    if (collapseKey === undefined) return
    for (const [id, item] of this.#items) if (item.collapseKey === collapseKey) this.#items.delete(id)
  }
}
