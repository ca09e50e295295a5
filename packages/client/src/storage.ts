import type { ClientStorage } from './types.ts'

export function memoryStorage(): ClientStorage {
  const values = new Map<string, string>()
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) }
}

/** What outlives a page: the device's id, and per user where its log has been read to and which ids were shown. */
export class Memory {
  readonly deviceId: string
  readonly #storage: ClientStorage
  readonly #base: string
  #user = ''

  /** @param newId makes a device id when none is given and none is kept */
  constructor(storage: ClientStorage, base: string, deviceId: string | undefined, newId: () => string) {
    this.#storage = storage
    this.#base = `belfry:${base}`
    this.deviceId = deviceId ?? this.#get(`${this.#base}:device`) ?? newId()
    if (deviceId === undefined) this.#set(`${this.#base}:device`, this.deviceId)
  }

  /** Whose memory it is from now on. */
  use(user: string): void {
    this.#user = user
  }

  /** '' when nothing is kept. */
  get lastEventId(): string {
    return this.#get(this.#key('last')) ?? ''
  }

  set lastEventId(eventId: string) {
    this.#set(this.#key('last'), eventId)
  }

  /** Ids shown, oldest first. */
  get shown(): string[] {
    return this.#get(this.#key('shown'))?.split(' ') ?? []
  }

  set shown(ids: string[]) {
    this.#set(this.#key('shown'), ids.join(' '))
  }

  #key(name: string): string {
    return `${this.#base}:${this.#user}:${this.deviceId}:${name}`
  }

  #get(key: string): string | undefined {
    try {
      return this.#storage.getItem(key) ?? undefined
    } catch {
      return undefined
    }
  }

  #set(key: string, value: string): void {
    try {
      this.#storage.setItem(key, value)
    } catch {
      // A full or forbidden storage costs the memory of the next page, not the notifications of this one.
    }
  }
}
