import type { Counters } from './counters.ts'
import type { Position } from './protocol/index.ts'
import type { Store } from './store/store.ts'

/** Acknowledgements are gathered for this long: only the latest of each device is written, milliseconds. */
const ACK_DELAY_MS = 50

/**
 * What a user has not received yet: the log's cursors. The cursor of a device moves some 50 ms after its acknowledgement; an
 * acknowledgement the store did not take is tried again, and if it is lost the rows come twice, which clients expect.
 */
export class OfflineQueue {
  readonly #store: Store
  readonly #counters: Counters
  #acks = new Map<string, { user: string; deviceId: string; position: Position }>()
  #timer: NodeJS.Timeout | undefined

  constructor(store: Store, counters: Counters) {
    this.#store = store
    this.#counters = counters
  }

  /** The device received everything up to and with the position. */
  ack(user: string, deviceId: string, position: Position): void {
    this.#acks.set(`${deviceId}\0${user}`, { user, deviceId, position })
    this.#timer ??= setTimeout(() => void this.flush(), ACK_DELAY_MS)
  }

  /** Writes what was gathered. Resolves when the store has answered; never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const acks = this.#acks
    this.#acks = new Map()
    await Promise.all(
      [...acks].map(async ([key, ack]) => {
        try {
          await this.#store.ack(ack.user, ack.deviceId, ack.position)
        } catch {
          this.#counters.acksFailed += 1
          if (!this.#acks.has(key)) this.ack(ack.user, ack.deviceId, ack.position)
        }
      })
    )
  }

  /** Writes what is left, once. */
  async close(): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
  }
}
