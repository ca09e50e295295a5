import type { Store } from '../store/store.ts'
import { type LocalConnection, LocalUser } from './local-user.ts'
import type { PresenceListener } from './presence-listener.ts'

/** The connections of this node, by user. */
export class Registry {
  readonly #store: Store
  readonly #retentionMs: number
  readonly #localByUser = new Map<string, LocalUser>()
  readonly #presence: PresenceListener | undefined
  #count = 0

  /**
   * @param retentionMs age at which a row expires, milliseconds
   * @param presence hears of users who arrive and leave; undefined: nobody does
   */
  constructor(store: Store, retentionMs: number, presence?: PresenceListener) {
    this.#store = store
    this.#retentionMs = retentionMs
    this.#presence = presence
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

  /** Notes that the store has registered this node for a user. @param isFirst it is the first attach of a connection */
  attached({ user, isEmpty }: LocalUser, isFirst: boolean): void {
    if (isEmpty) return
    if (isFirst) this.#presence?.arrived(user)
    else this.#presence?.reattached(user)
  }

  /** Removes a connection and tells the store. The driver repeats the message until the store has it. */
  remove(local: LocalUser, connection: LocalConnection): void {
    if (!local.remove(connection)) return
    this.#count -= 1
    if (local.isEmpty) this.#localByUser.delete(local.user)
    const leaving = local.isEmpty ? this.#presence?.left(local.user) : undefined
    if (leaving === undefined) this.#detach(local)
    // The user may have another connection by then.
    else void leaving.then(() => this.#detach(this.#localByUser.get(local.user) ?? local))
  }

  #detach(local: LocalUser): void {
    this.#store.detach(local.user, local.listed()).catch(() => undefined)
  }
}
