import { leaseFrom } from '../lease-users.ts'
import { MAX_CALLS } from '../limits.ts'
import type { Machine } from '../machine.ts'
import type { LeaseCommand, LeaseResult, Outbox, PresenceChange, PushSubscription, SettleCommand } from '../outbox.ts'
import { leaseResult } from '../outbox-step.ts'

interface Steps {
  /** Carries out a step of a user. `grows`: the step needs room on the disk. */
  carryOut<Result>(user: string, run: (machine: Machine) => Result, grows: boolean): Promise<Result>
  /** Returns users with a call in the lane that is due, at most `limit`, those first that have waited longest. */
  callers(lane: string, limit: number): string[]
}

/** The outbox of the embedded store. A disk that is full keeps nobody from ending calls. */
export class EmbeddedOutbox implements Outbox {
  readonly #steps: Steps

  constructor(steps: Steps) {
    this.#steps = steps
  }

  async putSubscription(user: string, subscription: PushSubscription): Promise<'kept' | 'full'> {
    return await this.#steps.carryOut(user, ({ outbox }) => outbox.subscribe(subscription), true)
  }

  async deleteSubscription(user: string, deviceId: string): Promise<boolean> {
    return await this.#steps.carryOut(user, ({ outbox }) => outbox.unsubscribe(deviceId), false)
  }

  async subscriptions(user: string): Promise<PushSubscription[]> {
    return await this.#steps.carryOut(user, ({ outbox }) => outbox.subscriptions(), false)
  }

  async lease({ lane, limit, user }: LeaseCommand): Promise<LeaseResult> {
    const leaseOf = async (caller: string, share: number): Promise<LeaseResult> =>
      leaseResult(caller, await this.#steps.carryOut(caller, ({ outbox }) => outbox.lease(lane, share), false))
    if (user !== undefined) return await leaseOf(user, limit)
    return await leaseFrom(this.#steps.callers(lane, Math.min(limit, MAX_CALLS)), limit, leaseOf)
  }

  async settle({ user, ...command }: SettleCommand): Promise<boolean> {
    return await this.#steps.carryOut(user, ({ outbox }) => outbox.settle(command), false)
  }

  async notePresence(user: string, change: PresenceChange): Promise<boolean> {
    return await this.#steps.carryOut(user, ({ outbox }) => outbox.notePresence(change), change === 'arrived')
  }
}
