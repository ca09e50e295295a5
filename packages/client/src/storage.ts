import { attempt } from './attempt.ts'
import type { ClientStorage } from './types.ts'

type Kept = 'last' | 'toasted' | 'shown'

export function memoryStorage(): ClientStorage {
  const values = new Map<string, string>()
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) }
}

/** What outlives a page: the device's id, and per user where its log has been read and all toasts raised to, and which ids were shown. */
export class Memory {
  readonly deviceId: string
  readonly #storage: ClientStorage
  readonly #base: string
  /** Whose log it is about. */
  user = ''

  /** @param newId makes a device id when none is given and none is kept */
  constructor(storage: ClientStorage, base: string, deviceId: string | undefined, newId: () => string) {
    this.#storage = storage
    this.#base = `belfry:${base}:`
    this.deviceId = deviceId ?? (this.#get('device') || newId())
    if (!deviceId) this.#set('device', this.deviceId)
  }

  /** An event id, or the ids shown, oldest first, with spaces between; '' when nothing is kept. */
  get(what: Kept): string {
    return this.#get(this.#key(what))
  }

  set(what: Kept, value: string): void {
    this.#set(this.#key(what), value)
  }

  #key(what: string): string {
    return `${this.user}:${this.deviceId}:${what}`
  }

  #get(key: string): string {
    return attempt(() => this.#storage.getItem(this.#base + key)) ?? ''
  }

  #set(key: string, value: string): void {
    // A full or forbidden storage costs the memory of the next page, not the notifications of this one.
    attempt(() => this.#storage.setItem(this.#base + key, value))
  }
}
