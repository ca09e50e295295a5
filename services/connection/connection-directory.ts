import { errors } from '../errors.ts'
import type { ConnectionInfo, Durability, Store } from '../store/store.ts'

/** The number of connections that the store told to close, and how safe a revocation is. */
interface Disconnected {
  disconnected: number
  durability: Durability
}

/** The connections of a user on all live nodes, as REST lists and closes them. */
export class ConnectionDirectory {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async list(user: string): Promise<{ items: ConnectionInfo[] }> {
    return { items: await this.#store.connections(user) }
  }

  /**
   * Closes every connection of the user with 4003, or with 4001 if `revoke` is set.
   *
   * @param options `reason` is sent with 4003; `revoke` also refuses every token issued to the user up to now
   */
  async closeAll(user: string, options: { reason: string; revoke: boolean }): Promise<Disconnected> {
    const disconnected = await this.#store.disconnect({ user, connectionId: undefined, ...options })
    return { disconnected, durability: this.#store.status().durability }
  }

  /**
   * Closes one connection of the user with 4003.
   *
   * @param reason sent with the close code
   * @throws NotFound if no live node has such a connection
   */
  async close(user: string, connectionId: string, reason: string): Promise<Disconnected> {
    const disconnected = await this.#store.disconnect({ user, connectionId, reason, revoke: false })
    if (disconnected === 0) throw new errors.NotFound('There is no such connection')
    return { disconnected, durability: this.#store.status().durability }
  }
}
