/** Says why something is not ready; '' when it is. */
export type Check = () => string

export interface Readiness {
  ready: boolean
  /** `ok` or what is wrong, by the name of the check. */
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
    for (const [name, check] of this.#checks) checks[name] = check() || 'ok'
    return { ready: Object.values(checks).every((state) => state === 'ok'), checks }
  }
}
