import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * The API keys of publishers, kept as SHA-256 digests. A candidate is compared with every key in constant time.
 */
export class ApiKeys {
  readonly #digests: Buffer[]

  constructor(keys: string[]) {
    this.#digests = keys.map(sha256)
  }

  /** Returns the name of the key's holder, `key:` and 12 characters of the digest, or undefined if the key is unknown. */
  holderOf(key: string): string | undefined {
    if (this.#digests.length === 0) return undefined
    const candidate = sha256(key)
    let match: Buffer | undefined
    for (const digest of this.#digests) if (timingSafeEqual(digest, candidate)) match = digest
    return match === undefined ? undefined : `key:${match.toString('hex', 0, 6)}`
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
