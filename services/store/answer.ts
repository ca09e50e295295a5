import { errors } from '../errors.ts'
import type { Answer } from '../protocol/index.ts'
import type { AnswerCommand, Store } from './store.ts'

/**
 * Answers a notification. `isFirst` is false if the same device repeats its answer.
 *
 * @throws NotFound; InvalidRequest if the notification does not offer the action; AlreadyAnswered, with the first `answer`
 */
export async function answerNotification(store: Store, command: AnswerCommand): Promise<{ answer: Answer; isFirst: boolean }> {
  const result = await store.answer(command)
  switch (result.status) {
    case 'answered':
      return { answer: result.answer, isFirst: !result.replayed }
    case 'already':
      throw Object.assign(new errors.AlreadyAnswered(), { answer: result.answer })
    case 'notOffered':
      throw new errors.InvalidRequest('the notification does not offer this action')
    case 'unknown':
      throw new errors.NotFound('There is no such notification')
  }
}
