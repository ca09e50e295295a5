import type { Platform } from './platform.ts'

const EVERY_ROWS = 20
const EVERY_MS = 500

/** Sends cumulative acknowledgements: every 20 rows, or earlier at half of the unacknowledged rows that the service allows, or after 500 ms. */
export class Acks {
  readonly #platform: Platform
  readonly #send: (eventId: string) => boolean
  #pending = ''
  #everyRows = EVERY_ROWS
  #rows = 0
  #timer: unknown

  /** @param send returns false if there is no connection: the acknowledgement waits for the next flush */
  constructor(platform: Platform, send: (eventId: string) => boolean) {
    this.#platform = platform
    this.#send = send
  }

  /** Sets the number of rows that the service sends without an acknowledgement. */
  limit(maxUnacked: number): void {
    this.#everyRows = Math.min(EVERY_ROWS, maxUnacked / 2)
  }

  /** Acknowledges every row up to and including the event id. */
  moved(eventId: string): void {
    if (!eventId) return
    this.#pending = eventId
    if (++this.#rows >= this.#everyRows) this.flush()
    else this.#timer ??= this.#platform.setTimeout(() => this.flush(), EVERY_MS)
  }

  flush(): void {
    this.#stop()
    if (this.#pending && this.#send(this.#pending)) this.#pending = ''
  }

  /** Forgets the pending acknowledgement: after a gap its position is no longer valid. */
  drop(): void {
    this.#stop()
    this.#pending = ''
  }

  #stop(): void {
    this.#platform.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#rows = 0
  }
}
