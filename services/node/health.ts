/**
 * Returns '' when all is well, and what is wrong when the node cannot do its job. A part of the job that cannot be done is `degraded`:
 * the node stays ready for the users that it can serve.
 */
export type Check = () => string | { degraded: string }

export interface Readiness {
  ready: boolean
  /** `ok`, or what is wrong or degraded, by the name of the check. */
  checks: Record<string, string>
}

/** What a node needs to do its job, by name. */
export class Health {
  readonly #checks = new Map<string, Check>()
  #draining = false
  #stopping = false

  /** The node is about to stop: it is not ready, and answers everything as before. */
  get draining(): boolean {
    return this.#draining
  }

  /** The node stops: it begins nothing new. */
  get stopping(): boolean {
    return this.#stopping
  }

  add(name: string, check: Check): void {
    this.#checks.set(name, check)
  }

  drain(): void {
    this.#draining = true
  }

  stop(): void {
    this.#draining = true
    this.#stopping = true
  }

  readiness(): Readiness {
    const checks: Record<string, string> = { node: this.#draining ? 'draining' : 'ok' }
    let ready = !this.#draining
    for (const [name, check] of this.#checks) {
      const result = check()
      checks[name] = (typeof result === 'string' ? result : result.degraded) || 'ok'
      if (typeof result === 'string' && result !== '') ready = false
    }
    return { ready, checks }
  }
}
