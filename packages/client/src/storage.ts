import { attempt } from './attempt.ts'
import type { ClientStorage } from './types.ts'

/** `recent` holds the ids settled since `shown` was written. */
const PER_USER = ['last', 'toasted', 'shown', 'recent'] as const

type Key = 'device' | (typeof PER_USER)[number]

export function memoryStorage(): ClientStorage {
  const values = new Map<string, string>()
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) }
}

/** Values under one prefix of a storage. If the storage throws, the value is not kept: the next page starts without it, and this page loses no notification. */
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

  /** Returns an event id, a device id, or ids separated by spaces, oldest first; '' if nothing is stored. */
  get(key: Key): string {
    return attempt(() => this.#storage.getItem(this.#prefix + key)) ?? ''
  }

  set(key: Key, value: string): void {
    attempt(() => this.#storage.setItem(this.#prefix + key, value))
  }

  /** Removes everything stored about the user. */
  clear(): void {
    for (const key of PER_USER) {
      this.set(key, '')
      attempt(() => this.#storage.removeItem?.(this.#prefix + key))
    }
  }
}

/** Escapes `:` and `%`, so that the names of two users with colons in them never collide. */
export function escapeColons(text: string): string {
  return text.replace(/[%:]/g, encodeURIComponent)
}
