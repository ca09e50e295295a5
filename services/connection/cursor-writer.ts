import type { Counters } from '../node/counters.ts'
import type { Position } from '../protocol/index.ts'
import type { Store } from '../store/store.ts'

/** Acknowledgements are gathered for this long: only the latest of each device is written, milliseconds. */
const ACK_DELAY_MS = 50
/** So many cursors are written at a time; of more, those that wait longest, and so large a part that all are written within a second. */
const USUAL = 64
const PARTS = 1000 / ACK_DELAY_MS
/** What the store did not take is tried again after this, milliseconds. */
const RETRY_DELAY_MS = 1000

interface Ack {
  user: string
  deviceId: string
  position: Position
}

/**
 * What a user has not received yet: the log's cursors. The cursor of a device moves some 50 ms after its acknowledgement, and within about
 * a second when very many do at once, since what waits is overtaken by the device's next and need not be written. An acknowledgement
 * the store did not take is tried again a second later, and if it is lost the rows come twice, which clients expect.
 */
export class CursorWriter {
  readonly #store: Store
  readonly #counters: Counters
  readonly #acks = new Map<string, Ack>()
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
    const isBehind = held?.epoch === position.epoch && held.offset >= position.offset
    if (isBehind && !(held.offset === position.offset && held.id8 !== position.id8)) return
    this.#acks.set(key, { user, deviceId, position })
    this.#wait(delayMs)
  }

  /** Writes at once what was gathered for a device: it may come back in a moment, and must not get again what it has. */
  settle(user: string, deviceId: string): void {
    const ack = this.#acks.get(keyOf(user, deviceId))
    if (ack === undefined) return
    this.#acks.delete(keyOf(user, deviceId))
    void this.#write(ack)
  }

  /** Writes what is left, once. Resolves when the store has answered; never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#flush(this.#acks.size)
  }

  #wait(delayMs: number): void {
    if (!this.#closed) this.#timer ??= setTimeout(() => this.#next(), delayMs)
  }

  #next(): void {
    this.#timer = undefined
    void this.#flush(Math.max(USUAL, this.#acks.size / PARTS))
    if (this.#acks.size > 0) this.#wait(ACK_DELAY_MS)
  }

  async #flush(count: number): Promise<void> {
    const acks: Ack[] = []
    for (const [key, ack] of this.#acks) {
      if (acks.length >= count) break
      this.#acks.delete(key)
      acks.push(ack)
    }
    await Promise.all(acks.map((ack) => this.#write(ack)))
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
