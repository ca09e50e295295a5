import type { Registry } from '../connection/registry.ts'
import type { Counters } from '../node/counters.ts'
import type { Position } from '../protocol/index.ts'
import { hasExpired, rowId8 } from '../store/row.ts'
import type { Kick, Store, StoreEvents, StoreStatus, Wake } from '../store/store.ts'

/**
 * Passes the events of the store to the connections of this node. A wake-up is only a hint: a connection that cannot use it reads the log.
 */
export class Fanout implements StoreEvents {
  readonly #registry: Registry
  readonly #counters: Counters
  readonly #store: Pick<Store, 'now'>

  constructor(registry: Registry, counters: Counters, store: Pick<Store, 'now'>) {
    this.#registry = registry
    this.#counters = counters
    this.#store = store
  }

  /** Passes a row on. A wake-up that was delayed past the expiry of its notification is passed on without the row: the log has the present state. */
  wake({ user, epoch, offset, row }: Wake): void {
    this.#counters.wakeUps += 1
    const local = this.#registry.find(user)
    if (local === undefined) return
    const isUsable = row !== undefined && !hasExpired(row, this.#store.now())
    local.wake({ epoch, offset, id8: row === undefined ? '' : rowId8(row) }, isUsable ? row : undefined)
  }

  kick({ user, connectionId, reason, revoked, displaced }: Kick): void {
    const connections = this.#registry.find(user)?.connections ?? []
    for (const connection of connections) {
      if (connectionId !== undefined && connection.connectionId !== connectionId) continue
      if (displaced) connection.displace()
      else if (revoked) connection.close('unauthorized', 'token_revoked')
      else connection.close('disconnected', reason)
    }
  }

  suspect(affected: (user: string) => boolean): void {
    for (const local of this.#registry.users()) {
      if (!affected(local.user)) continue
      for (const connection of local.connections) connection.reattach()
    }
  }

  newest(user: string): Position | undefined {
    return this.#registry.find(user)?.newest()
  }

  status({ available }: StoreStatus): void {
    if (available) for (const connection of this.#registry.connections()) connection.resume()
  }
}
