import type { Position } from '../protocol/index.ts'
import type { Kick, StoreEvents, StoreStatus, Wake } from './store.ts'

/**
 * Passes each event of the store to every listener, in the order in which they were attached. A store is opened with its receiver of events,
 * which is before the plugins that use the store exist: they attach themselves here afterwards.
 */
export class StoreListeners implements StoreEvents {
  readonly #listeners: Partial<StoreEvents>[] = []

  /** Adds a listener for the events that it has a method for. Events from before are not repeated. */
  attach(listener: Partial<StoreEvents>): void {
    this.#listeners.push(listener)
  }

  wake(wake: Wake): void {
    for (const listener of this.#listeners) listener.wake?.(wake)
  }

  kick(kick: Kick): void {
    for (const listener of this.#listeners) listener.kick?.(kick)
  }

  suspect(affected: (user: string) => boolean): void {
    for (const listener of this.#listeners) listener.suspect?.(affected)
  }

  newest(user: string): Position | undefined {
    for (const listener of this.#listeners) {
      const newest = listener.newest?.(user)
      if (newest !== undefined) return newest
    }
    return undefined
  }

  status(status: StoreStatus): void {
    for (const listener of this.#listeners) listener.status?.(status)
  }
}
