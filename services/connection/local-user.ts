import type { CloseName, Position } from '../protocol/index.ts'
import { followsTag } from '../store/row.ts'
import type { ConnectionInfo, LogPlace } from '../store/store.ts'
import { type Frame, rowFrame } from './frames.ts'

/** Delay of the next read if the oldest row has not expired by the store's clock, milliseconds. */
const EXPIRY_RETRY_MS = 1000

/** An open connection as the registry, the heartbeat timer and the fan-out use it. `Connection` implements it. */
export interface LocalConnection extends ConnectionInfo {
  /** Takes a row of the user's log from a wake-up. `frame` is undefined if the wake-up did not carry the row. */
  wake(position: Position, frame: Frame | undefined): void
  /** Reads the log again from the newest row sent. */
  doubt(): void
  /** Registers again, and reads the log from the newest row sent. */
  reattach(): void
  /** Retries the step that a store failure interrupted. */
  resume(): void
  /** Runs one heartbeat. */
  beat(now: number, ping: Frame): void
  close(name: CloseName, reason?: string, reconnectInMs?: number): void
  /** Closes for a newer connection of the same device. */
  displace(): void
}

/**
 * A user with connections on this node, and the newest row of the user's log that the node knows.
 *
 * Invariant *one history*: each connection has every row of the history that ends with the newest row, or it reads the log from its own position. The
 * tags tell: a row that does not follow from the newest one, or takes its place, makes the connections read the log.
 */
export class LocalUser {
  readonly user: string
  readonly #connections: LocalConnection[] = []
  readonly #retentionMs: number
  /** The newest row. Its epoch is '' before the store's first answer, and its tag is '' while the node does not know it. */
  #newest: Position = { epoch: '', offset: 0, id8: '' }
  /** Highest offset of a wake-up in this epoch. */
  #wokenTop = 0
  /** The time at which the oldest row expires, on the monotonic clock; undefined while the node knows no row. */
  #expiresAt: number | undefined

  constructor(user: string, retentionMs: number) {
    this.user = user
    this.#retentionMs = retentionMs
  }

  /** The user's connections on this node, oldest first. A copy: connections may close while the caller iterates. */
  get connections(): LocalConnection[] {
    return [...this.#connections]
  }

  get isEmpty(): boolean {
    return this.#connections.length === 0
  }

  add(connection: LocalConnection): void {
    this.#connections.push(connection)
  }

  /** Returns false if the connection had been removed before. */
  remove(connection: LocalConnection): boolean {
    const index = this.#connections.indexOf(connection)
    if (index >= 0) this.#connections.splice(index, 1)
    return index >= 0
  }

  find(connectionId: string): LocalConnection | undefined {
    return this.#connections.find((connection) => connection.connectionId === connectionId)
  }

  /** Returns what the store's registry holds for this node and user. */
  listed(): ConnectionInfo[] {
    return this.#connections.map(({ connectionId, deviceId, node, connectedAt, address }) => ({
      connectionId,
      deviceId,
      node,
      connectedAt,
      address
    }))
  }

  /**
   * Records the newest row of the log, from an answer of the store or a wake-up. If the answer shows another history than the newest row known so
   * far, the connections read the log; `reader`, which has the answer, does not. Returns whether that is so.
   */
  observe(newest: Position, reader?: LocalConnection): boolean {
    const known = this.#newest
    const isOfEpoch = newest.epoch === known.epoch
    const isOther = known.epoch !== '' && (!isOfEpoch || isOtherRow(known, newest))
    if (newest.offset > 0) this.#expiresAt ??= performance.now() + this.#retentionMs
    if (!isOfEpoch) this.#wokenTop = 0
    if (!isOfEpoch || newest.offset > known.offset || (newest.offset === known.offset && newest.id8 !== '')) this.#newest = newest
    if (isOther) for (const connection of this.connections) if (connection !== reader) connection.doubt()
    return isOther
  }

  /** Returns the newest place of the log that this node got from the store; undefined before its first answer. */
  lastSeen(): LogPlace | undefined {
    return this.#newest.epoch === '' ? undefined : { epoch: this.#newest.epoch, offset: this.#newest.offset }
  }

  /** Returns the newest row that the node knows; undefined if it does not know the row's tag. */
  newest(): Position | undefined {
    const { epoch, offset, id8 } = this.#newest
    return epoch === '' || (offset > 0 && id8 === '') ? undefined : this.#newest
  }

  /** Returns whether the node knows of no row after the position. */
  isNewest({ epoch, offset }: Position): boolean {
    return epoch === this.#newest.epoch && offset >= this.#newest.offset
  }

  /**
   * Passes a wake-up to the connections, with one frame for all of them. A wake-up that repeats an offset may be for another row at that
   * offset, and a row that does not follow from the newest one is of another history, so the connections read the log.
   */
  wake(position: Position, row: Buffer | undefined): void {
    const { epoch, offset } = position
    const isRepeated = epoch === this.#newest.epoch && offset <= this.#wokenTop
    const isOther = row !== undefined && this.#isOtherNext(position, row)
    if (this.observe(position)) return
    if (isRepeated || isOther) {
      for (const connection of this.connections) connection.doubt()
      return
    }
    this.#wokenTop = offset
    const frame = row === undefined ? undefined : rowFrame(position, row)
    for (const connection of this.connections) connection.wake(position, frame)
  }

  /** Records when the oldest row expires, from an answer of the store: milliseconds from now, 0 if the log has no row. */
  expireIn(ms: number): void {
    this.#expiresAt = ms > 0 ? performance.now() + ms : undefined
  }

  /**
   * Returns whether the log must be read because its oldest row expired. Returns true once per second until a read returned the next expiry,
   * because the clock of the store may be behind this node's.
   */
  takeExpiry(now: number): boolean {
    if (this.#expiresAt === undefined || now < this.#expiresAt) return false
    this.#expiresAt = now + EXPIRY_RETRY_MS
    return true
  }

  /** Returns whether a row, at the offset after the newest one, does not follow from it: the store has lost rows, and other rows took their offsets. */
  #isOtherNext({ epoch, offset }: Position, row: Buffer): boolean {
    const { epoch: known, offset: top, id8 } = this.#newest
    if (epoch !== known || offset !== top + 1) return false
    const previous = top === 0 ? epoch : id8
    return previous !== '' && !followsTag(previous, row)
  }
}

/** Returns whether two positions with the same offset are of different rows, as far as their tags are known. */
function isOtherRow(known: Position, { epoch, offset, id8 }: Position): boolean {
  return epoch === known.epoch && offset === known.offset && offset > 0 && id8 !== '' && known.id8 !== '' && id8 !== known.id8
}
