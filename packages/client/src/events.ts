import type { BelfryEvents, EventName, Handler } from './types.ts'

/** Typed events, one context object each. */
export class Events {
  readonly #handlers = new Map<EventName, Set<(ctx: never) => unknown>>()

  /** Returns a function that takes the handler off. */
  on<E extends EventName>(event: E, handler: Handler<E>): () => void {
    const handlers = this.#handlers.get(event) ?? new Set()
    this.#handlers.set(event, handlers)
    handlers.add(handler)
    return () => handlers.delete(handler)
  }

  /**
   * Calls every handler at once, in order; resolves when the promises they returned have settled.
   * Never rejects: what a handler throws becomes an `error` event; what a handler of `error` throws is dropped.
   */
  async emit<E extends EventName>(event: E, ctx: BelfryEvents[E]): Promise<void> {
    const waits = [...(this.#handlers.get(event) ?? [])].map(async (handler) => (handler as Handler<E>)(ctx))
    for (const result of await Promise.allSettled(waits)) {
      if (result.status === 'fulfilled' || event === 'error') continue
      const { reason: cause } = result
      this.emit('error', { code: 'BELFRY_CLIENT_HANDLER', message: `a handler of '${event}' threw: ${cause}`, temporary: true, cause })
    }
  }
}
