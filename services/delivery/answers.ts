import { ANSWER_LINK_SECRET, readAnswerLink, signAnswerLink } from '../auth/answer-link.ts'
import { type AnswerContext, answerNotification } from '../connection/answer.ts'
import { errors } from '../errors.ts'
import type { Counters } from '../node/counters.ts'
import type { Answer, Notification } from '../protocol/index.ts'
import type { AnswerCommand, Store } from '../store/store.ts'

/** The device that an answer by a link is recorded under. */
const LINK_DEVICE = 'link'

/** Stands for the notification of an invalid link: no user has an empty name, and no notification an empty id. */
const NO_TARGET = { user: '', id: '' }

/** An accepted answer and the notification that it belongs to. */
interface GivenAnswer extends Answer {
  id: string
}

/** Answers notifications over REST: with a user's token, or with an answer link. */
export class Answers {
  readonly #store: Store
  readonly #context: AnswerContext

  /** @param onAnswered called after a first answer, of which a webhook may have to tell */
  constructor(store: Store, counters: Counters, onAnswered: () => void) {
    this.#store = store
    this.#context = { store, counters, onAnswered }
  }

  /** @throws NotFound, InvalidRequest, AlreadyAnswered as `answerNotification` */
  answer(user: string, id: string, action: string, deviceId: string): Promise<GivenAnswer> {
    return this.#answer({ user, id, action, deviceId })
  }

  /**
   * Answers the notification of a link, as the device `link`.
   *
   * A link that is not valid costs the same step of the store as any other, so that neither the answer nor its time tells a forged link from one whose
   * notification was recalled or whose user was erased.
   *
   * @throws NotFound, with one message for every reason; InvalidRequest and AlreadyAnswered for valid links
   */
  async answerByLink(link: string, action: string): Promise<GivenAnswer> {
    const { user, id } = readAnswerLink(await this.#secretOfLinks(), link, this.#store.now()) ?? NO_TARGET
    try {
      return await this.#answer({ user, id, action, deviceId: LINK_DEVICE, byLink: true })
    } catch (error) {
      throw error instanceof errors.NotFound ? new errors.NotFound('There is no notification to answer by this link') : error
    }
  }

  /** Returns a notification with the link that answers it, if it has actions. One that was answered does not expire, so neither does its link then. */
  async withLink<Found extends Partial<Notification> & { id: string; answer?: Answer }>(
    user: string,
    found: Found
  ): Promise<Found & { answerLink?: string }> {
    const { actions, answer, id } = found
    if (actions === undefined) return found
    const expiresAt = answer === undefined ? found.expiresAt : undefined
    return { ...found, answerLink: signAnswerLink(await this.#secretOfLinks(), { user, id }, expiresAt, this.#store.now()) }
  }

  async #answer(command: AnswerCommand): Promise<GivenAnswer> {
    const { action, answeredAt, deviceId } = await answerNotification(this.#context, command)
    return { id: command.id, action, answeredAt, deviceId }
  }

  /** Fetches the secret each time: a Redis that lost its data makes another, and all nodes must use the same. */
  #secretOfLinks(): Promise<Buffer> {
    return this.#store.secret(ANSWER_LINK_SECRET)
  }
}
