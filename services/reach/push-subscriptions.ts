import { errors } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { PushEndpoints } from './push-endpoint.ts'
import { checkSubscription, type PushSubscriptionJson } from './push-subscription.ts'

/** The push subscriptions of users, as REST keeps them. */
export class PushSubscriptions {
  readonly #store: Store
  readonly #endpoints: PushEndpoints
  readonly #publicKey: string | undefined

  /** @param publicKey the key that browsers subscribe with; undefined: Web Push is not configured */
  constructor(store: Store, endpoints: PushEndpoints, publicKey: string | undefined) {
    this.#store = store
    this.#endpoints = endpoints
    this.#publicKey = publicKey
  }

  /** @throws NotFound if Web Push is not configured */
  get publicKey(): string {
    if (this.#publicKey !== undefined) return this.#publicKey
    throw new errors.NotFound('Web Push is off: this service has no VAPID keys. `belfry vapid` makes a pair')
  }

  /**
   * Keeps the subscription of a device, in place of the one that it had.
   *
   * @throws NotFound if Web Push is not configured; InvalidRequest; SubscriptionsFull if the user has too many
   */
  async put(user: string, deviceId: string, subscription: PushSubscriptionJson): Promise<void> {
    if (this.publicKey === '') return
    const checked = checkSubscription(subscription, this.#endpoints, this.#store.now())
    const result = await this.#store.outbox.putSubscription(user, { deviceId, ...checked })
    if (result === 'full') throw new errors.SubscriptionsFull()
  }

  /** Removes the subscription of a device, if it has one. @throws NotFound if Web Push is not configured */
  async delete(user: string, deviceId: string): Promise<void> {
    if (this.publicKey !== '') await this.#store.outbox.deleteSubscription(user, deviceId)
  }
}
