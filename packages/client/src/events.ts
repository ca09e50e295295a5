/** Typed events, one context object each. `M` maps names to contexts. */
export class Events<M> {
  readonly #handlers = new Map<keyof M, Set<(ctx: never) => unknown>>()
  readonly #failed: (event: keyof M, cause: unknown) => void

  /** @param failed told what handlers throw, or their promises reject with */
  constructor(failed: (event: keyof M, cause: unknown) => void) {
    this.#failed = failed
  }

  /** Returns a function that takes the handler off. */
  on<E extends keyof M>(event: E, handler: (ctx: M[E]) => unknown): () => void {
    const handlers = this.#handlers.get(event) ?? new Set()
    this.#handlers.set(event, handlers.add(handler))
    return () => handlers.delete(handler)
  }

  /** Calls every handler at once, in order; resolves when the promises they returned have settled. Never rejects. */
  async emit<E extends keyof M>(event: E, ctx: M[E]): Promise<void> {
    const handlers = [...(this.#handlers.get(event) ?? [])] as ((ctx: M[E]) => unknown)[]
    const calls = handlers.map(async (handler) => {
      try {
        await handler(ctx)
      } catch (cause) {
        this.#failed(event, cause)
      }
    })
    await Promise.all(calls)
  }
}
