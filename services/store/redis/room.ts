/** Time between two probes of a full database, milliseconds. */
const PROBE_MS = 1000

/** Knows whether the database refuses writes that take memory. Probes it only while it does. */
export class Room {
  readonly #probe: (user: string) => Promise<unknown>
  readonly #onChange: () => void
  #user = ''
  #timer: NodeJS.Timeout | undefined
  #probing = false

  /** @param probe rejects while the server that holds the user has no room */
  constructor(probe: (user: string) => Promise<unknown>, onChange: () => void) {
    this.#probe = probe
    this.#onChange = onChange
  }

  get full(): boolean {
    return this.#timer !== undefined
  }

  /** Notes that a write for the user was refused because the memory is full. */
  noteRefusal(user: string): void {
    this.#user = user
    if (this.full) return
    this.#timer = setInterval(() => this.#runProbe(), PROBE_MS).unref()
    this.#onChange()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #runProbe(): void {
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
