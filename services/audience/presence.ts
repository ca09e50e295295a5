import type { Store } from '../store/store.ts'

/** Users whose presence is looked up at one time. */
const CONCURRENCY = 50

/** Tells if a user is online. `lastSeenAt`: the current time of an online user, else the latest acknowledgement of any device; null: never. */
interface Presence {
  user: string
  online: boolean
  /** Unix milliseconds. */
  lastSeenAt: number | null
}

/** The presence of a user, with each device on each node. `connectedAt`: its oldest connection there, Unix milliseconds. */
interface DetailedPresence extends Presence {
  devices: { deviceId: string; node: string; connectedAt: number }[]
}

/** Tells who is online: the users with a connection on a live node. */
export class PresenceDirectory {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async of(user: string): Promise<DetailedPresence> {
    const connections = await this.#store.connections(user)
    const oldest = [...connections].sort((one, other) => one.connectedAt - other.connectedAt)
    const byPlace = new Map<string, DetailedPresence['devices'][number]>()
    for (const { deviceId, node, connectedAt } of oldest) {
      const place = JSON.stringify([deviceId, node])
      if (!byPlace.has(place)) byPlace.set(place, { deviceId, node, connectedAt })
    }
    const online = connections.length > 0
    return { user, online, devices: [...byPlace.values()], lastSeenAt: online ? this.#store.now() : await this.#lastAckAt(user) }
  }

  /** Returns the presence of each user, in the order of the list. */
  async ofAll(users: string[]): Promise<{ items: Presence[] }> {
    const items: Presence[] = []
    for (let from = 0; from < users.length; from += CONCURRENCY) {
      const found = await Promise.all(users.slice(from, from + CONCURRENCY).map((user) => this.of(user)))
      items.push(...found.map(({ user, online, lastSeenAt }) => ({ user, online, lastSeenAt })))
    }
    return { items }
  }

  async #lastAckAt(user: string): Promise<number | null> {
    const { devices } = await this.#store.queue(user)
    return devices.length === 0 ? null : Math.max(...devices.map(({ at }) => at))
  }
}
