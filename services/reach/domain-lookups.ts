import dns, { type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'

type Found = Parameters<Parameters<LookupFunction>[2]>

/** Labels at the end of a name that have the same name servers, as far as one can tell without a list of public suffixes. */
const DOMAIN_LABELS = 2

/**
 * Looks up the addresses of hosts for `net.connect`: one host of a domain at a time, and once for all who ask at that time.
 *
 * The process has two threads for lookups, and a lookup whose name servers do not answer holds one for 20 s and more, also after its call has ended.
 * The connections to one such host would hold both, so that no other receiver could be called.
 */
export class DomainLookups {
  readonly #foundByQuestion = new Map<string, Promise<Found>>()
  /** The latest lookup of each domain. */
  readonly #latestByDomain = new Map<string, Promise<Found>>()

  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const question = JSON.stringify([hostname, options])
    let found = this.#foundByQuestion.get(question)
    if (found === undefined) {
      const domain = hostname.split('.').slice(-DOMAIN_LABELS).join('.')
      const latest = (this.#latestByDomain.get(domain) ?? Promise.resolve()).then(() => find(hostname, options))
      found = latest.finally(() => {
        this.#foundByQuestion.delete(question)
        if (this.#latestByDomain.get(domain) === found) this.#latestByDomain.delete(domain)
      })
      this.#foundByQuestion.set(question, found)
      this.#latestByDomain.set(domain, found)
    }
    void found.then(([error, address, family]) => callback(error, Array.isArray(address) ? [...address] : address, family))
  }
}

/** Resolves with what the lookup passes to its callback. */
function find(hostname: string, options: dns.LookupOptions): Promise<Found> {
  return new Promise((resolve) => {
    const done = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number): void =>
      resolve([error, address, family])
    dns.lookup(hostname, options, done)
  })
}
