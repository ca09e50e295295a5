import type { Action, Answer, State } from '../../../../services/protocol/index.ts'
import { isUnread } from '../expiries.ts'
import type { Feed } from '../feed.ts'
import type { InboxItem } from '../inbox.ts'
import type { ErrorContext } from '../types.ts'
import { type ActionsHost, answerText } from './action-buttons.ts'
import type { Panel } from './panel.ts'
import type { FailedChange } from './row.ts'

interface ChangesHost extends Pick<ActionsHost, 'messages' | 'deviceId'> {
  readonly panel: Panel
  feed(): Feed | undefined
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

  constructor(host: ChangesHost) {
    this.#host = host
  }

  /** Failed changes by notification id. The rows show them until the panel is closed. */
  get failures(): ReadonlyMap<string, FailedChange> {
    return this.#failures
  }

  /** Gives a notification another state. An archiving can be undone. */
  set(item: InboxItem, state: State): void {
    const { archived, undo, markFailed, unreadFailed, archiveFailed, unarchiveFailed } = this.#host.messages()
    const isArchiving = state === 'archived'
    const text = isArchiving ? archiveFailed : item.state === 'archived' ? unarchiveFailed : state === 'unread' ? unreadFailed : markFailed
    this.#failures.delete(item.id)
    const withdraw = isArchiving ? this.#host.panel.offer(archived, undo, () => this.#restore([item.id], item.state)) : undefined
    this.#make(
      (feed) => feed.mark(item.id, state),
      () => {
        withdraw?.()
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
      (feed) =>
        feed.answer(item.id, action).then(say, (error: { answer?: Answer }) => {
          if (error.answer === undefined) throw error
          say(error.answer)
        }),
      () => this.#failOnRow(item, { text: this.#host.messages().answerFailed, state: undefined })
    )
  }

  markAllRead(): void {
    this.#makeOrOffer((feed) => feed.markAllRead(), this.#host.messages().markAllFailed)
  }

  /** Archives what is read, which can be undone when it is done: only then it is known what changed. */
  archiveAllRead(): void {
    const { archivedMany, archiveAllFailed, undo } = this.#host.messages()
    this.#makeOrOffer(async (feed) => {
      const upTo = feed.snapshot.items[0]?.eventId
      const ids = upTo ? await feed.mark({ upTo }, 'archived', { only: 'read' }) : []
      if (ids.length > 0 && feed === this.#host.feed())
        this.#host.panel.offer(archivedMany(ids.length), undo, () => this.#restore(ids, 'read'))
    }, archiveAllFailed)
  }

  /** Forgets the failures, because the panel was closed. */
  clearFailures(): void {
    this.#failures.clear()
  }

  /** Forgets everything, because the user changed: pending changes no longer report anything. */
  clear(): void {
    this.#failures = new Map()
    this.#host.panel.withdrawOffer()
  }

  /** Undoes an archiving. The service does not change 'archived' to 'seen', so 'unread' replaces it: both count as unread. */
  #restore(ids: string[], state: State): void {
    const [id = ''] = ids
    this.#host.panel.focusWhenShown(id)
    this.#makeOrOffer((feed) => feed.mark(ids, isUnread(state) ? 'unread' : state), this.#host.messages().undoFailed)
  }

  #failOnRow(item: InboxItem, failure: FailedChange): void {
    this.#failures.set(item.id, failure)
    this.#host.say(`${item.title}: ${failure.text}`)
    this.#host.changed()
  }

  /** Makes a change. If it fails, the panel offers to try again. */
  #makeOrOffer(change: (feed: Feed) => Promise<unknown>, text: string): void {
    const failed = (): void => {
      this.#host.panel.offer(text, this.#host.messages().retry, () => this.#makeOrOffer(change, text))
    }
    this.#make(change, failed)
  }

  #make(change: (feed: Feed) => Promise<unknown>, failed: () => void): void {
    const feed = this.#host.feed()
    const failures = this.#failures
    if (feed === undefined) return
    change(feed).catch((cause: unknown) => {
      if (this.#failures !== failures) return
      failed()
      const { code = 'BELFRY_CLIENT_HTTP', message = String(cause), temporary = true } = cause as Partial<ErrorContext>
      this.#host.failed({ code, message, temporary, cause })
    })
  }
}
