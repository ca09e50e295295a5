import { setTimeout as pause } from 'node:timers/promises'
import type { Answer, Notification } from '../../services/protocol/index.ts'
import type { AnswerAttempt } from './journal.ts'

/** Part of the notifications with actions that a device answers. The devices of a user answer at about the same time. */
const ANSWERED = 0.7
const HESITATION_MS = 150

/** The reply of the service to an `answer` frame, as much of it as the journal records. */
export interface AnswerReply extends Partial<Answer> {
  type: string
  code?: string
  temporary?: boolean
  /** The first answer, in an error. */
  answer?: Answer
}

/** Answers some of the notifications that a device is shown, and records each reply. */
export class Answering {
  readonly attempts: AnswerAttempt[] = []
  readonly #user: string
  readonly #device: string
  readonly #random: () => number
  readonly #send: (id: string, action: string) => Promise<AnswerReply | undefined>
  readonly #underWay = new Set<Promise<void>>()
  #quiet = false

  /** @param send resolves with the reply, or with undefined if there was none */
  constructor(user: string, device: string, random: () => number, send: (id: string, action: string) => Promise<AnswerReply | undefined>) {
    this.#user = user
    this.#device = device
    this.#random = random
    this.#send = send
  }

  /** Takes a notification that the device shows for the first time. */
  shown({ id, actions }: Pick<Notification, 'id' | 'actions'>): void {
    if (actions === undefined || this.#quiet || this.#random() >= ANSWERED) return
    const { action } = actions[Math.floor(this.#random() * actions.length)] as { action: string }
    const answered = this.#answer(id, action, this.#random() * HESITATION_MS).finally(() => this.#underWay.delete(answered))
    this.#underWay.add(answered)
  }

  /** Stops answering. Resolves when each answer has a reply or has failed. */
  async quiet(): Promise<void> {
    this.#quiet = true
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  async #answer(id: string, action: string, afterMs: number): Promise<void> {
    await pause(afterMs)
    const sentAt = Date.now()
    const reply = await this.#send(id, action)
    this.attempts.push({ user: this.#user, device: this.#device, id, action, sentAt, doneAt: Date.now(), ...outcomeOf(reply) })
  }
}

function outcomeOf(reply: AnswerReply | undefined): Pick<AnswerAttempt, 'outcome' | 'answer'> {
  if (reply === undefined || reply.temporary === true) return { outcome: 'none' }
  if (reply.type === 'ok') {
    const { action = '', answeredAt = 0, deviceId = '' } = reply
    return { outcome: 'first', answer: { action, answeredAt, deviceId } }
  }
  const { code, answer } = reply
  if (code === 'BELFRY_ERR_ALREADY_ANSWERED') return answer === undefined ? { outcome: 'late' } : { outcome: 'late', answer }
  return { outcome: 'refused' }
}
