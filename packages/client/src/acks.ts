import type { Platform } from './platform.ts'

const EVERY_ROWS = 20
const EVERY_MS = 500

/** Cumulative acknowledgements, sent every 20 rows, at half of what the service lets be unacknowledged, or after 500 ms. */
export class Acks {
  readonly #platform: Platform
  readonly #send: (eventId: string) => boolean
  #pending = ''
  #everyRows = EVERY_ROWS
  #rows = 0
  #timer: unknown

  /** @param send tells whether it was sent; when not, the acknowledgement waits for the next flush */
  constructor(platform: Platform, send: (eventId: string) => boolean) {
    this.#platform = platform
    this.#send = send
  }

  /** Sets how many rows the service sends without an acknowledgement. */
  limit(maxUnacked: number): void {
    this.#everyRows = Math.min(EVERY_ROWS, maxUnacked / 2)
  }

  /** Everything up to and with the event id was received. */
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

  /** Forgets what was not sent: its place in the log is gone. */
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
