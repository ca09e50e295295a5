import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * The API keys of publishers, kept as SHA-256 digests. A candidate is compared with every one of them, in constant time.
 */
export class ApiKeys {
  readonly #digests: Buffer[]

  constructor(keys: string[]) {
    this.#digests = keys.map(sha256)
  }

  /** A name for the key's holder (12 characters of its digest), or undefined when the key is not one of ours. */
  holderOf(key: string): string | undefined {
    if (this.#digests.length === 0) return undefined
    const candidate = sha256(key)
    let found: Buffer | undefined
    for (const digest of this.#digests) if (timingSafeEqual(digest, candidate)) found = digest
    return found === undefined ? undefined : `key:${found.toString('hex', 0, 6)}`
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
