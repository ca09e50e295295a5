import type { Store } from '../store/store.ts'
import { plainFrame } from './frames.ts'
import type { Registry } from './registry.ts'

/** Longest time between two beats, milliseconds. */
const MAX_INTERVAL_MS = 1000
/** Beats for each ping interval, at least: a ping is late by a quarter of the interval at most. */
const BEATS_PER_PING = 4
/** Logs with expired rows that are read at the same time. The others wait for the next beat. */
const MAX_EXPIRY_READS = 500

/** Beats for all connections of this node, so that no connection needs a timer of its own. */
export class HeartbeatTimer {
  readonly #registry: Registry
  readonly #store: Store
  readonly #timer: NodeJS.Timeout
  #expiryReads = 0

  constructor(registry: Registry, store: Store, pingIntervalMs: number) {
    this.#registry = registry
    this.#store = store
    this.#timer = setInterval(() => this.#beat(), Math.min(MAX_INTERVAL_MS, pingIntervalMs / BEATS_PER_PING))
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    const now = performance.now()
    const ping = plainFrame({ type: 'ping', time: Date.now() })
    for (const connection of this.#registry.connections()) connection.beat(now, ping)
    this.#readExpired(now)
  }

  /**
   * Reads the logs whose oldest row expired. The read trims the log, and the store tells every device if that changed the unread count; without the
   * read, the count would stay wrong until the next publish to the user.
   */
  #readExpired(now: number): void {
    for (const local of this.#registry.users()) {
      if (this.#expiryReads >= MAX_EXPIRY_READS) return
      const seen = local.lastSeen()
      if (seen === undefined || !local.takeExpiry(now)) continue
      this.#expiryReads += 1
      this.#store
        .read({ user: local.user, position: { ...seen, id8: '' }, seen, limit: 0 })
        .then(({ expiresInMs }) => local.expireIn(expiresInMs))
        .catch(() => undefined)
        .finally(() => {
          this.#expiryReads -= 1
        })
    }
  }
}
