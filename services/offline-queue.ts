import type { Counters } from './counters.ts'
import type { Position } from './protocol/index.ts'
import type { Store } from './store/store.ts'

/** Acknowledgements are gathered for this long: only the latest of each device is written, milliseconds. */
const ACK_DELAY_MS = 50
/** What the store did not take is tried again after this, milliseconds. */
const RETRY_DELAY_MS = 1000

interface Ack {
  user: string
  deviceId: string
  position: Position
}

/**
 * What a user has not received yet: the log's cursors. The cursor of a device moves some 50 ms after its acknowledgement; an
 * acknowledgement the store did not take is tried again a second later, and if it is lost the rows come twice, which clients expect.
 */
export class OfflineQueue {
  readonly #store: Store
  readonly #counters: Counters
  #acks = new Map<string, Ack>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(store: Store, counters: Counters) {
    this.#store = store
    this.#counters = counters
  }

  /** The device received everything up to and with the position. */
  ack(user: string, deviceId: string, position: Position): void {
    this.#gather(user, deviceId, position, ACK_DELAY_MS)
  }

  #gather(user: string, deviceId: string, position: Position, delayMs: number): void {
    const key = keyOf(user, deviceId)
    const held = this.#acks.get(key)?.position
    if (held?.epoch === position.epoch && held.offset >= position.offset) return
    this.#acks.set(key, { user, deviceId, position })
    if (!this.#closed) this.#timer ??= setTimeout(() => void this.flush(), delayMs)
  }

  /** Writes at once what was gathered for a device: it may come back in a moment, and must not get again what it has. */
  settle(user: string, deviceId: string): void {
    const ack = this.#acks.get(keyOf(user, deviceId))
    if (ack === undefined) return
    this.#acks.delete(keyOf(user, deviceId))
    void this.#write(ack)
  }

  /** Writes what was gathered. Resolves when the store has answered; never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const acks = this.#acks
    this.#acks = new Map()
    await Promise.all([...acks.values()].map((ack) => this.#write(ack)))
  }

  /** Writes what is left, once. */
  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
  }

  async #write({ user, deviceId, position }: Ack): Promise<void> {
    try {
      await this.#store.ack(user, deviceId, position)
    } catch {
      this.#counters.acksFailed += 1
      this.#gather(user, deviceId, position, RETRY_DELAY_MS)
    }
  }
}

function keyOf(user: string, deviceId: string): string {
  return `${deviceId}\0${user}`
}
