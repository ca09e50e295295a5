import type { ConnectionInfo, Seen, Store } from '../store/store.ts'
import type { Connection } from './connection.ts'
import { type Frame, plainFrame } from './frames.ts'
import type { Timeouts } from './timeouts.ts'

/** A user with connections on this node, and the newest row the node knows of. */
export class LocalUser {
  readonly user: string
  readonly connections: Connection[] = []
  epoch = ''
  top = 0
  /** The highest offset that came by a wake-up in this epoch. */
  woken = 0

  constructor(user: string) {
    this.user = user
  }

  /** Takes note of the log's top, as the store told it. */
  observe(epoch: string, top: number): void {
    if (epoch === this.epoch) this.top = Math.max(this.top, top)
    else {
      this.epoch = epoch
      this.top = top
      this.woken = 0
    }
  }

  lastSeen(): Seen | undefined {
    return this.epoch === '' ? undefined : { epoch: this.epoch, offset: this.top }
  }

  listed(): ConnectionInfo[] {
    return this.connections.map(({ connectionId, deviceId, node, connectedAt, address }) => ({
      connectionId,
      deviceId,
      node,
      connectedAt,
      address
    }))
  }
}

/**
 * The connections of this node, by user, and their heartbeat. One timer for all: no connection has its own.
 */
export class Registry {
  readonly #users = new Map<string, LocalUser>()
  readonly #store: Store
  readonly #pingIntervalMs: number
  readonly #timeouts: Timeouts
  readonly #timer: NodeJS.Timeout
  #count = 0

  constructor(store: Store, pingIntervalMs: number, timeouts: Timeouts) {
    this.#store = store
    this.#pingIntervalMs = pingIntervalMs
    this.#timeouts = timeouts
    this.#timer = setInterval(() => this.tick(performance.now()), Math.min(1000, pingIntervalMs / 4))
    this.#timer.unref()
  }

  /** Connections on this node. */
  get count(): number {
    return this.#count
  }

  /** Users with a connection on this node. */
  get userCount(): number {
    return this.#users.size
  }

  find(user: string): LocalUser | undefined {
    return this.#users.get(user)
  }

  users(): IterableIterator<LocalUser> {
    return this.#users.values()
  }

  *connections(): Generator<Connection> {
    for (const local of this.#users.values()) yield* local.connections
  }

  add(user: string, connection: Connection): LocalUser {
    let local = this.#users.get(user)
    if (local === undefined) {
      local = new LocalUser(user)
      this.#users.set(user, local)
    }
    local.connections.push(connection)
    this.#count += 1
    return local
  }

  /** Takes a connection out, and tells the store; the driver sees to it that the store hears of it in the end. */
  remove(local: LocalUser, connection: Connection): void {
    const index = local.connections.indexOf(connection)
    if (index < 0) return
    local.connections.splice(index, 1)
    this.#count -= 1
    if (local.connections.length === 0) this.#users.delete(local.user)
    this.#store.detach(local.user, local.listed()).catch(() => undefined)
  }

  /** Closes every connection with `draining`, its return spread over `spreadMs`. */
  drain(spreadMs: number): void {
    for (const connection of [...this.connections()]) {
      connection.close('draining', undefined, Math.round(Math.random() * spreadMs))
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /**
   * Runs one beat: pings the connections that are due, closes those that did not answer, take nothing or have an expired token, and resumes those
   * that are behind.
   *
   * @param now milliseconds of the monotonic clock
   */
  tick(now: number): void {
    const ping = plainFrame({ type: 'ping', time: Date.now() })
    for (const connection of [...this.connections()]) this.#beat(connection, now, ping)
  }

  #beat(connection: Connection, now: number, ping: Frame): void {
    this.#observe(connection, now)
    if (Date.now() >= connection.expiresAt) connection.close('unauthorized', 'token_expired')
    else if (this.#silent(connection, now)) connection.close('noPong')
    else if (this.#stalled(connection, now)) connection.close('slowConsumer')
    else this.#keep(connection, now, ping)
  }

  #keep(connection: Connection, now: number, ping: Frame): void {
    if (now - connection.pingedAt >= this.#pingIntervalMs) {
      if (connection.heardAt >= connection.pingedAt) connection.unansweredSince = now
      connection.pingedAt = now
      connection.transport.ping(ping)
    }
    connection.handedOver()
    connection.resume()
  }

  /** The peer has shown no life since a ping that long ago, however many followed it. */
  #silent({ heardAt, unansweredSince }: Connection, now: number): boolean {
    return heardAt < unansweredSince && now - unansweredSince >= this.#timeouts.pongMs
  }

  /** Notes whether the network took anything since the last beat, which of a peer that cannot answer is the sign of life. */
  #observe(connection: Connection, now: number): void {
    const { buffered, taken, oneWay } = connection.transport
    if (buffered > 0 && taken === connection.takenBytes) {
      connection.stalledSince ||= now
      return
    }
    connection.stalledSince = 0
    connection.takenBytes = taken
    if (oneWay) connection.heardAt = now
  }

  #stalled({ stalledSince }: Connection, now: number): boolean {
    return stalledSince > 0 && now - stalledSince >= this.#timeouts.stallMs
  }
}
