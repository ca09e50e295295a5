/** How often a full database is asked whether it has room again, milliseconds. */
const PROBE_MS = 1000

/** Whether the database refuses what takes memory. It is asked only while it does. */
export class Room {
  readonly #probe: (user: string) => Promise<unknown>
  readonly #onChange: () => void
  #user = ''
  #timer: NodeJS.Timeout | undefined
  #probing = false

  /** @param probe rejects while there is no room on the server that holds the user */
  constructor(probe: (user: string) => Promise<unknown>, onChange: () => void) {
    this.#probe = probe
    this.#onChange = onChange
  }

  get full(): boolean {
    return this.#timer !== undefined
  }

  /** Notes that a write for the user was refused for want of room. */
  refused(user: string): void {
    this.#user = user
    if (this.full) return
    this.#timer = setInterval(() => this.#ask(), PROBE_MS).unref()
    this.#onChange()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #ask(): void {
    if (this.#probing) return
    this.#probing = true
    this.#probe(this.#user)
      .then(
        () => {
          this.close()
          this.#onChange()
        },
        () => undefined
      )
      .finally(() => {
        this.#probing = false
      })
  }
}
