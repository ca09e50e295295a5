import type { Position } from '../protocol/index.ts'
import type { ConnectionInfo, Seen, Store } from '../store/store.ts'
import type { Connection } from './connection.ts'
import { plainFrame, rowFrame } from './frames.ts'

const EXPIRY_RETRY_MS = 1000
/** Logs whose rows left by age that are read at once; the others wait for the next beat. */
const EXPIRING_MAX = 500

/** A user with connections on this node, and the newest row the node knows of. */
export class LocalUser {
  readonly user: string
  readonly connections: Connection[] = []
  epoch = ''
  top = 0
  /** The highest offset that came by a wake-up in this epoch. */
  #woken = 0
  readonly #retentionMs: number
  /** When the oldest row leaves the log by age, on the monotonic clock; undefined while the node knows of no row. */
  #expiresAt: number | undefined

  constructor(user: string, retentionMs: number) {
    this.user = user
    this.#retentionMs = retentionMs
  }

  /** Takes note of when the oldest row leaves by age, as a read told it: milliseconds from now, 0 when there is none. */
  expireIn(ms: number): void {
    this.#expiresAt = ms > 0 ? performance.now() + ms : undefined
  }

  /** Whether the oldest row should have left by age. It may not have, when the clocks of node and store differ: true again a second later. */
  takeExpired(now: number): boolean {
    if (this.#expiresAt === undefined || now < this.#expiresAt) return false
    this.#expiresAt = now + EXPIRY_RETRY_MS
    return true
  }

  /** Takes note of the log's top, as the store told it. */
  observe(epoch: string, top: number): void {
    if (top > 0) this.#expiresAt ??= performance.now() + this.#retentionMs
    if (epoch === this.epoch) this.top = Math.max(this.top, top)
    else {
      this.epoch = epoch
      this.top = top
      this.#woken = 0
    }
  }

  lastSeen(): Seen | undefined {
    return this.epoch === '' ? undefined : { epoch: this.epoch, offset: this.top }
  }

  /** Takes a wake-up. One frame is made for all connections. A wake-up that repeats an offset may tell of another row: the log is read. */
  wake(position: Position, row: Buffer | undefined): void {
    const { epoch, offset } = position
    const isRepeated = epoch === this.epoch && offset <= this.#woken
    this.observe(epoch, offset)
    if (isRepeated) {
      for (const connection of [...this.connections]) connection.doubt()
      return
    }
    this.#woken = offset
    const frame = row === undefined ? undefined : rowFrame(epoch, offset, row)
    for (const connection of [...this.connections]) connection.wake(position, frame)
  }

  find(connectionId: string): Connection | undefined {
    return this.connections.find((connection) => connection.connectionId === connectionId)
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
 * The connections of this node, by user. One timer beats for all of them: no connection has its own.
 */
export class Registry {
  readonly #users = new Map<string, LocalUser>()
  readonly #store: Store
  readonly #retentionMs: number
  #expiring = 0
  readonly #timer: NodeJS.Timeout
  #count = 0

  constructor(store: Store, pingIntervalMs: number, retentionMs: number) {
    this.#store = store
    this.#retentionMs = retentionMs
    this.#timer = setInterval(() => this.#beat(), Math.min(1000, pingIntervalMs / 4))
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
      local = new LocalUser(user, this.#retentionMs)
      this.#users.set(user, local)
    }
    local.connections.push(connection)
    this.#count += 1
    return local
  }

  /** Removes a connection, and tells the store; the driver repeats that until the store has it. */
  remove(local: LocalUser, connection: Connection): void {
    const index = local.connections.indexOf(connection)
    if (index < 0) return
    local.connections.splice(index, 1)
    this.#count -= 1
    if (local.connections.length === 0) this.#users.delete(local.user)
    this.#store.detach(local.user, local.listed()).catch(() => undefined)
  }

  /** Closes every connection with `draining`; their returns are spread over `spreadMs`. */
  drain(spreadMs: number): void {
    for (const connection of [...this.connections()]) {
      connection.close('draining', undefined, Math.round(Math.random() * spreadMs))
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    const now = performance.now()
    const ping = plainFrame({ type: 'ping', time: Date.now() })
    for (const connection of [...this.connections()]) connection.beat(now, ping)
    this.#trimExpired(now)
  }

  /**
   * Reads the logs whose oldest row left by age, though nobody publishes: the step that reads trims, and tells every device when that
   * changed the unread count.
   */
  #trimExpired(now: number): void {
    for (const local of this.#users.values()) {
      if (this.#expiring >= EXPIRING_MAX) return
      if (!local.takeExpired(now)) continue
      this.#expiring += 1
      const { user, epoch, top } = local
      this.#store
        .read({ user, position: { epoch, offset: top, id8: '' }, seen: local.lastSeen(), limit: 0 })
        .then(({ expiresInMs }) => local.expireIn(expiresInMs))
        .catch(() => undefined)
        .finally(() => {
          this.#expiring -= 1
        })
    }
  }
}
