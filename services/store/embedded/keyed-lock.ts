/** Carries out calls of one key one after another, in the order of their arrival. Calls of different keys do not wait for each other. */
export class KeyedLock {
  readonly #lastByKey = new Map<string, Promise<unknown>>()

  async take<Result>(key: string, call: () => Promise<Result>): Promise<Result> {
    const previous = this.#lastByKey.get(key) ?? Promise.resolve()
    const result = previous.then(call)
    const settled = result.catch(() => undefined)
    this.#lastByKey.set(key, settled)
    try {
      return await result
    } finally {
      if (this.#lastByKey.get(key) === settled) this.#lastByKey.delete(key)
    }
  }
}
