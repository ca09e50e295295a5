/**
 * Returns '' if the node can serve, else the reason. `degraded` is the reason why the node cannot serve some users, or serves all of them more
 * slowly: it stays ready.
 */
export type Check = () => string | { degraded: string }

export interface Readiness {
  ready: boolean
  /** `ok`, or the reason of a failure or degradation, by the name of the check. */
  checks: Record<string, string>
}

/** The readiness checks of a node by name, and the two steps of its stop. */
export class Health {
  readonly #checks = new Map<string, Check>()
  #draining = false
  #stopping = false

  /** The node will stop soon: it is not ready, and still answers every request. */
  get draining(): boolean {
    return this.#draining
  }

  /** The node stops: it refuses new requests. */
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
