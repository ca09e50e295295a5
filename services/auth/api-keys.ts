import { createHash, timingSafeEqual } from 'node:crypto'

/** The scopes of a service. `admin` includes `publish`. */
export type Scope = 'publish' | 'admin'

/** Begins a key of `API_KEYS` that has the scope `admin`. */
export const ADMIN_PREFIX = 'admin:'

/** A caller that sent a known key. */
interface KeyHolder {
  /** `key:` and 12 characters of the key's digest. */
  name: string
  scope: Scope
}

interface Key {
  digest: Buffer
  scope: Scope
}

/**
 * The API keys of services, kept as SHA-256 digests. A candidate is compared with every key in constant time.
 */
export class ApiKeys {
  readonly #keys: Key[]

  /** @param keys each with `admin:` in front if it has the scope `admin`, else with the scope `publish` */
  constructor(keys: string[]) {
    this.#keys = keys.map((key) =>
      key.startsWith(ADMIN_PREFIX)
        ? { digest: sha256(key.slice(ADMIN_PREFIX.length)), scope: 'admin' }
        : { digest: sha256(key), scope: 'publish' }
    )
  }

  /** Returns the holder of a key, or undefined if the key is unknown. A key that is listed twice has the scope `admin` if one of the two has it. */
  holderOf(key: string): KeyHolder | undefined {
    if (this.#keys.length === 0) return undefined
    const candidate = sha256(key)
    let holder: KeyHolder | undefined
    for (const { digest, scope } of this.#keys) {
      if (timingSafeEqual(digest, candidate) && holder?.scope !== 'admin') holder = { name: `key:${digest.toString('hex', 0, 6)}`, scope }
    }
    return holder
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
