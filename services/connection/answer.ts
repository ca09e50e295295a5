import { errors } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import type { Answer } from '../protocol/index.ts'
import type { AnswerCommand, Store } from '../store/store.ts'

/** The parts of the node that an answer concerns. */
export interface AnswerContext {
  readonly store: Store
  readonly counters: Counters
  /** Called after a first answer, of which a webhook may have to tell. */
  readonly onAnswered: () => void
}

/**
 * Answers a notification, and counts the answer if it is the first. The same device may repeat its answer: it gets the same result.
 *
 * @throws NotFound; InvalidRequest if the notification does not offer the action; AlreadyAnswered, with the first `answer`
 */
export async function answerNotification({ store, counters, onAnswered }: AnswerContext, command: AnswerCommand): Promise<Answer> {
  const result = await store.answer(command)
  switch (result.status) {
    case 'answered':
      if (!result.replayed) {
        counters.answered += 1
        onAnswered()
      }
      return result.answer
    case 'already':
      throw Object.assign(new errors.AlreadyAnswered(), { answer: result.answer })
    case 'notOffered':
      throw new errors.InvalidRequest('the notification does not offer this action')
    case 'unknown':
      throw new errors.NotFound('There is no such notification')
  }
}
