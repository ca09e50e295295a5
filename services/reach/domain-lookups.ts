import dns, { type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'

type Found = Parameters<Parameters<LookupFunction>[2]>

/** Labels at the end of a name that have the same name servers, as far as one can tell without a list of public suffixes. */
const DOMAIN_LABELS = 2

/** Longest time in which name servers must answer a question, before the addresses of the host are looked up, milliseconds. */
const ANSWER_MS = 1500

/**
 * Looks up the addresses of hosts for `net.connect`: one host of a domain at a time, and once for all who ask at that time.
 *
 * The process has two threads for lookups, and a lookup whose name servers do not answer holds one for 20 s and more, also after its call has ended.
 * Two such hosts would hold both, so that no other receiver could be called. A question to the name servers needs no thread, so it comes first. Hosts
 * whose name servers do not answer it in time share one thread, which they try one at a time: the system may know the host without name servers.
 */
export class DomainLookups {
  readonly #resolver = new dns.promises.Resolver({ timeout: ANSWER_MS, tries: 1 })
  readonly #foundByQuestion = new Map<string, Promise<Found>>()
  /** The latest lookup of each domain. */
  readonly #latestByDomain = new Map<string, Promise<Found>>()
  /** A lookup is under way without an answer of the name servers. */
  #isTrying = false

  constructor() {
    this.#resolver.setServers(dns.getServers())
  }

  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const question = JSON.stringify([hostname, options])
    let found = this.#foundByQuestion.get(question)
    if (found === undefined) {
      const domain = hostname.split('.').slice(-DOMAIN_LABELS).join('.')
      const latest = (this.#latestByDomain.get(domain) ?? Promise.resolve()).then(() => this.#find(hostname, options))
      found = latest.finally(() => {
        this.#foundByQuestion.delete(question)
        if (this.#latestByDomain.get(domain) === found) this.#latestByDomain.delete(domain)
      })
      this.#foundByQuestion.set(question, found)
      this.#latestByDomain.set(domain, found)
    }
    void found.then(([error, address, family]) => callback(error, Array.isArray(address) ? [...address] : address, family))
  }

  /** Resolves with what the lookup passes to its callback. */
  async #find(hostname: string, options: dns.LookupOptions): Promise<Found> {
    if (await this.#hasAnswer(hostname)) return await find(hostname, options)
    if (this.#isTrying) return [Object.assign(new Error(`the name servers of ${hostname} do not answer`), { code: 'ETIMEOUT' }), []]
    this.#isTrying = true
    const found = await find(hostname, options)
    this.#isTrying = false
    return found
  }

  /** Resolves with true if the name servers answer, also if there is no such host, and with false if they do not answer in time. */
  async #hasAnswer(hostname: string): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(resolve, ANSWER_MS, false)
    })
    const isAnswer = ({ code }: NodeJS.ErrnoException): boolean => code !== dns.TIMEOUT
    // The system asks for both kinds of addresses, and waits for both answers.
    const questions = [this.#resolver.resolve4(hostname), this.#resolver.resolve6(hostname)]
    const answers = Promise.all(questions.map((question) => question.then(() => true, isAnswer)))
    const isAnswered = await Promise.race([late, answers.then((each) => each.every(Boolean))])
    clearTimeout(timer)
    return isAnswered
  }
}

function find(hostname: string, options: dns.LookupOptions): Promise<Found> {
  return new Promise((resolve) => {
    const done = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number): void =>
      resolve([error, address, family])
    dns.lookup(hostname, options, done)
  })
}
