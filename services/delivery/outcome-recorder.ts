import type { Counters } from '../node/counters.ts'
import type { PublishResult } from '../store/store.ts'
import type { UserClock } from './user-clock.ts'

/** Records what the store did with each publish: counts it, and sets the clock of the user if something of theirs is due later. */
export class OutcomeRecorder {
  readonly #clock: UserClock
  readonly #counters: Counters

  constructor(clock: UserClock, counters: Counters) {
    this.#clock = clock
    this.#counters = counters
  }

  /** @param expiresAt time at which the notification expires, Unix milliseconds; 0: never */
  record(user: string, result: PublishResult, expiresAt: number): void {
    const counters = this.#counters
    if (expiresAt > 0 && (result.status === 'accepted' || result.status === 'parked')) this.#clock.schedule(user, expiresAt)
    if ('replayed' in result && result.replayed) counters.replayed += 1
    switch (result.status) {
      case 'accepted':
        if (!result.replayed) counters.accepted += 1
        if (result.checkAt !== undefined) this.#clock.schedule(user, result.checkAt)
        return
      case 'parked':
        if (!result.replayed) counters.parked += 1
        this.#clock.schedule(user, result.releaseAt)
        return
      case 'scheduled':
        if (!result.replayed) counters.scheduled += 1
        this.#clock.schedule(user, result.deliverAt)
        return
      case 'full':
      case 'scheduledFull':
      case 'expired':
      case 'conflict':
      case 'erased':
        counters.rejected += 1
    }
  }
}
