import type { Action, Answer, State } from '../../../../services/protocol/index.ts'
import type { Inbox, InboxItem } from '../inbox.ts'
import { isUnread } from '../states.ts'
import type { ErrorContext } from '../types.ts'
import { type ActionsHost, answerText } from './action-buttons.ts'
import type { Panel } from './panel.ts'
import type { FailedChange } from './row.ts'

interface ChangesHost extends Pick<ActionsHost, 'messages' | 'deviceId'> {
  readonly panel: Panel
  /** Returns the inbox of the selected tab. */
  inbox(): Inbox | undefined
  /** Announces a sentence to screen readers. */
  say(text: string): void
  /** `failures` changed. */
  changed(): void
  failed(ctx: ErrorContext): void
}

/** Makes the changes of the user in the panel. If a change fails, the inbox takes it back and this class reports it. */
export class Changes {
  readonly #host: ChangesHost
  #failures = new Map<string, FailedChange>()
  /** The archived notifications that the offer brings back, with the states that they get. */
  #archived = new Map<string, State>()

  constructor(host: ChangesHost) {
    this.#host = host
  }

  /** Failed changes by notification id. The rows show them until the panel is closed. */
  get failures(): ReadonlyMap<string, FailedChange> {
    return this.#failures
  }

  /** Gives a notification another state. An archiving can be undone, together with those before it that are still offered. */
  set(item: InboxItem, state: State): void {
    const { markFailed, unreadFailed, archiveFailed, unarchiveFailed } = this.#host.messages()
    const isArchiving = state === 'archived'
    const text = isArchiving ? archiveFailed : item.state === 'archived' ? unarchiveFailed : state === 'unread' ? unreadFailed : markFailed
    this.#failures.delete(item.id)
    if (isArchiving) this.#offerUndo([item.id], item.state)
    else this.#withdrawUndo(item.id)
    this.#make(
      (inbox) => inbox.mark(item.id, state),
      () => {
        this.#withdrawUndo(item.id)
        this.#failOnRow(item, { text, state })
      }
    )
  }

  /** Announces the answer: this one, or that of another device that was first. */
  answer(item: InboxItem, { action }: Action): void {
    const failures = this.#failures
    const say = (answer: Answer): void => {
      if (this.#failures === failures) this.#host.say(`${item.title}: ${answerText(item, answer, this.#host)}`)
    }
    failures.delete(item.id)
    this.#make(
      (inbox) =>
        inbox.answer(item.id, action).then(say, (error: { answer?: Answer }) => {
          if (error.answer === undefined) throw error
          say(error.answer)
        }),
      () => this.#failOnRow(item, { text: this.#host.messages().answerFailed, state: undefined })
    )
  }

  markAllRead(): void {
    this.#makeOrOffer((inbox) => inbox.markAllRead(), this.#host.messages().markAllFailed)
  }

  /** Archives what is read, which can be undone when it is done: only then it is known what changed. */
  archiveAllRead(): void {
    this.#makeOrOffer(async (inbox) => {
      const failures = this.#failures
      const upTo = inbox.list()[0]?.eventId
      const ids = upTo ? await inbox.mark({ upTo }, 'archived', { only: 'read' }) : []
      if (ids.length > 0 && this.#failures === failures) this.#offerUndo(ids, 'read')
    }, this.#host.messages().archiveAllFailed)
  }

  /** Forgets the failures, because the panel was closed. */
  clearFailures(): void {
    this.#failures.clear()
  }

  /** Forgets everything, because the user changed: the panel no longer shows the results of pending changes. */
  clear(): void {
    this.#failures = new Map()
    this.#archived = new Map()
    this.#host.panel.actionBar.hide()
  }

  /** Offers to bring archived notifications back. The service does not change 'archived' to 'seen', so 'unread' replaces it: both count as unread. */
  #offerUndo(ids: string[], state: State): void {
    if (!this.#host.panel.actionBar.offers(this.#undo)) this.#archived = new Map()
    for (const id of ids) this.#archived.set(id, isUnread(state) ? 'unread' : state)
    this.#showUndo()
  }

  /** Takes a notification out of the offer. */
  #withdrawUndo(id: string): void {
    if (this.#archived.delete(id) && this.#host.panel.actionBar.offers(this.#undo)) this.#showUndo()
  }

  #showUndo(): void {
    const { archived, archivedMany, undo } = this.#host.messages()
    const { actionBar } = this.#host.panel
    const { size } = this.#archived
    if (size === 0) actionBar.hide()
    else actionBar.show(size === 1 ? archived : archivedMany(size), undo, this.#undo)
  }

  readonly #undo = (): void => {
    const archived = this.#archived
    this.#host.panel.focusWhenShown([...archived.keys()].at(-1) ?? '')
    this.#makeOrOffer(
      (inbox) =>
        Promise.all(
          [...new Set(archived.values())].map((state) => {
            const ids = [...archived].filter(([, to]) => to === state).map(([id]) => id)
            return inbox.mark(ids, state)
          })
        ),
      this.#host.messages().undoFailed
    )
  }

  #failOnRow(item: InboxItem, failure: FailedChange): void {
    this.#failures.set(item.id, failure)
    this.#host.say(`${item.title}: ${failure.text}`)
    this.#host.changed()
  }

  /** Makes a change. If it fails, the panel offers to try again. */
  #makeOrOffer(change: (inbox: Inbox) => Promise<unknown>, text: string): void {
    const failed = (): void => {
      this.#host.panel.actionBar.show(text, this.#host.messages().retry, () => this.#makeOrOffer(change, text))
    }
    this.#make(change, failed)
  }

  #make(change: (inbox: Inbox) => Promise<unknown>, failed: () => void): void {
    const inbox = this.#host.inbox()
    const failures = this.#failures
    if (inbox === undefined) return
    change(inbox).catch((cause: unknown) => {
      if (this.#failures === failures) failed()
      const { code = 'BELFRY_CLIENT_HTTP', message = String(cause), temporary = true } = cause as Partial<ErrorContext>
      this.#host.failed({ code, message, temporary, cause })
    })
  }
}
