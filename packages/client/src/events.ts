/** An event emitter. Each event has one context object; `M` maps event names to the types of their contexts. */
export class Events<M> {
  readonly #handlers = new Set<[event: keyof M, handler: (ctx: never) => unknown]>()
  readonly #failed: (event: keyof M, cause: unknown) => void

  /** @param failed called with each error that a handler throws or its promise rejects with */
  constructor(failed: (event: keyof M, cause: unknown) => void) {
    this.#failed = failed
  }

  /** Returns a function that removes the handler. */
  on<E extends keyof M>(event: E, handler: (ctx: M[E]) => unknown): () => void {
    const entry: [E, typeof handler] = [event, handler]
    this.#handlers.add(entry)
    return () => this.#handlers.delete(entry)
  }

  /** Calls every handler synchronously, in order. Resolves when the promises that they returned have settled. Never rejects. */
  async emit<E extends keyof M>(event: E, ctx: M[E]): Promise<void> {
    const calls = [...this.#handlers].map(async ([name, handler]) => {
      try {
        if (name === event) await handler(ctx as never)
      } catch (cause) {
        this.#failed(event, cause)
      }
    })
    await Promise.all(calls)
  }
}
