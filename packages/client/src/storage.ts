import { attempt } from './attempt.ts'
import type { ClientStorage } from './types.ts'

/** `recent` holds the ids settled since `shown` was written. */
const PER_USER = ['last', 'toasted', 'shown', 'recent'] as const

type Key = 'device' | (typeof PER_USER)[number]

export function memoryStorage(): ClientStorage {
  const values = new Map<string, string>()
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) }
}

/** Values under one prefix of a storage. A storage that throws keeps nothing: the next page starts without them, this page loses no notification. */
export class Memory {
  readonly #storage: ClientStorage
  readonly #prefix: string

  constructor(storage: ClientStorage, prefix: string) {
    this.#storage = storage
    this.#prefix = prefix
  }

  /** Returns the memory of one user on one device. */
  of(user: string, deviceId: string): Memory {
    return new Memory(this.#storage, `${this.#prefix}${escapeColons(user)}:${deviceId}:`)
  }

  /** Returns an event id, a device id, or ids with spaces between, oldest first; '' when nothing is kept. */
  get(key: Key): string {
    return attempt(() => this.#storage.getItem(this.#prefix + key)) ?? ''
  }

  set(key: Key, value: string): void {
    attempt(() => this.#storage.setItem(this.#prefix + key, value))
  }

  /** Removes all that is kept of the user. */
  clear(): void {
    for (const key of PER_USER) {
      this.set(key, '')
      attempt(() => this.#storage.removeItem?.(this.#prefix + key))
    }
  }
}

/** Two users never have the same name here, whatever characters their ids consist of. */
export function escapeColons(text: string): string {
  return text.replace(/[%:]/g, encodeURIComponent)
}
