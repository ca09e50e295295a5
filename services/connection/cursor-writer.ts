import type { Counters } from '../node/counters.ts'
import type { Position } from '../protocol/index.ts'
import type { Store } from '../store/store.ts'

/** Time between two flushes, milliseconds. Of the acknowledgements that a device sends in it, only the latest is written. */
const FLUSH_INTERVAL_MS = 50
/** Cursors that a flush writes at least. */
const MIN_FLUSH = 64
const FLUSHES_PER_SECOND = 1000 / FLUSH_INTERVAL_MS
/** Delay before a write that the store refused is retried, milliseconds. */
const RETRY_DELAY_MS = 1000

interface Cursor {
  user: string
  deviceId: string
  position: Position
}

/**
 * Writes cursors: how far each device has received the log.
 *
 * Each flush writes the oldest 64 cursors, or a twentieth of the backlog if that is more, so that every cursor is written within a second. A newer
 * acknowledgement of a device replaces the waiting one. If a cursor is lost with its node, the device receives the rows after the stored one
 * again, which clients expect.
 */
export class CursorWriter {
  readonly #store: Store
  readonly #counters: Counters
  readonly #cursorByDevice = new Map<string, Cursor>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(store: Store, counters: Counters) {
    this.#store = store
    this.#counters = counters
  }

  /** Records that the device received everything up to and with the position. */
  ack(user: string, deviceId: string, position: Position): void {
    this.#put(user, deviceId, position, FLUSH_INTERVAL_MS)
  }

  #put(user: string, deviceId: string, position: Position, delayMs: number): void {
    const key = keyOf(user, deviceId)
    const waiting = this.#cursorByDevice.get(key)?.position
    const isBehind = waiting?.epoch === position.epoch && waiting.offset >= position.offset
    // The same offset with another tag is another row, which took the place of a lost one: the newer tag is right.
    const isReplaced = waiting?.offset === position.offset && waiting.id8 !== position.id8
    if (isBehind && !isReplaced) return
    this.#cursorByDevice.set(key, { user, deviceId, position })
    this.#schedule(delayMs)
  }

  /** Writes the waiting cursor of a device at once: the device may reconnect immediately, and must not receive the same rows again. */
  settle(user: string, deviceId: string): void {
    const cursor = this.#cursorByDevice.get(keyOf(user, deviceId))
    if (cursor === undefined) return
    this.#cursorByDevice.delete(keyOf(user, deviceId))
    void this.#write(cursor)
  }

  /** Writes every waiting cursor, once. Resolves when the store has answered; never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#flush(this.#cursorByDevice.size)
  }

  #schedule(delayMs: number): void {
    if (!this.#closed) this.#timer ??= setTimeout(() => this.#flushOldest(), delayMs)
  }

  #flushOldest(): void {
    this.#timer = undefined
    void this.#flush(Math.max(MIN_FLUSH, this.#cursorByDevice.size / FLUSHES_PER_SECOND))
    if (this.#cursorByDevice.size > 0) this.#schedule(FLUSH_INTERVAL_MS)
  }

  async #flush(count: number): Promise<void> {
    const cursors: Cursor[] = []
    for (const [key, cursor] of this.#cursorByDevice) {
      if (cursors.length >= count) break
      this.#cursorByDevice.delete(key)
      cursors.push(cursor)
    }
    await Promise.all(cursors.map((cursor) => this.#write(cursor)))
  }

  async #write({ user, deviceId, position }: Cursor): Promise<void> {
    try {
      await this.#store.ack(user, deviceId, position)
    } catch {
      this.#counters.acksFailed += 1
      this.#put(user, deviceId, position, RETRY_DELAY_MS)
    }
  }
}

function keyOf(user: string, deviceId: string): string {
  return `${deviceId}\0${user}`
}
