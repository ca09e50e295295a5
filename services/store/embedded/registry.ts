import type { ConnectionInfo } from '../store.ts'

/** A call that is about to write the connections of a user. */
interface RegistryCall {
  readonly user: string
  readonly number: number
}

/** The calls for a user that are under way, and the number of the latest that has written. */
interface Pending {
  calls: number
  writtenBy: number
}

/**
 * The connections of each user.
 *
 * An attach waits for the user's data before it registers, and a detach may be called and finish in that time. So the call that
 * began later decides, even if it writes first.
 */
export class ConnectionRegistry {
  /** The time from which connections are registered, Unix milliseconds. */
  startedAt = 0
  readonly #connectionsByUser = new Map<string, ConnectionInfo[]>()
  readonly #pendingByUser = new Map<string, Pending>()
  #number = 0

  has(user: string): boolean {
    return this.#connectionsByUser.has(user)
  }

  get(user: string): ConnectionInfo[] {
    return this.#connectionsByUser.get(user) ?? []
  }

  clear(): void {
    this.#connectionsByUser.clear()
  }

  /** Starts a call; `end` must follow. */
  begin(user: string): RegistryCall {
    const pending = this.#pendingByUser.get(user)
    if (pending === undefined) this.#pendingByUser.set(user, { calls: 1, writtenBy: 0 })
    else pending.calls += 1
    this.#number += 1
    return { user, number: this.#number }
  }

  /** Sets the connections of the user, unless a later call has written. Returns whether they were set. */
  write({ user, number }: RegistryCall, connections: ConnectionInfo[]): boolean {
    const pending = this.#pendingByUser.get(user)
    if (pending !== undefined && pending.writtenBy > number) return false
    if (pending !== undefined) pending.writtenBy = number
    if (connections.length > 0) this.#connectionsByUser.set(user, [...connections])
    else this.#connectionsByUser.delete(user)
    return true
  }

  end({ user }: RegistryCall): void {
    const pending = this.#pendingByUser.get(user)
    if (pending === undefined) return
    pending.calls -= 1
    if (pending.calls === 0) this.#pendingByUser.delete(user)
  }
}
