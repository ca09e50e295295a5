import type { Action, Answer } from '../../../../services/protocol/index.ts'
import type { Feed } from '../feed.ts'
import type { InboxItem } from '../inbox.ts'
import type { ErrorContext } from '../types.ts'
import { type ActionsHost, answerText } from './action-buttons.ts'
import type { FailedChange } from './list.ts'
import type { Panel } from './panel.ts'

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

  markRead(item: InboxItem): void {
    this.#failures.delete(item.id)
    this.#make(
      (feed) => feed.mark(item.id),
      () => this.#failOnRow(item, 'mark')
    )
  }

  archive(item: InboxItem): void {
    const { archived, undo } = this.#host.messages()
    this.#failures.delete(item.id)
    const withdraw = this.#host.panel.offer(archived, undo, () => this.#restore(item))
    this.#make(
      (feed) => feed.mark(item.id, 'archived'),
      () => {
        withdraw()
        this.#failOnRow(item, 'archive')
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
      () => this.#failOnRow(item, 'answer')
    )
  }

  markAllRead(): void {
    const { markAllFailed, retry } = this.#host.messages()
    this.#make(
      (feed) => feed.markAllRead(),
      () => this.#host.panel.offer(markAllFailed, retry, () => this.markAllRead())
    )
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
  #restore(item: InboxItem): void {
    const { undoFailed, retry } = this.#host.messages()
    this.#host.panel.focusWhenShown(item.id)
    this.#make(
      (feed) => feed.mark(item.id, item.state === 'read' ? 'read' : 'unread'),
      () => this.#host.panel.offer(undoFailed, retry, () => this.#restore(item))
    )
  }

  #failOnRow(item: InboxItem, change: FailedChange): void {
    const { markFailed, archiveFailed, answerFailed } = this.#host.messages()
    this.#failures.set(item.id, change)
    this.#host.say(`${item.title}: ${{ mark: markFailed, archive: archiveFailed, answer: answerFailed }[change]}`)
    this.#host.changed()
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
