import { ANSWER_LINK_SECRET, signAnswerLink } from '../auth/answer-link.ts'
import { formatEventId } from '../protocol/index.ts'
import { notificationIn, rowId8, rowTime } from '../store/row.ts'
import type { LeasedPush, Store } from '../store/store.ts'
import type { CallFormat } from './call-format.ts'
import type { OutgoingRequest } from './http-sender.ts'
import { type Attempt, type Outcome, pushOutcome } from './outcome.ts'
import type { PushEndpoints } from './push-endpoint.ts'
import { pushPayload } from './push-payload.ts'
import { pushRequest, VapidSignatures } from './push-request.ts'
import type { VapidIdentity } from './vapid.ts'

interface PushFormatOptions {
  store: Pick<Store, 'now' | 'secret'>
  identity: VapidIdentity
  endpoints: PushEndpoints
  /** Age at which a notification is trimmed, milliseconds. */
  retentionMs: number
}

/** Web Push (RFC 8030, 8291, 8292). */
export class PushFormat implements CallFormat<LeasedPush> {
  readonly #options: PushFormatOptions
  readonly #signatures: VapidSignatures

  constructor(options: PushFormatOptions) {
    this.#options = options
    this.#signatures = new VapidSignatures(options.identity)
  }

  async request({ user, item, subscription, unread }: LeasedPush): Promise<OutgoingRequest | undefined> {
    const { store, endpoints, retentionMs } = this.#options
    // The operator may have removed the origin from PUSH_ENDPOINTS since the subscription was stored.
    if (endpoints.accept(subscription.endpoint) === undefined) return undefined
    const notification = notificationIn(item.row)
    const { id, actions, expiresAt } = notification
    const now = store.now()
    const answerLink =
      actions === undefined ? undefined : signAnswerLink(await store.secret(ANSWER_LINK_SECRET), { user, id }, expiresAt, now)
    const eventId = formatEventId({ epoch: item.epoch, offset: item.offset, id8: rowId8(item.row) })
    const payload = pushPayload(notification, { eventId, unread, answerLink })
    return pushRequest(subscription, notification, payload, this.#signatures, { endsAt: expiresAt ?? rowTime(item.row) + retentionMs, now })
  }

  outcome(attempt: Attempt, { attempt: attempts, madeAt: createdAt, item }: LeasedPush): Outcome {
    const { expiresAt = 0 } = notificationIn(item.row)
    return pushOutcome(attempt, { attempts, createdAt, now: this.#options.store.now() }, expiresAt)
  }
}
