import type { Store } from '../store/store.ts'
import { type LocalConnection, LocalUser } from './local-user.ts'

/** The connections of this node, by user. */
export class Registry {
  readonly #store: Store
  readonly #retentionMs: number
  readonly #localByUser = new Map<string, LocalUser>()
  #count = 0

  /** @param retentionMs age at which a row expires, milliseconds */
  constructor(store: Store, retentionMs: number) {
    this.#store = store
    this.#retentionMs = retentionMs
  }

  /** Connections on this node. */
  get count(): number {
    return this.#count
  }

  /** Users with a connection on this node. */
  get userCount(): number {
    return this.#localByUser.size
  }

  find(user: string): LocalUser | undefined {
    return this.#localByUser.get(user)
  }

  /** The users of this node. A copy: users may leave while the caller iterates. */
  users(): LocalUser[] {
    return [...this.#localByUser.values()]
  }

  /** The connections of this node. A copy: connections may close while the caller iterates. */
  connections(): LocalConnection[] {
    return this.users().flatMap(({ connections }) => connections)
  }

  add(user: string, connection: LocalConnection): LocalUser {
    let local = this.#localByUser.get(user)
    if (local === undefined) {
      local = new LocalUser(user, this.#retentionMs)
      this.#localByUser.set(user, local)
    }
    local.add(connection)
    this.#count += 1
    return local
  }

  /** Removes a connection and tells the store. The driver repeats the message until the store has it. */
  remove(local: LocalUser, connection: LocalConnection): void {
    if (!local.remove(connection)) return
    this.#count -= 1
    if (local.isEmpty) this.#localByUser.delete(local.user)
    this.#store.detach(local.user, local.listed()).catch(() => undefined)
  }
}
