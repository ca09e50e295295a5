import { createHash } from 'node:crypto'
import { ANSWER_LINK_SECRET, signAnswerLink } from '../auth/answer-link.ts'
import { notificationIn } from '../store/row.ts'
import type { LeasedCall, LeasedFallback, LeasedPush, Store } from '../store/store.ts'
import type { CallFormat } from './call-format.ts'
import type { OutgoingRequest } from './http-sender.ts'
import { type Attempt, type Outcome, webhookOutcome } from './outcome.ts'
import { webhookBody, webhookHeaders } from './standard-webhooks.ts'

/** Characters of a `webhook-id` after its prefix: 162 bits of a hash. */
const ID_LENGTH = 27

/** A call that is a webhook. */
export type LeasedWebhook = Exclude<LeasedCall, LeasedPush>

interface WebhookFormatOptions {
  store: Pick<Store, 'now' | 'secret'>
  url: string
  /** The keys of `WEBHOOK_SECRET`. */
  keys: Buffer[]
}

/** Webhooks in the form of Standard Webhooks. */
export class WebhookFormat implements CallFormat<LeasedWebhook> {
  readonly #options: WebhookFormatOptions

  constructor(options: WebhookFormatOptions) {
    this.#options = options
  }

  async request(call: LeasedWebhook): Promise<OutgoingRequest> {
    const { store, url, keys } = this.#options
    const body = webhookBody(call.event, call.madeAt, await this.#dataOf(call))
    return { url, headers: webhookHeaders(keys, webhookIdOf(call), body, store.now()), body }
  }

  outcome(attempt: Attempt, { attempt: attempts }: LeasedWebhook): Outcome {
    return webhookOutcome(attempt, { attempts, now: this.#options.store.now() })
  }

  async #dataOf(call: LeasedWebhook): Promise<object> {
    if (call.event === 'notification.fallback') return await this.#fallbackData(call)
    return { user: call.user, ...(JSON.parse(call.data) as object) }
  }

  async #fallbackData({ user, item, devices }: LeasedFallback): Promise<object> {
    const { store } = this.#options
    const notification = notificationIn(item.row)
    const { id, actions, expiresAt } = notification
    return {
      user,
      notification,
      state: item.state,
      devices: devices.map(({ deviceId, received, at }) => ({ deviceId, received, lastAckAt: at })),
      ...(actions !== undefined && {
        answerLink: signAnswerLink(await store.secret(ANSWER_LINK_SECRET), { user, id }, expiresAt, store.now())
      })
    }
  }
}

/**
 * Returns the id of a webhook, which is the same in each attempt. It is a hash, since it contains the name of the user. The time of the call is part of
 * it: after the store lost its latest writes, another call may have the number, and a receiver must not take it for a repeat.
 */
export function webhookIdOf({ user, epoch, no, madeAt }: Pick<LeasedCall, 'user' | 'epoch' | 'no' | 'madeAt'>): string {
  const text = JSON.stringify([user, epoch, no, madeAt])
  return `msg_${createHash('sha256').update(text).digest('base64url').slice(0, ID_LENGTH)}`
}
